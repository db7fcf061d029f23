"""A fit is a transfer first: probes of pretrained networks, unfrozen layers, and what is said where there are none.

The 'pretrained' weights are random ones: features of a random network tell stripes apart, and unfreezing spoils them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from command import command, netlathe
from image_files import save_stripes
from PIL import Image
from safetensors.numpy import save_file

from netlathe.choose.budget import Budget, Candidate
from netlathe.errors import Exit, NetlatheError
from netlathe.fit.chance import refuse_chance
from netlathe.fit.clock import Clock, final_seconds, reserved_seconds
from netlathe.fit.config import FitConfig, command_line, read_config
from netlathe.fit.local_weights import asked_weights, find_weights, standard_caches
from netlathe.fit.offers import Offer, find_offers, hub_fault
from netlathe.fit.plan import describe_time, plan_unfreezing
from netlathe.fit.pretrained import find_finest
from netlathe.fit.probing import count_images, rank_probes
from netlathe.fit.teacher import soften
from netlathe.fit.transfer import beats
from netlathe.lower.initial import initial_weights
from netlathe.report.pages.fit import race
from netlathe.target.device import targets_on
from netlathe.target.target import Forecast
from netlathe.train.recipefile import load as load_recipe
from netlathe.zoo import get

QUICK = ("--device", "rpi-5", "--threads", "1", "--precision", "fp32", "--epochs", "1", "--form", "fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of stripes, and a folder of weights: a network, a file of no known network, and notes."""
    folder = tmp_path_factory.mktemp("transfer")
    save_stripes(folder / "stripes.npz", (120, 32, 32, 3), seed=1)
    weights = folder / "weights"
    weights.mkdir()
    save_file(initial_weights(get("resnet20"), "he", 0), weights / "resnet20.safetensors")
    save_file({"x": np.zeros(1, np.float32)}, weights / "mine.safetensors")
    (weights / "README.md").write_text("weights")
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Path:
    """A fit with that folder."""
    out = folder / "out"
    fit = netlathe("fit", folder / "stripes.npz", "--macs", "60M", *QUICK, "--weights-dir", folder / "weights",
                   "-o", out, NETLATHE_CACHE=str(folder / "cache"))  # fmt: skip
    (folder / "said").write_text(fit.stderr)
    return out


def result(out: Path, step: str) -> Any:
    return json.loads((out / "steps" / f"{step}.json").read_text())["result"]


def test_a_fit_with_a_folder_of_weights_probes_them(done: Path) -> None:
    assert result(done, "pretrained")["candidates"][0]["name"] == "resnet20@32"
    probe = result(done, "probe-resnet20-32")
    assert 60 < probe["images"] < 120  # those of training
    assert probe["accuracy"] > 0.9 > 1 / 3  # of three classes, each image held out in turn
    assert probe["interval"][0] <= probe["accuracy"] <= probe["interval"][1]
    assert "left out, for their names are of no known network: mine.safetensors" in (done.parent / "said").read_text()


def test_the_probe_stays_where_unfreezing_is_worse(done: Path) -> None:
    final = result(done, "final")
    assert final["unfrozen"] < final["probed"]
    assert final["folder"] == "probed"
    card = json.loads((done / "card.json").read_text())
    figures = card["training"]["figures"]
    assert figures["how"] == "a linear probe on frozen features"
    assert figures["unfreezing"].endswith("the probe stays")
    assert card["accuracy"]["share"] > 0.9


def test_what_is_done_is_not_done_again_and_a_broken_chunk_of_features_is(done: Path, folder: Path) -> None:
    steps = {path: path.read_bytes() for path in (done / "steps").glob("*.json")}
    (done / "steps" / "probed.json").unlink()
    chunk = next((done / "features").rglob("*.npy"))
    chunk.write_bytes(b"cut")
    netlathe("fit", folder / "stripes.npz", "--macs", "60M", *QUICK, "--weights-dir", folder / "weights", "-o", done,
             NETLATHE_CACHE=str(folder / "cache"))  # fmt: skip
    assert len(chunk.read_bytes()) > 100
    again = result(done, "probed")
    assert again == json.loads(steps[done / "steps" / "probed.json"])["result"]


