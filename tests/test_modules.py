"""A torch module that is no expression is trained, exported, checked, quantised and deployed like one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import netlathe
from image_files import encoded, save_stripes

from netlathe.deploy.package import load_package
from netlathe.load import load_any

pytestmark = pytest.mark.usefixtures("one_thread")

PX = 32
OWN = """
from torch import nn

def net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7),
    )
"""
NETS = ["mine.py:net", "torchvision:squeezenet1_1", "timm:test_efficientnet", "timm:test_vit"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file of a module, images of three classes, and one to predict."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "mine.py").write_text(OWN)
    pixels = np.load(save_stripes(folder / "stripes.npz", (96, PX, PX, 3), 0))["images"]
    (folder / "one.png").write_bytes(encoded(pixels[0]))
    return folder


def train(place: Path, net: str, out: str, *words: object, code: int = 0, **env: str) -> str:
    """A training of a step or two; what it says."""
    sizes = ["--resolution", PX, "--set", f"evaluate.resolution={PX}", "--batch", 16, "--epochs", 1]
    fixed = ["--data", "stripes.npz", "--recipe", "finetune", "--precision", "fp32", "-o", out]
    return netlathe("train", net, *sizes, *fixed, *words, code=code, cwd=place, **env).stderr


@pytest.mark.parametrize("net", NETS)
def test_a_module_of_any_source_becomes_a_package_that_answers_as_the_module(net: str, place: Path, timm: Any) -> None:
    out = re.sub(r"\W", "_", net)
    train(place, net, f"{out}_run")
    said = netlathe("export", f"{out}_run", "-o", out, cwd=place).stdout
    assert float(re.findall(r"within (\S+) ", said)[0]) < 1e-4
    package = load_package(place / out)
    assert package.network.name == (net if ":" in net and not net.startswith("mine") else "net")
    document = json.loads(netlathe("predict", out, "one.png", "--json", cwd=place).stdout)
    guesses = document["data"]["images"][0]["classes"]
    # The same by torch: the module with the weights of the run, and the normalisation of the package.
    from safetensors.numpy import load_file

    (trained,) = load_any(str(place / f"{out}_run" / "arch.json"))
    module = trained.trainable().module(load_file(place / f"{out}_run" / "weights.safetensors")).eval()
    p = package.preprocessing
    x = torch.from_numpy(np.load(place / "stripes.npz")["images"][:1]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (p.mean, p.std))
    with torch.no_grad():
        odds = module((x - mean) / std).softmax(1)[0]
    assert [guess["probability"] for guess in guesses] == pytest.approx(
        odds.sort(descending=True)[0].tolist(), rel=1e-3
    )


def test_a_package_needs_no_source(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the library nor the file is there: it is checked and predicts all the same."""
