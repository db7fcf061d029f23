"""Images and a budget in, a verified file out; impossible budgets, kills and other folders get one clear line."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import forked
import numpy as np
import pytest
from command import command as netlathe_command
from image_files import save_stripes
from PIL import Image
from safetensors.numpy import save_file

from netlathe.choose.budget import Budget
from netlathe.deploy.package import load_package
from netlathe.errors import NetlatheError
from netlathe.fit.clock import Clock
from netlathe.fit.config import FitConfig, read_config
from netlathe.fit.pace import select_affordable
from netlathe.fit.rungs import RungEntry, count_survivors, find_ties, standard_error
from netlathe.fit.space import ImageSpec, find_fitting, interleave_families, nearest_budgets, smallest_members
from netlathe.lower.initial import initial_weights
from netlathe.runfolder.steps import cached_step
from netlathe.target.device import targets_on
from netlathe.train.recipefile import load as load_recipe
from netlathe.zoo import get

PHOTOS = ImageSpec(classes=6, channels=3, side=128)


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colour images of stripes across, down, or both."""
    return save_stripes(tmp_path_factory.mktemp("fit") / "stripes.npz", (200, 32, 32, 3), seed=1)


def command(data: Path, out: Path, *more: str) -> list[str]:
    words = ["--macs", "3M", "--size", "2MB", "--latency", "50ms", "--epochs", "2", "--resolution", "32"]
    quick = ["--set", "optimiser.lr_per=16", "--set", "batch=16", "--threads", "1", "--precision", "fp32"]
    form = ["--runtime", "onnxruntime", "--form", "fp32"]
    return ["fit", str(data), *words, *quick, *(more or form), "-o", str(out)]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return netlathe_command(*words)


