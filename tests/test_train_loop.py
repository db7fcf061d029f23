"""A training is the same training after any kill; time is kept; what goes wrong is said and loses nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import forked
import numpy as np
import onnxruntime as ort
import pytest
import torch
from command import PATIENCE_S, command
from image_files import save_stripes
from safetensors.numpy import load_file

from netlathe import zoo
from netlathe.arch.build import seq
from netlathe.arch.network import Network
from netlathe.arch.rewrite import at
from netlathe.errors import NetlatheError
from netlathe.reshape.knobs import reshape
from netlathe.train import checkpoint, recipefile
from netlathe.train.classification import Classification, train
from netlathe.train.distributed import join_ranks
from netlathe.train.evaluate import measure_normalisation
from netlathe.train.images import ImageSet, Splits, load
from netlathe.train.job import TrainingJob, TrainingProgress
from netlathe.train.loop import step_once
from netlathe.train.plan import make_plan
from netlathe.train.recipe import Recipe
from netlathe.train.run import fit_to_images
from netlathe.train.state import start_state
from netlathe.zoo.mobilenetv3 import SMALL

TINY = "resnet20:depth=8"
FAST = 4.5  # a clock in a hurry


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey images of stripes across, down, or both."""
    return save_stripes(tmp_path_factory.mktemp("stripes") / "stripes.npz", (240, 16, 16, 1), seed=0)


@pytest.fixture(scope="session")
def splits(stripes: Path) -> Splits:
    return load(stripes, size=16)


def recipe(**changes: Any) -> Recipe:
    """A short recipe with everything random in it."""
    words = [
        "resolution=16",
        "evaluate.resolution=16",
        "batch=16",
        "epochs=4",
        "regularise.ema=0.9",
        "optimiser.lr_per=16",
    ]
    return replace(recipefile.load("digits", words), **changes)


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    words = ["train", TINY, "--data", str(data), "--recipe", "digits", "--resolution", "16", "--batch", "16"]
    fixed = ["--precision", "fp32", "--threads", "1", "--save-every", "0.05s"]
    return [*words, *fixed, "--set", "regularise.ema=0.9", "--set", "optimiser.lr_per=16", "-o", str(out), *more]


def same_weights(a: Path, b: Path) -> bool:
    left, right = load_file(a / "weights.safetensors"), load_file(b / "weights.safetensors")
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_a_training_that_is_killed_again_and_again_gives_the_same_weights_bit_for_bit(
    stripes: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = command(*arguments(stripes, whole, "--epochs", "8", "--json"))
    assert done.returncode == 0, done.stderr
    dice, kills = random.Random(), 0
    for _ in range(3):
        process = forked.netlathe(arguments(stripes, broken, "--epochs", "8"))
        while not list(broken.glob("checkpoint-*.pt")) and process.is_alive():
            time.sleep(0.02)
        time.sleep(dice.uniform(0, 0.3))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    assert kills
    assert command(*arguments(stripes, broken, "--epochs", "8")).returncode == 0
    assert same_weights(whole, broken)
    results = [json.loads((folder / "result.json").read_text()) for folder in (whole, broken)]
    assert results[0]["test"] == results[1]["test"]
    lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (whole, broken)]
    assert lines[0] == lines[1]


def start_ranks(words: list[str], folder: Path) -> None:
    """The command in two processes, as torchrun starts them."""
    forked.ranks(folder, forked.command, words)


