"""Uploads are parsed in a process of their own, with a limit on its memory, its time and its open files.

`parse` starts it and waits for one JSON document. What that says is checked again here: of an arch.json or a card the
canonical text comes back, of an ONNX file the operators as plain numbers (`graph_json`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from netlathe.arch.net import GraphNet, Net
from netlathe.device.card import DeviceCard, to_toml
from netlathe.device.card import parse as parse_card
from netlathe.errors import NetlatheError
from netlathe.lab.graph_json import graph_from_json, graph_to_json
from netlathe.process.call import CallFailed, call_json
from netlathe.process.limits import Limits

Parsed: TypeAlias = Net | DeviceCard
KINDS = {".onnx": "onnx", ".json": "arch", ".toml": "card"}
MEMORY = 2 << 30  # bytes of address space
SECONDS = 20.0  # of processor time
PATIENCE = 3  # times as long on a clock: a busy machine is no fault of a file
OPERATORS = 5000  # more would not answer a move of a knob in time


async def parse(file: Path, name: str, *, memory: int = MEMORY, seconds: float = SECONDS) -> Parsed:
    """What a file holds; `name` is what the user calls it, and its ending says the kind.

    Raises NetlatheError for another ending, a file with faults, and one that takes too much memory or time.
    """
    kind = KINDS.get(Path(name).suffix.lower())
    if kind is None:
        raise NetlatheError(
            f"{name} is none of the files that the lab reads",
            code="lab.kind",
            hint="drop a model.onnx, an arch.json (netlathe arch NET --json), or a device card (.toml)",
        )
    keep = ("PATH", "PYTHONPATH", "HOME", "LANG", "TMPDIR")
    env = {key: value for key, value in os.environ.items() if key in keep} | {"OMP_NUM_THREADS": "1"}
    limits = Limits(memory, max(1, round(seconds)), file_bytes=0, processes=0)
    try:
        document = await call_json(describe_file, env, PATIENCE * seconds, "lab", limits, kind, str(file), name)
        return received(document, kind, name)
    except CallFailed as failure:
        late = failure.code == "lab.timeout"
        used_up = "the process that reads it used up its memory or its time"
        why = f"reading it takes more than {PATIENCE * seconds:g} s" if late else used_up
        raise too_much(name, why) from None


def too_much(name: str, why: str) -> NetlatheError:
    return NetlatheError(
        f"{name} is too much for the lab: {why}", code="lab.limits", hint="netlathe cost FILE has no such limit"
    )


def received(document: Mapping[str, Any], kind: str, name: str) -> Parsed:
    """What the process said, made a network or a card. Raises the NetlatheError that it met."""
    try:
        if "error" in document:
            raise NetlatheError(**{str(key): str(value) for key, value in document["error"].items()})
        if kind == "onnx":
            return GraphNet(name, graph_from_json(document["graph"]))
        if kind == "card":
            return parse_card(document["card"], name)
        from netlathe.arch.document import from_json

        return from_json(document["arch"], source=name)
    except NetlatheError:
        raise
    except (ValueError, KeyError, TypeError):
        raise too_much(name, "the process that reads it gave no answer that can be read") from None


def read(kind: str, file: Path, name: str) -> dict[str, Any]:
    """In the process: the document of a file. Raises NetlatheError."""
    if kind == "onnx":
        from netlathe.read.onnx import read_onnx

        graph = read_onnx(file)
        refuse_large(name, len(graph.ops))
        return {"graph": graph_to_json(graph)}
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise NetlatheError("this is not text", code="file.unreadable", path=name) from None
    if kind == "card":
        return {"card": to_toml(parse_card(text, name))}
    from netlathe.arch.document import from_json, to_json

    network = from_json(text, source=name)
    refuse_large(name, len(network.graph().ops))
    return {"arch": to_json(network, indent=None)}


def refuse_large(name: str, count: int) -> None:
    """Refuse what could not be drawn while a knob moves."""
    if count > OPERATORS:
        raise too_much(name, f"it has {count} operators, and the page follows a knob up to {OPERATORS}")


def describe_file(kind: str, file: str | Path, name: str) -> dict[str, Any]:
    """What the process says of a file: the document, or the mistake with no path of this machine in it."""
    try:
        return read(kind, Path(file), name)
    except NetlatheError as error:
        fields = {"message": error.message, "code": error.code, "path": error.path, "hint": error.hint}
        return {"error": {key: value.replace(str(file), name) for key, value in fields.items()}}
    except (MemoryError, RecursionError) as error:
        what = "memory" if isinstance(error, MemoryError) else "nesting"
        refused = too_much(name, f"it needs more {what} than is granted")
        return {"error": {"message": refused.message, "code": refused.code, "hint": refused.hint}}