def test_the_page_of_a_transfer_shows_the_race_of_probes(done: Path) -> None:
    pytest.importorskip("plotly")
    steps = {path.stem: json.loads(path.read_text())["result"] for path in (done / "steps").glob("*.json")}
    [(title, parts)] = race(steps)
    assert title == "The race"
    assert "held out in turn" in str(parts[0])
    assert "trained to the end" in str(parts[-1])


def test_another_folder_of_weights_is_another_fit(done: Path, folder: Path) -> None:
    other = command("fit", folder / "stripes.npz", "--macs", "60M", *QUICK, "-o", done,
                    NETLATHE_CACHE=str(folder / "cache"))  # fmt: skip
    assert other.returncode == Exit.USAGE
    assert "another fit: other weights_dir" in other.stderr


def test_a_dry_run_shows_the_probes_and_what_the_time_buys(folder: Path) -> None:
    words = ("--device", "rpi-5", "--threads", "1", "--precision", "fp32", "--time", "3m", "--dry-run", "--json")
    dry = netlathe("fit", folder / "stripes.npz", "--macs", "60M", *words, "--weights-dir", folder / "weights",
                   NETLATHE_CACHE=str(folder / "cache"))  # fmt: skip
    data = json.loads(dry.stdout)["data"]
    assert [row["name"] for row in data["candidates"]] == ["resnet20@32"]
    assert "images: resnet20@32" in data["plan"]
    assert "unfreezing buys about" in data["plan"]


def test_the_command_on_the_card_says_all_that_was_asked_for(folder: Path, done: Path) -> None:
    line = command_line(read_config(done / "run.toml"))
    for words in ("--macs 60M", "--device rpi-5", "--threads 1", "--precision fp32", "--epochs 1", "--form fp32",
                  f"--weights-dir {folder / 'weights'}", "--seed 0"):  # fmt: skip
        assert words in line
    changed = FitConfig(
        data="my photos", budget={"latency": "5ms"}, recipe=load_recipe("fast", ["augment.flip=0.0"]), seconds=60,
        run_threads=2, resolution=96, scratch=True,
    )  # fmt: skip
    line = command_line(changed)
    for words in ("'my photos'", "--latency 5ms", "--time 60s", "--run-threads 2", "--resolution 96", "--scratch",
                  "--recipe fast", "--set augment.flip=0.0"):  # fmt: skip
        assert words in line


def test_names_of_files_say_which_network_they_are_of(tmp_path: Path) -> None:
    names = ["models--timm--resnet18.a1_in1k/snapshots/01ab/model.safetensors", "resnet50-0676ba61.pth", "deit.md",
             "resnet20.safetensors", "models--timm--resnet18.a1_in1k/blobs/x.bin", "nobody.pth"]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    local, others = find_weights([tmp_path])
    assert {one.network for one in local} == {"timm:resnet18.a1_in1k", "resnet20", "torchvision:resnet50"}
    assert [file.name for file in others] == ["nobody.pth"]
    asked = asked_weights(["resnet20=mine.safetensors"], local)
    assert asked[0] == "resnet20=mine.safetensors"  # what was named comes first, and each network once
    assert {text.partition("=")[0] for text in asked[1:]} == {"timm:resnet18.a1_in1k", "torchvision:resnet50"}
    with pytest.raises(NetlatheError, match="no such folder of weights"):
        find_weights([tmp_path / "gone"])


def test_the_caches_of_hubs_are_where_their_variables_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hub", "torch/hub/checkpoints"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert standard_caches() == [tmp_path / "hub", tmp_path / "torch" / "hub" / "checkpoints"]


def test_time_buys_the_last_layers_first_and_all_of_them_where_there_is_more() -> None:
    none, last, everything = (plan_unfreezing(seconds, None, 1000, 50.0) for seconds in (30, 60, 600))
    assert none["frozen"] is None  # an epoch of the last layers takes 36 s
    assert "36 s" in none["buys"]
    assert (last["frozen"] > 0, last["unfreeze"]) == (True, 1.0)
    assert everything["unfreeze"] < 1


def test_the_shares_of_the_time_add_up_to_the_wall() -> None:
    lines = describe_time(300, None, 12, 1000, {"a": {"images_per_s": 20.0}, "b": {"images_per_s": 5.0}})
    [shares] = [line for line in lines if line.startswith("of 300 s")]
    seconds = [int(word) for word in shares.partition(":")[2].replace(",", "").split() if word.isdigit()]
    assert abs(sum(seconds) - 300) <= 2
    assert any("there is time for features of" in line for line in lines)