def start_torchrun(words: list[str], folder: Path) -> None:
    """The command under torchrun itself, each of whose three processes imports torch."""
    launched = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launched += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "netlathe"]
    done = subprocess.run([*launched, *words], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("start", [start_ranks, pytest.param(start_torchrun, marks=pytest.mark.slow)])
def test_two_processes_give_what_one_gives(
    stripes: Path, tmp_path: Path, start: Callable[[list[str], Path], None]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    more = ("--epochs", "2", "--set", "regularise.drop_path=0")
    assert command(*arguments(stripes, one, *more)).returncode == 0
    start(arguments(stripes, two, *more), tmp_path)
    left, right = load_file(one / "weights.safetensors"), load_file(two / "weights.safetensors")
    for name in left:
        assert np.allclose(left[name], right[name], rtol=1e-3, atol=1e-4), name


def test_a_network_learns_what_can_be_learned_and_leaves_files_that_run(splits: Splits, tmp_path: Path) -> None:
    result = train(zoo.get("resnet20", depth=8), splits, recipe(epochs=8.0), tmp_path, precision="fp32", threads=1)
    assert splits.test is not None
    assert result.test is not None
    assert result.test > 0.9
    assert result.images == round(result.epochs * (len(splits.train) // 16 * 16))
    session = ort.InferenceSession(tmp_path / "model.onnx")
    about = session.get_modelmeta().custom_metadata_map
    assert about["netlathe.classes"].split("\n") == list(splits.train.classes)
    x = np.asarray(splits.test.pixels, np.float32).transpose(0, 3, 1, 2) / 255
    x = (x - float(about["netlathe.mean"])) / float(about["netlathe.std"])
    found = session.run(None, {session.get_inputs()[0].name: x})[0].argmax(1)
    assert (found == splits.test.labels).mean() == pytest.approx(result.test)


def test_a_run_that_ended_is_not_run_again_and_another_run_is_refused(splits: Splits, tmp_path: Path) -> None:
    network = zoo.get("resnet20", depth=8)
    first = train(network, splits, recipe(epochs=1.0), tmp_path, precision="fp32", threads=1)
    assert train(network, splits, recipe(epochs=1.0), tmp_path, precision="fp32", threads=1) == first
    with pytest.raises(NetlatheError, match=r"another training: other seed\n *seed: finished with 0, asked for 1"):
        train(network, splits, recipe(epochs=1.0), tmp_path, seed=1)


def test_the_wall_clock_limit_is_kept_and_the_schedule_ends(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock that nobody else slows down, of this one thread that trains, and a fast one: 14 of its seconds take 3.
    monkeypatch.setattr(time, "monotonic", lambda: FAST * time.process_time())
    started = time.monotonic()
    done = command(*arguments(stripes, tmp_path, "--epochs", "100000", "--time", "14s", "--json"))
    took = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert took < 14 + FAST
    assert (tmp_path / "model.onnx").exists()
    events = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert any(event["event"] == "plan" for event in events)
    assert [e["lr"] for e in events if e["event"] == "evaluation"][-1] < 0.2 * recipe().optimiser.lr


def train_without_compiler(words: list[str]) -> None:
    """The command, and exit code 7 where torch's compiler was imported."""
    try:
        forked.command(words)
    except SystemExit as end:
        code = end.code
    compilers = [name for name in sys.modules if name.startswith("torch._dynamo")]
    raise SystemExit(7 if compilers else code)


def test_a_training_does_not_import_torchs_compiler(stripes: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = forked.start(train_without_compiler, arguments(stripes, tmp_path / "out", "--epochs", "1"), log=log)
    process.join()
    assert process.exitcode == 0, log.read_text()
    assert (tmp_path / "out" / "result.json").exists()


def test_ctrl_c_saves_and_says_how_to_go_on(stripes: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = forked.netlathe(arguments(stripes, tmp_path / "out", "--epochs", "100000"), log)
    while not list(tmp_path.glob("out/checkpoint-*.pt")):
        assert process.is_alive(), log.read_text()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130
    assert "the same command goes on" in log.read_text()
    assert (tmp_path / "out" / "model.onnx").exists()


def test_a_training_that_is_asked_to_stop_goes_on_as_one_that_was_not(splits: Splits, tmp_path: Path) -> None:
    def train_in(name: str, stop_at: int | None = None) -> None:
        def ask(tick: TrainingProgress) -> None:
            if tick.seen == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)

        how = {"precision": "fp32", "threads": 1, "epochs": 2.0, "progress": ask}
        train(zoo.get("resnet20", depth=8), splits, recipe(), tmp_path / name, **how)

    train_in("whole")
    batch = recipe().batch
    for steps in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            train_in("stopped", steps * batch)
        assert (tmp_path / "stopped" / "model.onnx").exists()
    train_in("stopped")
    for file in ("metrics.jsonl", "weights.safetensors"):
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(splits: Splits, tmp_path: Path) -> None:
    wild = recipefile.set_fields(recipe(), ["optimiser.name=sgd", "optimiser.lr=1e30", "schedule.warmup=0"])
    with pytest.raises(NetlatheError, match=r"the loss is (nan|inf) at step \d+ of epoch \d+") as caught:
        train(zoo.get("resnet20", depth=8), splits, wild, tmp_path, precision="fp32", threads=1, save_s=0)
    assert "lower learning rate" in caught.value.hint
    for path in tmp_path.glob("checkpoint-*.pt"):
        state = checkpoint.read(path)
        assert state is not None
        assert all(tensor.isfinite().all() for tensor in state["module"].values())


def test_a_batch_beyond_memory_is_refused_before_it_is_tried(splits: Splits, tmp_path: Path) -> None:
    many = replace(
        splits,
        train=replace(
            splits.train,
            pixels=np.broadcast_to(splits.train.pixels[:1], (10**7, 16, 16, 1)),
            labels=np.zeros(10**7, np.int64),
        ),
    )
    with pytest.raises(NetlatheError, match="of memory") as caught:
        train(zoo.get("wrn_28_10"), many, recipe(batch=10**7), tmp_path)
    assert "--accumulate" in caught.value.hint


def test_a_full_disk_is_said_in_one_line(stripes: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = forked.netlathe(arguments(stripes, tmp_path / "out", "--epochs", "2"), log, full=True)
    process.join()
    assert process.exitcode == 2, log.read_text()
    assert "cannot write" in log.read_text()
    assert "Traceback" not in log.read_text()


# Small and shallow members: every layer and every way to join layers of a family, but few of each.
FAMILIES: dict[str, dict[str, Any]] = {
    "resnet18": {"width": 8, "depths": (1, 1, 1, 1)},
    "wrn_16_8": {"width": 1, "depth": 10},
    "vgg11_bn": {"widths": (8, 8, 8, 8, 8)},
    "googlenet": {},
    "densenet121": {"depths": (2, 2), "growth": 8, "width": 16},
    "mobilenetv1_025": {"depths": (1, 2, 1, 2, 1)},
    "mobilenetv2_035": {},
    "mobilenetv3_small": {"table": SMALL[:5], "hidden": 64},
    "efficientnet_b0": {"depth": 0.1, "width": 0.25},
    "regnety_200mf": {"depth": 5},
    "convnext_atto": {"width": 16, "depths": (1, 2)},
    "vit_tiny_patch16": {"width": 48, "depth": 2},
    "swin_tiny": {"width": 32, "depths": (2, 2)},
}


# Where the choices of a family leave it deep: the parts that stay.
PARTS = {
    "googlenet": ("stem", "stage3", "stage4.a", "stage4.aux1", "head"),
    "mobilenetv2_035": ("stem", "stage1", "stage2", "top", "head"),
}


def member(family: str) -> Network:
    """A small network of a family."""
    network = zoo.get(family, **FAMILIES[family])
    if family in ("vgg11_bn", "googlenet"):  # whose own choices leave them wide
        network = reshape(network, width=0.125)
    if family in PARTS:
        parts = {path.replace(".", "_"): at(network.body, path) for path in PARTS[family]}
        network = replace(network, body=seq(**parts))
    return network


def pairs() -> Iterator[Any]:
    """Every family with every recipe: a share of them each in every run, so that each recipe has one family."""
    names = recipefile.recipe_names()
    for i, family in enumerate(FAMILIES):
        share = names[i :: len(FAMILIES)]
        yield family, share
        yield pytest.param(family, [name for name in names if name not in share], marks=pytest.mark.slow)


@pytest.mark.parametrize(("family", "recipes"), list(pairs()))
def test_every_recipe_trains_a_step_on_every_family(family: str, recipes: list[str], tmp_path: Path) -> None:
    network = member(family)
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 255, (8, 40, 40, 3), np.uint8), np.arange(8) % 4
    images = ImageSet(pixels, labels, tuple(map(str, labels)), ("a", "b", "c", "d"), "noise")
    for name in recipes:
        short = recipefile.load(name, ["batch=8", "resolution=32", "evaluate.resolution=32"])
        fitted = fit_to_images(network, images, short)
        plan = make_plan(short, 8, epochs=3)
        job = TrainingJob(
            task=Classification(), network=fitted, splits=Splits(images, images, None, None), recipe=short, seed=0,
            normal=measure_normalisation(images), ranks=join_ranks(), folder=tmp_path,
        )  # fmt: skip
        state = start_state(job.task.build(job, plan), short, plan, job.precision, join_ranks())
        before = [p.detach().clone() for p in state.module.parameters()]
        state.seen = plan.batch  # past the first step, whose learning rate may be zero
        state.module.train()
        loss = step_once(job, state, job.task.batch(job, plan, 0, 0))
        assert np.isfinite(loss), name
        moved = [not torch.equal(a, b) for a, b in zip(before, state.module.parameters(), strict=True)]
        assert sum(moved) > len(moved) / 2, name
        assert all(p.isfinite().all() for p in state.module.parameters()), name
