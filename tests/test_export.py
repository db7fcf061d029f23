"""netlathe export as its users call it: an ONNX file that is whole and verified, or none at all."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType
from typing import Any

import command
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hub_cache import cached
from safetensors.torch import save_file

from netlathe import zoo
from netlathe.cli.main import run
from netlathe.lower.weights import random_weights
from netlathe.testing import randomise

pytestmark = pytest.mark.usefixtures("one_thread")


def netlathe(*words: str, code: int = 0) -> CompletedProcess[str]:
    return command.netlathe("export", *words, code=code)


def outputs(file: Path, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    y: np.ndarray[Any, Any] = ort.InferenceSession(str(file)).run(None, {"input": x})[0]
    return y


def image(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def test_random_weights_are_said_to_be_random(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    done = netlathe("mobilenetv2:alpha=0.35", "--resolution", "64", "-o", str(file))
    assert "random, seed 0" in done.stdout
    assert "nothing to compare with" in done.stdout
    assert outputs(file, image(1, 3, 64, 64)).shape == (1, 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]  # no temporary file stays


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.onnx" for name in "abc"]
    for file, seed in zip(files, "112", strict=True):
        netlathe("lenet5_modern", "--seed", seed, "-o", str(file))
    a, b, c = (file.read_bytes() for file in files)
    assert a == b != c


def test_a_free_batch_takes_any_number_of_images(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    netlathe("lenet5_modern", "--batch", "dynamic", "-o", str(file))
    assert onnx.load(file).graph.input[0].type.tensor_type.shape.dim[0].dim_param
    three = image(3, 1, 32, 32)
    assert np.allclose(outputs(file, three)[1:2], outputs(file, three[1:2]), atol=1e-5)


def test_weights_of_a_file_are_in_the_network(tmp_path: Path) -> None:
    network = zoo.get("lenet5_modern")
    sent = random_weights(network, seed=5)
    save_file({name: torch.from_numpy(array) for name, array in sent.items()}, tmp_path / "w.safetensors")
    words = ("lenet5_modern", "--weights", str(tmp_path / "w.safetensors"), "-o", str(tmp_path / "net.onnx"), "--json")
    document = json.loads(netlathe(*words).stdout)
    assert (document["schema"], document["ok"]) == ("netlathe.export/1", True)
    data = document["data"]
    assert (data["tensors"], data["relative_error"], data["params"]) == (len(sent), None, 61_706)
    assert data["bytes"] == (tmp_path / "net.onnx").stat().st_size
    kept = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "net.onnx").graph.initializer}
    assert all(np.array_equal(kept[name], array) for name, array in sent.items())


@pytest.mark.parametrize("batch", ["1", "2", "dynamic"])
def test_weights_of_a_twin_give_the_output_of_its_module(
    batch: str, tmp_path: Path, timm: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    module = timm.create_model("mobilenetv2_035", num_classes=7).eval()
    randomise(module)
    torch.save({"state_dict": module.state_dict()}, tmp_path / "w.pth")
    file = tmp_path / "net.onnx"
    words = ("export", "mobilenetv2_035:classes=7", "--weights", str(tmp_path / "w.pth"), "--resolution", "64")
    assert run([*words, "--batch", batch, "-o", str(file)]) == 0
    assert "output of the source within" in capsys.readouterr().out
    x = image(2 if batch == "2" else 1, 3, 64, 64)
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy()
    assert np.abs(outputs(file, x) - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_timm_as_a_source_is_named_with_licence_and_images(
    tmp_path: Path, timm: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cached(monkeypatch, tmp_path / "hub", "resnet18.a1_in1k", timm.create_model("resnet18").state_dict())
    words = ["export", "resnet18", "--weights", "timm:resnet18.a1_in1k", "--resolution", "64"]
    assert run([*words, "-o", str(tmp_path / "net.onnx")]) == 0
    said = capsys.readouterr().out
    for fact in ("timm resnet18.a1_in1k (102 tensors)", "licence   apache-2.0", "mean [0.485, 0.456, 0.406]"):
        assert fact in said


def test_a_file_that_computes_something_else_is_never_written(
    tmp_path: Path, timm: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Our network has another epsilon than timm's module: the tensors fit, the outputs do not."""
    file = tmp_path / "net.onnx"
    torch.save(timm.create_model("efficientnet_b5", num_classes=5).state_dict(), tmp_path / "w.pth")
    words = ["export", "efficientnet_b5:classes=5", "--resolution", "64", "--weights", str(tmp_path / "w.pth")]
    assert run([*words, "-o", str(file)]) == 4
    said = capsys.readouterr().err
    assert "its output differs by" in said
    assert "efficientnet_b5:eps=1e-5" in said
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "."], "is a directory"),
        (["-o", "nowhere/net.onnx"], "mkdir -p nowhere"),
        (["-o", "net.pth"], "net.onnx"),
        (["-o", "net.onnx", "--batch", "0"], "neither a positive number nor dynamic"),
        (["-o", "net.onnx", "--weights", "absent.safetensors"], "no such file"),
        (["-o", "net.onnx", "--weights", "keras:lenet"], "legal: timm:NAME, torchvision:NAME[.WEIGHTS]"),
        (["-o", "net.onnx", "--weights", "broken.safetensors"], "no whole safetensors file"),
        ([], "Missing option '-o'"),
    ],
)
def test_mistakes_are_told_on_one_screen_and_leave_no_file(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\x08")
    done = command.netlathe("export", "lenet5_modern", *words, code=2, cwd=tmp_path)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["broken.safetensors"]


def test_weights_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    sent = random_weights(zoo.get("lenet5_modern"))
    sent["stage1.wait"] = sent.pop("stage1.conv.bias")
    save_file({name: torch.from_numpy(array) for name, array in sent.items()}, tmp_path / "w.safetensors")
    words = ("lenet5_modern", "--weights", str(tmp_path / "w.safetensors"), "-o", str(tmp_path / "net.onnx"))
    said = netlathe(*words, code=2).stderr
    assert "missing: stage1.conv.bias (6,)" in said
    assert "unexpected: stage1.wait" in said
    document = json.loads(netlathe(*words, "--json", code=2).stdout)
    assert document["error"]["code"] == "weights.mismatch"
