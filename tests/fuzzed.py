"""What is fuzzed: every reader of files that people give, valid files to start from, and how they are spoilt.

Used by the tests (hypothesis, seconds) and by benchmarks/fuzz_readers.py (atheris, as long as you like).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from netlathe import zoo
from netlathe.arch.document import from_json, to_json
from netlathe.arch.network import Network
from netlathe.device import card as cards
from netlathe.errors import NetlatheError
from netlathe.lower.onnx import to_onnx
from netlathe.read.onnx import read_onnx
from netlathe.train import recipefile

WORD = re.compile(r'"[^"\n]*"|[\w.+-]+|[\[\]{},:=]')
# What a word of a file may become: numbers that no network has, other types, other words, broken syntax.
WORDS = (
    *("0", "-1", "7", "1e999", "nan", "inf", "-0.0", "99999999999999999999999", "1e-9", "true", "null", '""', '"x"'),
    *("[]", "{}", "[1, 2]", '"conv"', '"stage"', '"seq"', '"\\u0000"', '"é"', "{", "}", "[", "]", ",", "=", ":", "\n"),
    *("[[a]]", '"kind"', '"items"', "2026-02-30", "'", '"'),
)
LARGE = re.compile(r"\d{3,}")


def arch(data: bytes) -> None:
    """An arch.json, and its operators where no number makes them many."""
    text = data.decode(errors="replace")
    network = from_json(text)
    if not LARGE.search(re.sub(r'"width": \d+|"input": \[[^\]]*\]', "", text)) and len(text) < 20_000:
        network.graph()


def card(data: bytes) -> None:
    """A device card."""
    cards.parse(data.decode(errors="replace"))


def recipe(data: bytes) -> None:
    """A recipe of a training."""
    recipefile.from_toml(data.decode(errors="replace"), "fuzzed", "fuzzed.toml")


def onnx(data: bytes) -> None:
    """An ONNX file."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(data)
        file.flush()
        read_onnx(file.name)


READERS: dict[str, Callable[[bytes], None]] = {"arch": arch, "card": card, "recipe": recipe, "onnx": onnx}


def survives(reader: Callable[[bytes], None], data: bytes) -> bool:
    """Whether a reader takes the file; a mistake that it names is as good. Whatever else it raises is a bug."""
    try:
        reader(data)
    except NetlatheError:
        return False
    return True


@cache
def seeds(reader: str) -> tuple[bytes, ...]:
    """Valid files of a reader."""
    if reader == "arch":
        names = ("lenet5", "mobilenetv1_025", "resnet18", "unet", "googlenet")
        return tuple(to_json(zoo.get(name)).encode() for name in names)
    if reader == "card":
        return tuple(path.read_bytes() for path in sorted(cards.FOLDER.glob("*.toml")))
    if reader == "recipe":
        folder = Path(recipefile.__file__).parent / "recipes"
        return tuple(path.read_bytes() for path in sorted(folder.glob("*.toml")))
    return tuple(small_onnx(name) for name in ("lenet5_modern", "mobilenetv2", "vit_tiny"))


def small_onnx(name: str) -> bytes:
    """A network as an ONNX file whose weights have shapes, but no numbers: a few kilobytes to spoil."""
    found = name if name in zoo.names() else next(n for n in zoo.names() if n.startswith(name[:3]))
    network: Network = zoo.get(found)
    model = to_onnx(network)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 256:
            tensor.ClearField("raw_data")
    return bytes(model.SerializeToString())