def test_a_probe_takes_whole_chunks_that_are_affordable_and_not_too_few() -> None:
    assert count_images(10_000, None) == 10_000
    assert count_images(10_000, 3_000) == 2_944
    assert count_images(10_000, 10) == 256
    assert count_images(100, 10) == 100


def test_probes_are_ranked_on_the_images_that_all_saw() -> None:
    pool = {name: {"latency_ms": (1, ms, 9)} for name, ms in (("fast", 1.0), ("slow", 5.0))}
    results = {
        "fast": {"images": 256, "correct": list(range(100))},
        "slow": {"images": 512, "correct": list(range(200))},
    }
    ranking = rank_probes(pool, results)
    assert ranking["images"] == 256
    assert ranking["kept"] == ["slow"]
    assert ranking["validation"] == {"slow": 200 / 256, "fast": 100 / 256}


def test_a_race_that_nobody_learned_in_is_refused_with_what_would_help() -> None:
    labels = np.array([0] * 60 + [1] * 40)
    refuse_chance("net", 61, labels, ("a", "b"), ("more time",))
    with pytest.raises(NetlatheError, match=r"naming the largest class, a, gets 60\.0 %") as error:
        refuse_chance("net", 60, labels, ("a", "b"), ("more time",))
    assert "more time" in str(error.value.hint)
    assert error.value.exit == Exit.CHECK_FAILED


def test_unfreezing_beats_a_probe_by_right_images_or_by_less_doubt() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    old = rng.normal(size=(300, 3)) + 1.5 * np.eye(3)[labels]
    assert not beats(old + 0.01 * rng.normal(size=old.shape), old, labels)[0]  # the same but for chance
    assert beats(old + 0.5 * np.eye(3)[labels], old, labels)[0]  # many more are right
    surer = old + 0.3 * np.eye(3)[labels] * (old.argmax(1) == labels)[:, None]
    assert (surer.argmax(1) == old.argmax(1)).all()
    assert beats(surer, old, labels)[0]  # as many are right, and it is surer of these
    assert not beats(3 * old, old, labels)[0]  # merely louder: each is judged at its own temperature
    assert not beats(old - 0.5 * np.eye(3)[labels], old, labels)[0]


def test_what_a_teacher_says_is_softened_and_keeps_the_label() -> None:
    targets = soften(np.array([[4.0, 0.0], [0.0, 4.0]], np.float32), np.array([0, 0]))
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    assert 0.9 < targets[0, 0] < 1
    assert targets[1].argmax() == 0  # a teacher that is wrong does not outweigh the label


class Bench:
    """Measures what `true_ms` says of a side, and keeps a list of what was measured."""

    def __init__(self, true_ms: dict[int, float]) -> None:
        self.true_ms, self.measured = true_ms, list[int]()

    def measure(self, candidates: list[Any]) -> list[Any]:
        self.measured += [c.resolution for c in candidates]
        return [replace(c, forecast=Forecast(*(self.true_ms[c.resolution],) * 3, "measured")) for c in candidates]


def finest_of(forecast: dict[int, float], true_ms: dict[int, float], budget_ms: float) -> tuple[int | None, list[int]]:
    """The side that is taken, and those that were measured; forecasts have an interval of a fifth around them."""
    bench = Bench(true_ms)

    def build(side: int) -> list[Candidate]:
        ms = forecast[side]
        network = get("resnet20").at(side)
        return [Candidate(network, None, side**2, 1, 1, forecast=Forecast(ms, 0.8 * ms, 1.2 * ms, "forecast"))]

    best = find_finest(build, sorted(forecast, reverse=True), Budget(latency=budget_ms), bench, lambda line: None)  # type: ignore[arg-type]
    return (best.resolution if best else None), bench.measured


def test_the_finest_resolution_is_that_which_is_measured_to_keep_the_budget() -> None:
    ms = {side: side**2 / 1000 for side in (224, 192, 160, 128, 96, 64)}  # 50, 37, 26, 16, 9, 4
    assert finest_of(ms, ms, 60) == (224, [224])
    assert finest_of(ms, ms, 20) == (128, [128])
    slower = {side: 2 * x for side, x in ms.items()}
    assert finest_of(ms, slower, 20) == (96, [128, 96])  # the forecast was wrong: measurement decides
    faster = {side: x / 2 for side, x in ms.items()}
    assert finest_of(ms, faster, 20) == (192, [128, 192])  # also where it was too cautious
    assert finest_of(ms, ms, 1)[0] is None


