"""The command line counts torch modules and ONNX files like networks of the zoo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netlathe import zoo
from netlathe.cli.main import run
from netlathe.lower.onnx import save_onnx

SOURCE = """
from torch import nn

class Auxiliary(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head, self.spare = nn.Linear(8, 10), nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.body(x))

class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

def net():
    return Auxiliary()

def tokens():
    return nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 2))

def branch():
    return nn.Sequential(Branch())

def crash():
    raise RuntimeError("no")

def number():
    return 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("from torch import nothing_of_that_name\n")
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x0a\x3a\xff")
    save_onnx(zoo.get("mobilenetv1_025"), tmp_path / "net.onnx", batch=None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code = run([*words, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] == (code == 0)
    return document


@pytest.mark.usefixtures("folder")
def test_cost_of_a_torch_module(capsys: pytest.CaptureFixture[str]) -> None:
    document = said(capsys, "cost", "mine.py:net", "--input", "3x64x64")
    data = document["data"]
    assert (data["name"], data["input"]) == ("net", [3, 64, 64])
    assert (data["params"], data["macs"]) == (3 * 8 * 9 + 8 + 90, 27 * 8 * 31 * 31 + 80)
    assert [row["path"] for row in data["rows"]] == ["body", "head"]
    assert document["warnings"] == ["net: 90 params are not counted, for the forward never uses them: spare"]
    assert run(["cost", "mine.py:net"]) == 0
    shown = capsys.readouterr()
    assert "net, 3x224x224" in shown.out
    assert "warning: net: 90 params are not counted" in shown.err


@pytest.mark.usefixtures("folder")
def test_the_size_of_an_image_and_the_type_of_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "cost", "mine.py:net", "--resolution", "64")["data"]["input"] == [3, 64, 64]
    assert said(capsys, "cost", "mine.py:tokens", "--input", "16:int64")["data"]["macs"] == 16 * 8 * 2
    assert said(capsys, "cost", "resnet18", "--input", "3x64x96")["data"]["input"] == [3, 64, 96]


@pytest.mark.usefixtures("folder")
def test_cost_of_an_onnx_file(capsys: pytest.CaptureFixture[str]) -> None:
    read = said(capsys, "cost", "net.onnx")["data"]
    ours = said(capsys, "cost", "mobilenetv1_025")["data"]
    assert read["name"] == "net.onnx"
    assert all(read[key] == ours[key] for key in ("params", "macs", "acts", "input", "intensity"))
    smaller = said(capsys, "cost", "net.onnx", "--resolution", "160")["data"]["macs"]
    assert smaller == said(capsys, "cost", "mobilenetv1_025", "--resolution", "160")["data"]["macs"]


@pytest.mark.usefixtures("folder")
def test_compare_counts_all_three_kinds_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    data = said(capsys, "compare", "mine.py:net", "net.onnx", "mobilenetv1_025", "--no-latency")["data"]
    assert [row["name"] for row in data["networks"]] == ["net", "net.onnx", "mobilenetv1_025"]
    assert data["networks"][1]["macs"] == data["networks"][2]["macs"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (["cost", "weights.pth"], "load.weights", "file.py:function"),
        (["cost", "net.pkl"], "load.weights", "could run anything"),
        (["cost", "broken.py:net"], "load.broken_file", "nothing_of_that_name"),
        (["cost", "mine.py:nett"], "load.unknown_function", "did you mean net?"),
        (["cost", "mine.py:crash"], "load.broken_function", "RuntimeError: no"),
        (["cost", "mine.py:number"], "load.not_a_network", "a torch module"),
        (["cost", "mine.py:branch"], "read.values", "looks at the values"),
        (["cost", "mine.py:net", "--input", "4x64x64"], "read.forward", "4x64x64"),
        (["cost", "mine.py:net", "--input", "3x64xa"], "usage", "is not a shape"),
        (["cost", "mine.py:tokens", "--input", "16:int65"], "load.input", "did you mean int64"),
        (["cost", "mine.py:net", "--input", "3x8x8", "--resolution", "8"], "usage", "both say the size"),
        (["cost", "cut.onnx"], "read.not_onnx", "only a part"),
        (["cost", "missing.onnx"], "file.unreadable", "No such file"),
        (["arch", "net.onnx"], "load.no_expression", "no expression"),
        (["reshape", "mine.py:net", "--width", "0.5"], "load.no_expression", "--no-latency"),
    ],
)
def test_what_cannot_be_read_says_why(
    words: list[str], code: str, fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = said(capsys, *words)["error"]
    assert error["code"] == code
    assert fragment in error["message"] + error["hint"]
