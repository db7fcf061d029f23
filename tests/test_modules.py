"""A torch module that is no expression is trained, exported, checked, quantised and deployed like one."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import netlathe
from image_files import encoded, save_stripes

from netlathe.deploy.check import KEPT, NOT_SHOWN, check_figures
from netlathe.deploy.model_card import model_card
from netlathe.deploy.model_card_page import page
from netlathe.deploy.package import load_package
from netlathe.deploy.predict import predict
from netlathe.deploy.score import images_for, score
from netlathe.deploy.variants import choose_variant, copy_as_float, labelled_pixels
from netlathe.errors import NetlatheError
from netlathe.load import from_document, load_any
from netlathe.train.classification import train as train_module
from netlathe.train.images import load as load_images
from netlathe.train.job import TrainingProgress
from netlathe.train.recipe import Evaluate
from netlathe.train.recipefile import load as load_recipe
from netlathe.trust import without_code

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

    trained = from_document((place / f"{out}_run" / "arch.json").read_text())
    module = trained.module(load_file(place / f"{out}_run" / "weights.safetensors")).eval()
    p = package.preprocessing
    x = torch.from_numpy(np.load(place / "stripes.npz")["images"][:1]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (p.mean, p.std))
    with torch.no_grad():
        odds = module((x - mean) / std).softmax(1)[0]
    answered = [guess["probability"] for guess in guesses]
    assert answered == pytest.approx(odds.sort(descending=True)[0].tolist(), rel=1e-3)


@pytest.fixture(scope="module")
def own(place: Path) -> Path:
    """The package of the module in the file."""
    train(place, "mine.py:net", "own_run")
    netlathe("export", "own_run", "-o", "own", cwd=place)
    return place / "own"


def test_a_package_needs_no_source(own: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the module is gone: it is checked and predicts all the same, and its card knows its cost."""
    (place / "mine.py").rename(place / "gone.py")
    try:
        package = load_package(own)
        images = images_for(package, place / "stripes.npz")
        checked = check_figures(
            package, {"macs": 1e6, "size": 1e5}, None, score(package, images.validation, "validation")
        )
        figures = {finding.name: finding for finding in checked.findings}
        assert figures["macs"].verdict == figures["size"].verdict == KEPT
        assert figures["macs"].value == 16 * 16 * 8 * 27 + 8 * 8 * 16 * 72 + 16 * 3  # convolutions and head
        assert model_card(package, checked)["network"]["arch"]["source"].endswith("mine.py:net")
        assert len(predict(package, [place / "one.png"])[0].guesses) == 3
        with pytest.raises(NetlatheError, match="cannot read this file"):
            from_document((place / "own_run" / "arch.json").read_text()).module()
    finally:
        (place / "gone.py").rename(place / "mine.py")


