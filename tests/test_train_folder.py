"""A folder of a training knows what it is: weights, images, recipe and network by their contents."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import PATIENCE_S, netlathe
from safetensors.numpy import load_file, save_file

from netlathe import zoo
from netlathe.errors import NetlatheError
from netlathe.lower.initial import initial_weights
from netlathe.runfolder.folder import open_run
from netlathe.runfolder.identity import file_content
from netlathe.train.classification import TrainingResult, train
from netlathe.train.folder import TRAINING
from netlathe.train.images import Splits, load
from netlathe.train.recipefile import load as load_recipe
from netlathe.train.run import fit_to_images

TINY = "resnet20:depth=8"
WORDS = ["train", TINY, "--data", "photos.npz", "--recipe", "digits", "--resolution", 8, "--batch", 16]
QUICK = [*WORDS, "--precision", "fp32", "--threads", 1, "--epochs", 1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with noise in two classes, and two files of weights for a network of them."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder)
    recipe = load_recipe("digits", ["resolution=8", "evaluate.resolution=8"])
    network = fit_to_images(zoo.get("resnet20", depth=8), load(folder / "photos.npz", size=8).train, recipe)
    for seed, name in enumerate(("w1", "w2")):
        save_file(initial_weights(network, "he", seed), folder / f"{name}.safetensors")
    return folder


def write_photos(folder: Path, first: int = 0) -> None:
    labels = np.arange(80) % 2
    pixels = np.random.default_rng(0).integers(0, 255, (80, 8, 8, 1), np.uint8)
    pixels[0] = first
    np.savez(folder / "photos.npz", images=pixels, labels=labels)


@pytest.fixture(scope="module")
def splits(photos: Path) -> Splits:
    return load(photos / "photos.npz", size=8)


def short(splits: Splits, folder: Path, depth: int = 8, **more: object) -> TrainingResult:
    """A training of one epoch."""
    recipe = load_recipe("digits", ["resolution=8", "evaluate.resolution=8", "batch=16"])
    options = {"precision": "fp32", "threads": 1, "epochs": 1.0} | more
    return train(zoo.get("resnet20", depth=depth), splits, recipe, folder, **options)  # type: ignore[arg-type]


def test_other_weights_are_refused_by_name_and_hash_and_the_result_is_left_alone(photos: Path, tmp_path: Path) -> None:
    run = [*QUICK, "-o", tmp_path / "run", "--weights"]
    netlathe(*run, "w1.safetensors", cwd=photos)
    before = load_file(tmp_path / "run" / "weights.safetensors")
    said = netlathe(*run, "w2.safetensors", cwd=photos, code=2).stderr
    first, second = (file_content(photos / f"{name}.safetensors")["key"].split()[1][:12] for name in ("w1", "w2"))
    assert "this folder holds another training: other weights" in said
    assert f"weights: finished with w1.safetensors (sha256 {first}), asked for w2.safetensors (sha256 {second})" in said
    assert "give another folder with -o" in said
    after = load_file(tmp_path / "run" / "weights.safetensors")
    assert all(np.array_equal(before[name], after[name]) for name in before)
    (photos / "copy.safetensors").write_bytes((photos / "w1.safetensors").read_bytes())
    netlathe(*run, "copy.safetensors", cwd=photos)  # the same content under another name


def test_a_training_that_was_stopped_does_not_go_on_from_other_weights(
    photos: Path, splits: Splits, tmp_path: Path
) -> None:
    def stop(tick: object) -> None:
        raise KeyboardInterrupt

    weights = [load_file(photos / f"{name}.safetensors") for name in ("w1", "w2")]
    with pytest.raises(KeyboardInterrupt):
        short(splits, tmp_path, weights=weights[0], progress=stop)
    with pytest.raises(NetlatheError, match=r"weights: stopped with given weights \(sha256 \w{12}\), asked for given"):
        short(splits, tmp_path, weights=weights[1])
    with pytest.raises(NetlatheError, match=r"weights: stopped with given weights \(.*\), asked for [a-z_]+\n"):
        short(splits, tmp_path)
    short(splits, tmp_path, weights=weights[0])


def test_whatever_decides_the_result_is_compared(splits: Splits, tmp_path: Path) -> None:
    short(splits, tmp_path)
    other = replace(splits, test=None)
    for name, change in {
        "images": {"splits": other},
        "network": {"depth": 14},
        "seed": {"seed": 1},
        "epochs": {"epochs": 2.0},
        "time": {"time": 60.0},
        "accumulate": {"accumulate": 2},
        "precision": {"precision": "bf16"},
    }.items():
        with pytest.raises(NetlatheError, match=f"another training: other {name}\n"):
            short(**{"splits": splits, "folder": tmp_path} | change)  # type: ignore[arg-type]
    short(splits, tmp_path, precision="auto", threads=2)  # what is there, whatever the number of threads


def test_images_that_have_changed_are_refused_and_images_that_moved_are_not(photos: Path, tmp_path: Path) -> None:
    run = [word if word != "photos.npz" else tmp_path / "photos.npz" for word in QUICK] + ["-o", tmp_path / "run"]
    write_photos(tmp_path, first=1)
    netlathe(*run)
    write_photos(tmp_path, first=2)
    assert "another training: other images" in netlathe(*run, code=2).stderr
    write_photos(tmp_path / "run", first=1)
    moved = [word if word != tmp_path / "photos.npz" else tmp_path / "run" / "photos.npz" for word in run]
    netlathe(*moved)


@pytest.mark.parametrize("kind", ["pretrain", "fit", "search", "darts", "experiment"])
def test_every_long_job_refuses_the_folder_of_another_kind_and_one_where_somebody_is_at_work(
    photos: Path, splits: Splits, tmp_path: Path, kind: str
) -> None:
    commands: dict[str, list[object]] = {
        "pretrain": ["pretrain", TINY, "--data", "photos.npz"],
        "fit": ["fit", "photos.npz", "--macs", "3M", "--device", "rpi-5"],
        "search": ["search", "run", "macro", "--objective", "proxy:params"],
        "darts": ["search", "darts", "--data", "photos.npz"],
        "experiment": ["experiment", "--nets", "resnet20", "--recipes", "digits", "--data", "photos.npz"],
    }
    words = [*commands[kind], "-o", tmp_path]
    with open_run(tmp_path, TRAINING) as run:
        run.begin({"seed": 0})
        said = netlathe(*words, cwd=photos, code=2).stderr
        assert f"process {os.getpid()} on" in said
        assert "is at work in this folder" in said
    said = netlathe(*words, cwd=photos, code=2).stderr
    assert "this folder holds a training (finished), not a" in said


def test_two_trainings_at_once_the_second_exits_with_2_and_the_first_loses_nothing(
    photos: Path, splits: Splits, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "netlathe", *map(str, QUICK), "-o", str(tmp_path / "run")]
    seen = []

    def second(tick: object) -> None:
        if not seen:
            done = subprocess.run(words, cwd=photos, capture_output=True, text=True, timeout=PATIENCE_S)
            seen.append((done.returncode, done.stderr))

    result = short(splits, tmp_path / "run", progress=second)
    [(code, said)] = seen
    assert code == 2
    assert f"process {os.getpid()} on" in said
    assert "Traceback" not in said
    assert short(splits, tmp_path / "run") == result
    assert short(splits, tmp_path / "alone").test == result.test


@pytest.mark.parametrize("text", ["", '{"schema": "netlathe.run/1"', '{"schema": "netlathe.run/1"}', "[]"])
def test_a_damaged_result_is_named_and_made_again_once_it_is_removed(splits: Splits, tmp_path: Path, text: str) -> None:
    result = short(splits, tmp_path)
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(NetlatheError, match=r"remove result\.json: the same command makes it again"):
        short(splits, tmp_path)
    (tmp_path / "result.json").unlink()
    assert short(splits, tmp_path).test == result.test


def test_a_folder_of_an_earlier_format_is_refused_and_left_alone(splits: Splits, tmp_path: Path) -> None:
    short(splits, tmp_path)
    (tmp_path / "run.json").unlink()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.name != ".lock"}
    with pytest.raises(NetlatheError, match=r"no run\.json, but result\.json, .*: an older Netlathe"):
        short(splits, tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir() if path.name != ".lock"}
