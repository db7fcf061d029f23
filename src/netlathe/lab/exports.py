"""What the page hands out: the network as arch.json or as an ONNX file with random weights, and the report."""

from __future__ import annotations

import re
from pathlib import Path

from netlathe.device.card import Card
from netlathe.errors import unknown
from netlathe.files import write_text
from netlathe.lab.dials import settled
from netlathe.lab.facts import stepped
from netlathe.lab.state import State
from netlathe.load import Net, expression

ENDINGS = {"arch": "json", "onnx": "onnx", "report": "html"}


def export(what: str, state: State, net: Net, card: Card, folder: Path) -> Path:
    """Write the file and return its path. Raises NetlatheError for another word, and for what has no expression."""
    if what not in ENDINGS:
        raise unknown("export", what, ENDINGS, code="lab.export")
    network = settled(expression(stepped(net, state.step)), state.knobs).network
    file = folder / f"{plain_name(network.name)}.{ENDINGS[what]}"
    if what == "arch":
        from netlathe.arch.document import to_json

        write_text(file, to_json(network))
    elif what == "onnx":
        from netlathe.lower.onnx import save_onnx

        save_onnx(network, file)
    return file


def plain_name(name: str) -> str:
    """A name as a file may have it."""
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", name).strip("-.")[:80] or "network"