def test_a_figure_that_nobody_can_count_is_not_shown(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with an operator that no rule knows is checked all the same."""
    package = load_package(own)

    def unknown(net: Any) -> Any:
        raise NetlatheError("no rule for the operator Strange", code="read.operator")

    monkeypatch.setattr(type(package.network), "graph", unknown)
    checked = check_figures(package, {"macs": 1e6}, None)
    [macs] = [finding for finding in checked.findings if finding.name == "macs"]
    assert (macs.value, macs.verdict, macs.note) == (None, NOT_SHOWN, "no rule for the operator Strange")
    assert "not counted" in page(model_card(package, checked))


def test_a_missing_library_is_told_with_the_line_that_installs_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "pip install 'netlathe[hub]'" in train(place, "timm:test_vit", "never", code=5)


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("net", NETS[1:])
def test_modules_are_quantised_like_expressions(net: str, place: Path, timm: Any) -> None:
    quantised(place, net, re.sub(r"\W", "_", net) + "_q")


@pytest.mark.usefixtures("brief")
def test_a_module_is_quantised_like_an_expression(own: Path, place: Path) -> None:
    package = load_package(own)
    images = images_for(package, place / "stripes.npz")
    chosen, tried = choose_variant(
        copy_as_float(package, place / "own8"),
        labelled_pixels(images.train, package, 40),
        labelled_pixels(images.validation, package),
        wanted="int8",
        runtimes=("onnxruntime",),
        limits={},
        tolerance=0.5,
        say=lambda line: None,
    )
    assert chosen.precision.startswith("int8")
    assert chosen.model in {variant.model for variant in tried}


def quantised(place: Path, net: str, out: str) -> None:
    """Trained, exported, quantised and checked by the commands."""
    train(place, net, f"{out}_run")
    netlathe("export", f"{out}_run", "-o", out, cwd=place)
    netlathe("quantise", out, "--data", "stripes.npz", "--form", "int8", "--tolerance", 0.9, "--calibration", 40,
             "-o", f"{out}8", cwd=place)  # fmt: skip
    assert load_package(place / f"{out}8").precision.startswith("int8")


def test_a_training_of_a_module_goes_on_after_a_kill_as_if_nothing_had_been(place: Path) -> None:
    """Stopped in the middle, begun again: the same weights, bit for bit; another file of the module is refused."""
    (net,) = load_any(str(place / "mine.py") + ":net")
    recipe = replace(load_recipe("finetune"), batch=16, resolution=PX, evaluate=Evaluate(resolution=PX))
    splits = load_images(place / "stripes.npz", size=PX)
    options: dict[str, Any] = {"epochs": 3, "precision": "fp32", "save_s": 0.0}
    train_module(net.trainable(), splits, recipe, place / "whole", **options)

    def stop(now: TrainingProgress) -> None:
        if now.seen >= 48:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train_module(net.trainable(), splits, recipe, place / "parts", progress=stop, **options)
    train_module(net.trainable(), splits, recipe, place / "parts", **options)
    whole, parts = ((place / name / "weights.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    (place / "mine.py").write_text(OWN + "# another\n")
    try:
        (other,) = load_any(str(place / "mine.py") + ":net")
        with pytest.raises(NetlatheError, match="network"):
            train_module(other.trainable(), splits, recipe, place / "parts", **options)
    finally:
        (place / "mine.py").write_text(OWN)


USUAL = """
import torch
from torch import nn

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, int(torch.linspace(2, 4, 2)[-1]), 3, 2)
        self.norm = nn.BatchNorm2d(4)
        self.out = nn.Linear(4 * 15 * 15, 10)
    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        return self.out(x.view(len(x), -1))
"""


def test_the_code_that_people_write_is_trained_as_it_is(place: Path) -> None:
    """It plans its widths with tensors, so it is built with memory. It flattens by `view` and `len`: only policies that
    this allows are tried, and the file takes any batch all the same.
    """
    (place / "usual.py").write_text(USUAL)
    netlathe("train", "usual.py:Flat", "--resolution", PX, "--set", f"evaluate.resolution={PX}", "--batch", 16,
             "--epochs", 1, "--data", "stripes.npz", "--recipe", "finetune", "-o", "usual", cwd=place)  # fmt: skip
    assert json.loads((place / "usual" / "result.json").read_text())["classes"] == 3


def test_a_library_that_cannot_build_without_memory_builds_with_it(
    torchvision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torchvision's RegNets, which read tensors of their own while they are planned."""
    build = torchvision.models.get_model

    def plan(name: str, **options: Any) -> Any:
        assert float(torch.ones(1)) == 1
        return build(name, **options)

    monkeypatch.setattr(torchvision.models, "get_model", plan)
    (net,) = load_any("torchvision:squeezenet1_1")
    fitted = net.trainable().for_images(classes=3, channels=3, resolution=PX)
    assert fitted.heads() == ["classifier.1"]


FIXED = """
import torch
from torch import nn

class Token(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.out = nn.Parameter(torch.zeros(1, 1, 3)), nn.Linear(3, 4)
    def forward(self, x):
        tokens = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        return self.out(tokens.mean(1))
"""


