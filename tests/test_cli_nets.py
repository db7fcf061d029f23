"""Every verb that needs only operators takes an ONNX file and a torch module of the user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lab_server import running

from netlathe import zoo
from netlathe.cli.main import run
from netlathe.lower.onnx import save_onnx

SOURCE = """
from torch import nn

def conv(width_in, width, stride=1):
    return [nn.Conv2d(width_in, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()]

def net():
    return nn.Sequential(*conv(3, 8, 2), *conv(8, 32, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

def wide():
    return nn.Sequential(*conv(3, 256), *conv(256, 256), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))
"""
NETS = ["net.onnx", "mine.py:net"]
NAMES = {"net.onnx": "net.onnx", "mine.py:net": "net"}

pytestmark = pytest.mark.usefixtures("folder", "one_thread")
either = pytest.mark.parametrize("net", NETS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    save_onnx(zoo.get("mobilenetv1_025"), tmp_path / "net.onnx", batch=None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    assert run([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@either
def test_why_says_where_the_time_goes_and_leaves_out_what_would_rewrite(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document = said(capsys, "device", "why", net, "--device", "rpi-5", "--runtime", "ncnn")
    data = document["data"]
    assert data["network"] == NAMES[net]
    assert data["ms"] == pytest.approx(sum(data["by_kind"].values()))
    assert {change["name"] for change in data["changes"]} <= {"8 images at a time", "run in fp16", "run in int8"}
    assert sum("has no expression" in warning for warning in document["warnings"]) == 1
    ours = said(capsys, "device", "why", "mobilenetv1_025", "--device", "rpi-5")
    assert not any("expression" in warning for warning in ours["warnings"])


@either
def test_the_roofline_of_a_file_is_that_of_the_expression(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = said(capsys, "device", "roofline", net, "--device", "rpi-5")["data"]
    assert data["network"] == NAMES[net]
    assert data["ms"] > 0
    if net == "net.onnx":
        ours = said(capsys, "device", "roofline", "mobilenetv1_025", "--device", "rpi-5")["data"]
        assert data["ms"] == pytest.approx(ours["ms"], rel=0.02)


@either
def test_micro_fits_either(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    (fit,) = said(capsys, "device", "micro", net, "--device", "stm32f746")["data"]["fits"]
    assert fit["network"] == f"{NAMES[net]}@224"
    assert fit["verdict"] == "fits"


def test_micro_says_that_patches_need_an_expression(capsys: pytest.CaptureFixture[str]) -> None:
    document = said(capsys, "device", "micro", "mine.py:wide", "--device", "stm32f746")
    (fit,) = document["data"]["fits"]
    assert (fit["verdict"], fit["binding"], fit["patched"]) == ("too big", "sram", None)
    assert any("wide has no expression, whose windows patches follow" in warning for warning in document["warnings"])


def test_device_fit_takes_measurements_of_either(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["network,latency_ms", "net.onnx,3.1", "mine.py:net,1.2", "mobilenetv2,14", "resnet18,40", "resnet50,90"]
    (folder / "mine.csv").write_text("\n".join([*lines, "vgg11,160", "mine.py:net@160,0.7"]))
    data = said(capsys, "device", "fit", "--measurements", "mine.csv", "-o", "mine.toml")["data"]
    assert [model["networks"] for model in data["models"]] == [7]


@either
def test_bench_times_either_and_repeats_a_file(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = said(capsys, "bench", net, "--seconds", "0.05", "--processes", "1")["data"]
    assert (data["network"], data["failure"], data["precision"]) == (NAMES[net], None, "fp32")
    assert data["input"] == [3, 224, 224]
    assert data["median_ms"] > 0


def test_bench_says_what_torch_lacks_to_run_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    error = said(capsys, "bench", "mine.py:net", "--runtime", "torch", code=2)["error"]
    assert error["code"] == "load.no_expression"
    assert "netlathe bench" in error["hint"]


def test_compare_measures_all_kinds_in_turns(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", *NETS, "mobilenetv1_025", "--seconds", "0.05", "--diff")
    rows = said(capsys, *words)["data"]["networks"]
    assert [row["name"] for row in rows] == ["net.onnx", "net", "mobilenetv1_025"]
    assert all(row["latency"]["failure"] is None for row in rows)
    assert all(row["latency"]["interleaved"] for row in rows)
    assert rows[1]["changes"]


@either
@pytest.mark.parametrize("verb", [["cost"], ["device", "roofline"], ["device", "why"]], ids=" ".join)
def test_a_report_is_made_of_what_a_verb_says_of_either(net: str, verb: list[str], folder: Path) -> None:
    device = ["--device", "rpi-5"] if verb[0] == "device" else []
    assert run([*verb, net, *device, "--html", "page.html"]) == 0
    assert NAMES[net] in (folder / "page.html").read_text()


@either
def test_the_lab_starts_with_either(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    macs = said(capsys, "cost", net)["data"]["macs"]
    with running(net) as lab:
        name = lab.url.partition("#net=")[2]
        found = lab.ask("view?charts=roofline,profile", f"net={name}")
        totals = {total["key"]: total["value"] for total in found["totals"]}
        assert totals["macs"] == macs
        assert "without knobs" in found["fixed"]
        assert found["commands"][0].startswith(f"netlathe cost {net} ")
