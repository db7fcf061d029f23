"""Weights of networks that are no expressions: real ones from a hub's cache, and files, by the module's own names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from command import netlathe
from image_files import save_stripes
from safetensors.numpy import load_file
from safetensors.torch import save_file

from netlathe.errors import NetlatheError
from netlathe.load import load_any
from netlathe.lower.twins import pretrained_timm
from netlathe.read.module_weights import ModuleWeights, load_module_weights
from netlathe.train.start import load_starting_weights

pytestmark = pytest.mark.usefixtures("one_thread")

LITE0 = "timm:tf_efficientnet_lite0"
IN1K = f"{LITE0}.in1k"


def start(net: str, source: object, *, classes: int = 3, channels: int = 3, resolution: int = 64) -> ModuleWeights:
    [loaded] = load_any(net)
    fitted = loaded.trainable().for_images(classes=classes, channels=channels, resolution=resolution)
    return load_module_weights(str(source), fitted, 0)


def test_the_wheel_of_lite0_is_what_timm_expects_of_its_hub(timm: ModuleType, lite0_cache: Path) -> None:
    module, config = pretrained_timm("tf_efficientnet_lite0.in1k")
    assert (config["mean"], config["std"], config["license"]) == ((0.5,) * 3, (0.5,) * 3, "apache-2.0")
    # Statistics that training left, not those of a fresh network, in the last norm of each stage.
    assert all(bool(stage[-1].state_dict()["bn2.running_mean"].abs().max() > 0.1) for stage in module.blocks)


def test_real_weights_are_fine_tuned(lite0_cache: Path, timm: ModuleType, tmp_path: Path) -> None:
    """By the commands of the guide: the body moves, and stays near what it was."""
    save_stripes(tmp_path / "stripes.npz", (48, 64, 64, 3), 0)
    sizes = ["--resolution", 64, "--set", "evaluate.resolution=64", "--batch", 16, "--epochs", 1]
    netlathe("train", LITE0, "--weights", IN1K, "--data", "stripes.npz", "--recipe", "finetune", *sizes,
             "--precision", "fp32", "-o", "run", cwd=tmp_path)  # fmt: skip
    identity = json.loads((tmp_path / "run" / "run.json").read_text())["identity"]
    assert identity["normalisation"] == [[0.5] * 3, [0.5] * 3]  # what its statistics are for, not that of the stripes
    assert identity["weights"]["name"] == IN1K
    published, ours = start(LITE0, IN1K).tensors, load_file(tmp_path / "run" / "weights.safetensors")
    assert 0 < np.abs(ours["conv_stem.weight"] - published["conv_stem.weight"]).max() < 0.05
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 1.2  # a head that knows nothing yet has log 3, however large the features are
    netlathe("export", "run", "-o", "out", cwd=tmp_path)
    package = json.loads((tmp_path / "out" / "package.json").read_text())
    assert package["weights"] == f"{IN1K}, trained on"
    assert package["preprocessing"]["mean"] == [0.5] * 3


def test_a_grey_network_computes_what_the_coloured_one_does_of_grey_images(lite0_cache: Path, timm: ModuleType) -> None:
    [net] = load_any(LITE0)
    grey, coloured = (net.trainable().for_images(classes=1000, channels=channels, resolution=64) for channels in (1, 3))
    of_one, of_three = (load_starting_weights(IN1K, net.trainable(), one, "he", 0) for one in (grey, coloured))
    assert (of_one.normal, of_one.fresh) == (((0.5,), (0.5,)), ())
    x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        y = grey.module(of_one.tensors).eval()(x)
        z = coloured.module(of_three.tensors).eval()(x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(y, z, rtol=1e-3, atol=1e-3)


def file_of(timm: ModuleType, path: Path, name: str, **options: Any) -> Path:
    """A file of weights as timm has them."""
    state = timm.create_model(name, **options).state_dict()
    if path.suffix == ".safetensors":
        save_file({key: tensor.clone() for key, tensor in state.items()}, path)
    else:
        torch.save({"state_dict": state, "epoch": 3}, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_brings_all_but_the_head(suffix: str, timm: ModuleType, tmp_path: Path) -> None:
    path = file_of(timm, tmp_path / f"mine{suffix}", "test_efficientnet", num_classes=7)
    loaded = start("timm:test_efficientnet", path)
    assert loaded.fresh == ("classifier.weight", "classifier.bias")
    assert loaded.tensors["classifier.weight"].shape == (3, 256)
    assert start("timm:test_efficientnet", path, classes=7).fresh == ()  # and the head where the classes are its own


def test_positions_are_brought_to_another_resolution(timm: ModuleType, tmp_path: Path) -> None:
    path = file_of(timm, tmp_path / "vit.safetensors", "test_vit")
    loaded = start("timm:test_vit", path, resolution=32)
    assert loaded.tensors["pos_embed"].shape == (1, 5, 64)
    assert loaded.fresh == ("head.weight", "head.bias")


def alien(timm: ModuleType, folder: Path) -> Path:
    save_file({"a.weight": torch.zeros(3), "b": torch.zeros(2)}, folder / "resnet18.safetensors")
    return folder / "resnet18.safetensors"


def other(timm: ModuleType, folder: Path) -> Path:
    return file_of(timm, folder / "other.pth", "test_efficientnet_gn")


def headless(timm: ModuleType, folder: Path) -> Path:
    path = file_of(timm, folder / "cut.safetensors", "test_efficientnet")
    tensors = load_file(path)
    save_file({k: torch.from_numpy(v) for k, v in tensors.items() if not k.startswith("blocks.0")}, path)
    return path


@pytest.mark.parametrize(
    ("make", "net", "words"),
    [
        (
            alien,
            "timm:test_efficientnet",
            ["no weights of timm:test_efficientnet", "named a.weight, b", "timm:resnet18"],
        ),
        (other, "timm:test_efficientnet", ["tensors of timm:test_efficientnet have no partner", "is not there"]),
        (headless, "timm:test_efficientnet", ["blocks.0.0.conv.weight is not there"]),
        (lambda *_: IN1K, "timm:test_efficientnet", [f"NET is {IN1K} for these weights"]),
        (lambda *_: IN1K, "torchvision:squeezenet1_1", [f"NET is {IN1K} for these weights"]),
        (lambda *_: "torchvision:squeezenet1_0", "torchvision:squeezenet1_1", ["NET is torchvision:squeezenet1_0"]),
        (lambda *_: "hub:thing", "timm:test_vit", ["'hub' is no source of weights"]),
        (lambda *_: "gone.pth", "timm:test_vit", ["no such file"]),
    ],
)
def test_weights_of_another_network_are_refused_by_name(
    make: Callable[[ModuleType, Path], object], net: str, words: list[str], timm: ModuleType, tmp_path: Path
) -> None:
    source = make(timm, tmp_path)
    with pytest.raises(NetlatheError) as caught:
        start(net, source)
    for word in words:
        assert word in f"{caught.value} {caught.value.hint}"