def killed_after(step: str, words: list[str], out: Path) -> bool:
    """Start a fit and kill it at a random moment soon after a step is done; False where it ended before."""
    process = forked.netlathe(words, brief=True)
    while process.is_alive() and not (out / "steps" / f"{step}.json").exists():
        time.sleep(0.02)
    time.sleep(random.Random().uniform(0, 0.4))
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def test_a_fit_that_is_killed_in_every_step_ends_as_one_that_was_not(
    stripes: Path, tmp_path: Path, calibrated: None, brief: None
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    first = run([*command(stripes, whole), "--json"])
    assert first.returncode == 0, first.stderr
    # Latencies are measured anew, so the two start from the same candidates.
    (broken / "steps").mkdir(parents=True)
    for name in ("steps/candidates.json", "run.json"):
        (broken / name).write_text((whole / name).read_text())
    steps = ("candidates", "times", "rung0", "final", "form")
    assert all((whole / "steps" / f"{step}.json").exists() for step in steps)
    assert sum(killed_after(step, command(stripes, broken), broken) for step in steps) >= 3
    again = run(command(stripes, broken))
    assert again.returncode == 0, again.stderr
    cards = [json.loads((folder / "card.json").read_text()) for folder in (whole, broken)]
    assert cards[0]["network"] == cards[1]["network"]
    assert cards[0]["files"] == cards[1]["files"]  # the same bytes
    assert cards[0]["accuracy"] == cards[1]["accuracy"]
    figures = cards[0]["training"]["figures"]
    assert "not on the test images" in figures["picked"]
    assert figures["test"] is None  # the test images are looked at once: by the deployed file

    checked = run(["check", str(whole), "--data", str(stripes), "--processes", "5", "--json"])
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["data"]["accuracy"]["hits"] == cards[0]["accuracy"]["hits"]
    tight = tmp_path / "tight.toml"
    tight.write_text('size = "1kB"\n')
    assert run(["check", str(whole), str(tight), "--processes", "5"]).returncode == 4
    other = run([*command(stripes, whole), "--seed", "5"])
    assert other.returncode == 2
    assert "another fit: other seed" in other.stderr
    assert "seed: finished with 0, asked for 5" in other.stderr

    narrow = run(["quantise", str(whole), "--data", str(stripes), "--form", "int8", "--runtime", "onnxruntime",
                  "-o", str(tmp_path / "narrow"), "--json"])  # fmt: skip
    assert narrow.returncode == 0, narrow.stdout + narrow.stderr
    made = json.loads(narrow.stdout)["data"]
    assert (made["precision"], made["model"]) == ("int8+fp32", "model.int8.onnx")
    small, large = load_package(tmp_path / "narrow"), load_package(whole)
    assert small.bytes < 0.6 * large.bytes
    assert run(["predict", str(small.folder), str(photo(tmp_path))]).returncode == 0
    few = run(["quantise", str(whole), "--data", str(stripes), "--form", "int8", "--runtime", "onnxruntime",
               "--calibration", "7", "-o", str(tmp_path / "few")])  # fmt: skip
    assert few.returncode == 2
    assert "7 calibration images are too few" in few.stderr


def photo(folder: Path) -> Path:
    path = folder / "photo.png"
    Image.new("RGB", (40, 30), (200, 100, 0)).save(path)
    return path


def test_a_microcontroller_gets_an_int8_file_that_starts_from_given_weights_and_a_card_that_says_predicted(
    stripes: Path, tmp_path: Path
) -> None:
    network = get("mobilenetv1", alpha=0.25)
    weights = tmp_path / "weights.safetensors"
    save_file(initial_weights(network, "he", 0), weights)
    words = ["--device", "stm32h743", "--epochs", "1", "--resolution", "32", "--threads", "1", "--precision", "fp32",
             "--weights", f"mobilenetv1:alpha=0.25={weights}"]  # fmt: skip
    out = tmp_path / "out"
    done = run(["fit", str(stripes), *words, "-o", str(out)])
    assert done.returncode == 0, done.stderr
    card = json.loads((out / "card.json").read_text())
    assert card["latency"]["measured"] is None
    assert "nothing was measured on stm32h743" in card["warnings"][0]
    package = load_package(out)
    assert (package.model, package.precision, package.runtime) == ("model.tflite", "int8+fp32", "tflm")
    assert {"model_data.c", "model_data.h", "main.cc"} <= set(package.files)
    assert "kernels" not in " ".join(card["limits"])
    assert run(["predict", str(out), str(photo(tmp_path))]).returncode == 0
    [probed] = json.loads((out / "steps" / "pretrained.json").read_text())["result"]["candidates"]
    assert probed["weights"] == str(weights)
    again = read_config(out / "run.toml")
    assert (again.device, again.weights, again.epochs) == ("stm32h743", (f"mobilenetv1:alpha=0.25={weights}",), 1)
    beside = run(["fit", str(out / "run.toml"), "--seed", "3", "-o", str(tmp_path / "again")])
    assert beside.returncode == 2
    assert "run.toml says everything" in beside.stderr


@pytest.mark.slow
def test_the_winner_of_a_search_joins_the_race_and_an_impossible_space_does_not_end_it(
    stripes: Path, tmp_path: Path, calibrated: None
) -> None:
    for macs, arch in (("6M", str), ("3M", type(None))):
        out = tmp_path / macs
        words = ["--macs", macs, "--epochs", "1", "--resolution", "32", "--threads", "1", "--precision", "fp32",
                 "--set", "resolution=32", "--set", "evaluate.resolution=32", "--set", "batch=16", "--form", "fp32",
                 "--runtime", "onnxruntime", "--search", "around:resnet20"]  # fmt: skip
        done = run(["fit", str(stripes), *words, "-o", str(out)])
        assert done.returncode == 0, done.stderr
        found = json.loads((out / "steps" / "searched.json").read_text())["result"]
        assert isinstance(found["arch"], arch)
        raced = json.loads((out / "steps" / "candidates.json").read_text())["result"]["candidates"]
        assert raced[0]["name"].startswith("around-resnet20") == (macs == "6M")
    assert "no search: around-resnet20 seems to have no network" in done.stderr


def test_a_dry_run_says_what_would_be_raced_and_writes_nothing(stripes: Path, tmp_path: Path, calibrated: None) -> None:
    before = set(tmp_path.iterdir())
    done = run(["fit", str(stripes), "--device", "rpi-5", "--macs", "3M", "--time", "10m", "--dry-run", "--json"])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["data"]
    assert 2 <= len(found["candidates"]) <= 6
    assert "s of racing" in found["plan"]
    assert set(tmp_path.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_trained(stripes: Path, calibrated: None) -> None:
    done = run(["fit", str(stripes), "--macs", "3M", "--epochs", "1", "--device", "rpi-5", "-o", "/proc/nowhere"])
    assert done.returncode == 2
    assert "/proc/nowhere" in done.stderr


@pytest.mark.parametrize(
    ("instead_of", "line", "said"),
    [("seed = 0", "sede = 3", "did you mean seed"),
     ("seed = 0", 'seed = "x"', "seed: must be a whole number, not 'x'"),
     ('form = "auto"', 'form = "int4"', "form: unknown word 'int4' (did you mean int8? legal: auto, fp32, bf16, int8)"),
     ("[budget]", '[budget]\nlatenzy = "3ms"', "did you mean latency")],
)  # fmt: skip
def test_a_run_toml_with_a_mistake_is_refused_with_its_field(
    tmp_path: Path, instead_of: str, line: str, said: str
) -> None:
    FitConfig(data="digits", budget={"macs": "5M"}, recipe=load_recipe("small")).write(tmp_path)
    text = (tmp_path / "run.toml").read_text()
    assert instead_of in text
    (tmp_path / "run.toml").write_text(text.replace(instead_of, line))
    with pytest.raises(NetlatheError, match=r"run\.toml") as error:
        read_config(tmp_path / "run.toml")
    assert said in str(error.value)


def test_the_clock_of_a_fit_goes_on_after_a_kill(tmp_path: Path) -> None:
    start = time.monotonic()
    first = Clock(tmp_path, start - 100)
    first.written -= 10
    first.keep()
    second = Clock(tmp_path, time.monotonic())
    assert 100 <= second.spent() <= 100 + 2 * (time.monotonic() - start)


def test_an_impossible_budget_exits_with_3_before_any_training(stripes: Path, tmp_path: Path, calibrated: None) -> None:
    failed = run(["fit", str(stripes), "--size", "10kB", "-o", str(tmp_path / "out")])
    assert failed.returncode == 3
    assert "no network keeps this budget: size cannot be met; the smallest is" in failed.stderr
    assert "nearest that works: --size" in failed.stderr
    assert not (tmp_path / "out" / "rungs").exists()


def test_a_fit_without_a_budget_or_with_two_lengths_is_refused(stripes: Path, tmp_path: Path) -> None:
    assert "at least one limit" in run(["fit", str(stripes), "-o", str(tmp_path)]).stderr
    both = run(["fit", str(stripes), "--macs", "5M", "--time", "1m", "--epochs", "1", "-o", str(tmp_path)])
    assert both.returncode == 2
    assert "give one of them" in both.stderr


def test_candidates_keep_the_cheap_limits_by_construction_and_are_the_widest_that_do() -> None:
    targets = targets_on("rpi-5", (), None, 1)
    budget = Budget(macs=60_000_000, size=4_000_000, latency=40.0)
    found = find_fitting(targets, budget, PHOTOS, most_macs=float("inf"))
    assert len(found) > 10
    assert all(budget.possible(c) for c in found)
    assert {c.net.input[1] for c in found} <= {32, 48, 64, 96, 128}
    richer = find_fitting(
        targets, Budget(macs=120_000_000, size=8_000_000, latency=80.0), PHOTOS, most_macs=float("inf")
    )
    largest = {c.net.input: max(d.macs for d in found if d.net.input == c.net.input) for c in found}
    for input, macs in largest.items():
        assert max(c.macs for c in richer if c.net.input == input) >= macs


def test_a_microcontroller_gets_networks_that_fit_its_memory() -> None:
    targets = targets_on("stm32f746", (), None, 1)
    budget = Budget(size=targets[0].device.bytes("flash"), memory=targets[0].device.bytes("sram"))
    found = find_fitting(targets, budget, PHOTOS, most_macs=float("inf"))
    assert found
    assert all(c.memory_bytes <= 320 * 1024 and c.size_bytes <= 2**20 for c in found)


def test_the_nearest_budget_admits_something() -> None:
    targets = targets_on("rpi-5", (), None, 1)
    least = smallest_members(targets, PHOTOS)
    nearest = nearest_budgets(Budget(size=1000, macs=10**12), least)
    assert list(nearest) == ["size"]
    assert "kB" in nearest["size"]


def test_a_shortlist_takes_turns_through_the_families() -> None:
    targets = targets_on("rpi-5", (), None, 1)
    found = find_fitting(targets, Budget(macs=10**8), PHOTOS, most_macs=float("inf"))
    short = interleave_families(found, 6)
    assert len({c.net.name.partition(":")[0] for c in short}) == 6
    assert len(interleave_families(found, 10**6)) == len(found)


def test_the_fastest_of_those_within_one_standard_error_is_taken() -> None:
    random = np.random.default_rng(0)
    best = random.random(400) < 0.9
    near, far = best.copy(), best.copy()
    near[:40] = ~near[:40]  # differs in forty images, by little in the sum
    far[best.nonzero()[0][:60]] = False
    entries = [RungEntry("best", best, 3.0), RungEntry("near", near, 1.0), RungEntry("far", far, 0.5)]
    ahead = max(entries, key=lambda e: e.right.mean())
    names = [e.name for e in find_ties(entries)]
    assert "far" not in names
    within = ahead.right.mean() - near.mean() <= standard_error(ahead.right, near)
    assert (names[0] == "near") == within
    assert standard_error(best, best) == 0
    assert [count_survivors(n) for n in (6, 4, 3, 2)] == [3, 2, 2, 1]


def test_only_networks_that_see_every_image_in_their_first_rung_are_raced() -> None:
    pace = {"slow": {"images_per_s": 20}, "fast": {"images_per_s": 200}, "middle": {"images_per_s": 60}}
    assert select_affordable(pace, 1000, 1000) == ["slow", "fast", "middle"]  # 167 s each: 3,333 images of the slow one
    assert select_affordable(pace, 120, 1000) == ["fast", "middle"]  # 20 s each: 400 images; without it 30 s: 1,800
    assert select_affordable(pace, 4, 1000) == ["fast"]
    assert select_affordable(pace, 4, 1000, asked=["slow"]) == ["slow"]
    assert select_affordable(pace, 120, 1000, asked=["slow"]) == ["slow", "fast", "middle"]


def test_a_step_is_done_once(tmp_path: Path) -> None:
    made = [cached_step(tmp_path, "x", lambda n=n: {"n": n})["n"] for n in range(3)]
    assert made == [0, 0, 0]
