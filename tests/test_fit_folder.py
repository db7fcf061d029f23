"""The folder of a fit: what it starts from counts by its content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netlathe.errors import NetlatheError
from netlathe.fit.config import FitConfig
from netlathe.fit.folder import FIT, fit_identity
from netlathe.runfolder.folder import open_run
from netlathe.runfolder.identity import find_differences
from netlathe.train.images import ImageSet, Splits
from netlathe.train.recipefile import load as load_recipe

SPACE = """
from netlathe.arch.build import conv, head, seq
from netlathe.arch.combinators import Choice
from netlathe.arch.network import Network
def space():
    return Network("mine", seq(Choice(("a", "b"), (conv(4, 3), conv(8, 3)), "width"), head=head(10)), (3, 32, 32))
"""


def splits(key: str = "k") -> Splits:
    images = ImageSet(np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int64), ("x",) * 4, ("a", "b"), key)
    return Splits(images, images, images, None)  # type: ignore[arg-type]


def config(folder: Path, **changes: Any) -> FitConfig:
    values = {
        "data": "photos", "budget": {"macs": "3M"}, "recipe": load_recipe("small"), "epochs": 1.0, "device": "rpi-5",
        "weights": (f"resnet20={folder}/w.safetensors",), "search": f"{folder}/space.py:space",
        "source": f"{folder}/nets",
    }  # fmt: skip
    return FitConfig(**values | changes)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """What a fit may start from."""
    (tmp_path / "nets").mkdir()
    for name in ("w.safetensors", "nets/a.onnx", "nets/table.csv"):
        (tmp_path / name).write_text(name)
    (tmp_path / "space.py").write_text(SPACE)
    return tmp_path


def names(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [difference.name for difference in find_differences(a, b)]


def test_everything_that_a_fit_starts_from_counts_by_its_content(inputs: Path) -> None:
    before = fit_identity(config(inputs), splits())
    for file, name in {"w.safetensors": "weights", "nets/a.onnx": "source", "space.py": "search"}.items():
        text = (inputs / file).read_text()
        (inputs / file).write_text(text + "\n")
        assert names(before, fit_identity(config(inputs), splits())) == [name]
        (inputs / file).write_text(text)
    (inputs / "nets" / "b.onnx").write_text("one more")
    assert names(before, fit_identity(config(inputs), splits())) == ["source"]
    (inputs / "nets" / "b.onnx").unlink()
    assert names(before, fit_identity(config(inputs, data="moved"), splits())) == []
    assert names(before, fit_identity(config(inputs, device="stm32f746"), splits("other"))) == ["device", "images"]
    other = replace(splits(), validation=splits("other").validation)
    assert names(before, fit_identity(config(inputs), other)) == ["images"]


def test_what_is_measured_here_belongs_to_this_machine(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = fit_identity(config(inputs, device=None), splits())
    assert here["device"]["name"] == "this machine"
    monkeypatch.setattr("netlathe.fit.folder.this_machine", lambda: type("Machine", (), {"id": "another"}))
    assert names(here, fit_identity(config(inputs, device=None), splits())) == ["device"]


def test_a_fit_folder_of_an_earlier_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    with pytest.raises(NetlatheError, match=r"no run\.json, but steps: an older Netlathe"), open_run(tmp_path, FIT):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"steps", ".lock"}