def test_a_file_for_one_batch_alone_is_refused_with_the_word_that_helps(place: Path) -> None:
    (place / "fixed.py").write_text(FIXED)
    (net,) = load_any(str(place / "fixed.py") + ":Token", resolution=8)
    with pytest.raises(NetlatheError, match="output differs from the module's by inf") as caught:
        net.trainable().onnx_model(batch=None)
    assert "x.shape[0] is traced, len(x) is not" in caught.value.hint
    assert net.trainable().onnx_model(batch=2) is not None


def test_what_torch_cannot_export_is_one_line(place: Path) -> None:
    (place / "odd.py").write_text(FIXED.replace("x.flatten(2)", "x.flatten(2).erfinv()"))
    done = netlathe("export", "odd.py:Token", "--resolution", 8, "-o", "odd.onnx", code=2, cwd=place)
    assert done.stdout == ""
    assert "Token is a torch module that torch cannot export: UnsupportedOperatorError: " in done.stderr


BROKEN = """
import torch
from torch import nn

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
    def forward(self, x):
        y = self.head(self.body(x).mean((2, 3)))
        return (y, y) if self.training else y

class Asks(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 5)
    def forward(self, x, mask):
        return self.head(x.mean((2, 3)) * mask)

def features():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def maps():
    return nn.Conv2d(3, 4, 3)

def several(num_classes=5):
    return Pair()

pair, asks = Pair, Asks
"""


@pytest.mark.parametrize(
    ("net", "words"),
    [
        ("bad.py:features", ["the head of Sequential cannot be found", "computed by 1, which is BatchNorm2d"]),
        ("bad.py:maps", ["gives 4x30x30 for an image, not a value for each class"]),
        ("bad.py:pair", ["gives a tuple of 2 in training", "aux_logits=False"]),
        ("bad.py:several", ["gives 2x5 at inference for 2 images and 3 classes"]),
        ("bad.py:asks", ["the forward of Asks fails", "missing 1 required positional argument: 'mask'"]),
        ("timm:test_vitt", ["timm has no network 'test_vitt'", "did you mean timm:test_vit"]),
        ("timm:test_vit.nosuch", ["timm has no network 'test_vit.nosuch'", "timm:test_vit.r160_in1k"]),
        ("torchvision:squeezenet1_2", ["torchvision has no network 'squeezenet1_2'", "torchvision:squeezenet1_1"]),
        ("torchvision:alexnet", ["the forward of AlexNet fails on images of 3x32x32", "another --resolution"]),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_trained(
    net: str, words: list[str], place: Path, timm: Any
) -> None:
    (place / "bad.py").write_text(BROKEN)
    said = train(place, net, "never", code=2)
    for word in words:
        assert word in said
    assert not (place / "never" / "weights.safetensors").exists()


def test_code_runs_only_where_it_may(own: Path, place: Path) -> None:
    said = train(place, "mine.py:net", "refused", code=2, NETLATHE_NO_CODE="1")
    assert "no code is wanted" in said
    arch = place / "own_run" / "arch.json"
    said = netlathe("cost", arch, code=2).stderr  # a document may come from anywhere
    assert f"names code, {(place / 'mine.py').resolve()}:net, and reading a document runs none" in said
    with without_code(), pytest.raises(NetlatheError, match="no code is wanted"):
        from_document(arch.read_text()).module()
    (place / "mine.py").write_text(OWN + "# another\n")
    try:
        with pytest.raises(NetlatheError, match="not the file that the module was recorded from"):
            from_document(arch.read_text()).module()
    finally:
        (place / "mine.py").write_text(OWN)


def test_knobs_say_that_they_need_an_expression(place: Path) -> None:
    said = netlathe("reshape", "mine.py:net", "--width", "0.5", code=2, cwd=place).stderr
    assert "net is a torch module: it has operators, but no expression" in said