def test_on_a_busy_machine_more_time_is_kept_for_deploying(tmp_path: Path) -> None:
    clock = Clock(tmp_path, 0.0)
    clock.ticked = 0.0, 0.0
    for turn in range(1, 9):
        clock.tick(2.0 * turn, 1.0 * turn)  # two seconds of the wall for each of the processor
    assert clock.slowdown == 2
    clock.tick(100.0, 8.0)  # something else was waited for: that says nothing
    assert clock.slowdown == 2
    assert reserved_seconds(600, clock.slowdown) == 2 * reserved_seconds(600)
    assert final_seconds(600, 100, 2.0) == 600 - 100 - reserved_seconds(600, 2.0)
    assert reserved_seconds(60, 3.0) == 30  # half of the time at most


@pytest.mark.slow
def test_real_weights_of_a_network_that_the_zoo_lacks_reach_the_card(
    folder: Path, lite0_files: Path, timm: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    netlathe("fit", folder / "stripes.npz", "--macs", "400M", "--resolution", "64", *QUICK, "--weights-dir",
             lite0_files, "-o", out, NETLATHE_CACHE=str(folder / "cache"))  # fmt: skip
    card = json.loads((out / "card.json").read_text())
    assert card["name"] == "timm:tf_efficientnet_lite0.in1k"
    assert card["preprocessing"]["mean"] == [0.5, 0.5, 0.5]  # its own
    assert result(out, "rung0")["validation"][f"{card['name']}@64"] > 0.9
    guesses = json.loads(netlathe("predict", out, photo_of(folder, tmp_path), "--json").stdout)
    assert guesses["ok"]


def photo_of(folder: Path, place: Path) -> Path:
    """An image of the set, as a file."""
    path = place / "photo.png"
    Image.fromarray(np.load(folder / "stripes.npz")["images"][0]).save(path)
    return path


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights here, and some to be had, which is as fast to say as it is made up."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    offer = Offer("timm:resnet18", 71.5, 46_800_000)
    monkeypatch.setattr("netlathe.fit.offers.find_offers", lambda *arguments: [offer])


@pytest.mark.usefixtures("offered")
def test_what_could_be_downloaded_is_said_with_its_size_and_nothing_is_without_a_yes(folder: Path) -> None:
    words = ("fit", folder / "stripes.npz", "--macs", "3M", *QUICK, "--dry-run")
    quiet = netlathe(*words, NETLATHE_CACHE=str(folder / "cache"), HF_ENDPOINT="http://127.0.0.1:1")
    assert "no pretrained weights are here: training starts from random weights" in quiet.stderr
    assert "--yes downloads some that keep the budget, --weights-dir FOLDER" in quiet.stderr
    assert "does not answer" not in quiet.stderr  # nobody was asked
    agreed = netlathe(*words, "--yes", NETLATHE_CACHE=str(folder / "cache"), HF_ENDPOINT="http://127.0.0.1:1")
    assert "should keep the budget, 46.8 MB: timm:resnet18 (71.5 % on ImageNet, 46.8 MB)" in agreed.stderr
    assert "nothing is downloaded: http://127.0.0.1:1 does not answer" in agreed.stderr


def test_the_most_accurate_published_weights_that_keep_the_budget_are_offered() -> None:
    targets = targets_on("rpi-5", (), None, 1)
    offers = find_offers(Budget(macs=10**11), targets, 3)
    assert len({offer.asked for offer in offers}) == 3
    assert [offer.top1 for offer in offers] == sorted((offer.top1 for offer in offers), reverse=True)
    assert all(offer.asked.startswith(("timm:", "torchvision:")) and offer.bytes > 10**6 for offer in offers)
    smaller = find_offers(Budget(size=offers[0].bytes - 1, macs=10**11), targets, 1)
    assert smaller[0].bytes < offers[0].bytes


def test_a_hub_that_answers_anything_is_there_and_an_offline_machine_asks_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        fault = hub_fault()
        server.shutdown()
        thread.join()
    assert fault == ""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub_fault() == "HF_HUB_OFFLINE is set"
