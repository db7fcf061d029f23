"""What the page hands out: the network as arch.json or as an ONNX file with random weights, and the report."""

from __future__ import annotations

import re
from pathlib import Path

from netlathe.arch.net import Net
from netlathe.cost.document import document
from netlathe.device.card import DeviceCard
from netlathe.errors import unknown
from netlathe.files import write_text
from netlathe.lab.facts import modernised
from netlathe.lab.knobs import turn_to_legal
from netlathe.lab.state import LabState
from netlathe.target.target import latency_data

ENDINGS = {"arch": "json", "onnx": "onnx", "report": "html"}


def export(what: str, state: LabState, net: Net, card: DeviceCard, folder: Path) -> Path:
    """Write the file and return its path. Raises NetlatheError for another word, and for what has no expression."""
    if what not in ENDINGS:
        raise unknown("export", what, ENDINGS, code="lab.export")
    if what == "report":
        return report(state, net, card, folder)
    network = turn_to_legal(modernised(net, state.step).expression(), state.knobs).network
    file = folder / f"{plain_name(network.name)}.{ENDINGS[what]}"
    if what == "arch":
        from netlathe.arch.document import to_json

        write_text(file, to_json(network))
    elif what == "onnx":
        from netlathe.lower.onnx import save_onnx

        save_onnx(network, file)
    return file


def report(state: LabState, net: Net, card: DeviceCard, folder: Path) -> Path:
    """The page of `netlathe cost --html`, of what the lab shows."""
    from netlathe.lab.facts import read_facts
    from netlathe.lab.view import commands
    from netlathe.report.page import render
    from netlathe.report.pages import cost

    f = read_facts(state, net, card)
    data = document(f.net.name, f.net.input, f.graph, "stage", state.batch, f.target.precision)
    file = folder / f"{plain_name(f.net.name)}.html"
    if f.prediction is not None:
        data |= {"latency": latency_data(f.target, f.net)}
    write_text(file, render(cost.page(data, f.net, f.target, command="\n".join(commands(state, f, net)))))
    return file


def plain_name(name: str) -> str:
    """A name as a file may have it."""
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", name).strip("-.")[:80] or "network"
