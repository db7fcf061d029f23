"""Uploads are parsed in a process of their own, with a limit on its memory, its time and its open files.

`parse` starts it and waits for one JSON document: of an arch.json or a card the canonical text, of an ONNX file the
operators as plain numbers (`graph_json`). The server keeps that text; the workers of the page read it once more.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from netlathe.device.card import parse as parse_card
from netlathe.device.card import to_toml
from netlathe.errors import NetlatheError
from netlathe.files import read_text
from netlathe.lab.graph_json import graph_to_json
from netlathe.lab.uploads import Upload
from netlathe.process.call import CallFailed, call_json
from netlathe.process.limits import Limits

KINDS = {".onnx": "graph", ".json": "arch", ".toml": "card"}
MEMORY = 2 << 30  # bytes of address space
SECONDS = 20.0  # of processor time
PATIENCE = 3  # times as long on a clock: a busy machine is no fault of a file
OPERATORS = 5000  # more would not answer a move of a knob in time
LONGEST = 16 << 20  # characters of what was read


async def parse(file: Path, name: str, *, memory: int = MEMORY, seconds: float = SECONDS) -> Upload:
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
    except CallFailed as failure:
        late = failure.code == "lab.timeout"
        used_up = "the process that reads it used up its memory or its time"
        why = f"reading it takes more than {PATIENCE * seconds:g} s" if late else used_up
        raise too_much(name, why) from None
    if "error" in document:
        raise NetlatheError(**{str(key): str(value) for key, value in document["error"].items()})
    return Upload(kind, name, str(document["title"]), str(document["text"]))


def too_much(name: str, why: str) -> NetlatheError:
    return NetlatheError(
        f"{name} is too much for the lab: {why}", code="lab.limits", hint="netlathe cost FILE has no such limit"
    )


def read(kind: str, file: Path, name: str) -> tuple[str, str]:
    """In the process: what a file holds is called, and its text. Raises NetlatheError."""
    if kind == "graph":
        from netlathe.read.onnx import read_onnx

        graph = read_onnx(file)
        refuse_large(name, len(graph.ops))
        return name, json.dumps(graph_to_json(graph), separators=(",", ":"))
    text = read_text(file)
    if kind == "card":
        card = parse_card(text, name)
        return card.name, to_toml(card)
    from netlathe.arch.document import from_json, to_json

    network = from_json(text, source=name)
    refuse_large(name, len(network.graph().ops))
    return network.name, to_json(network, indent=None)


def refuse_large(name: str, count: int) -> None:
    """Refuse what could not be drawn while a knob moves."""
    if count > OPERATORS:
        raise too_much(name, f"it has {count} operators, and the page follows a knob up to {OPERATORS}")


def describe_file(kind: str, file: str | Path, name: str) -> dict[str, Any]:
    """What the process says of a file: the document, or the mistake with no path of this machine in it."""
    try:
        title, content = read(kind, Path(file), name)
        if len(title) + len(content) > LONGEST:
            raise too_much(name, "its names or numbers are too long")
        return {"title": title, "text": content}
    except NetlatheError as error:
        fields = {"message": error.message, "code": error.code, "path": error.path, "hint": error.hint}
        return {"error": {key: value.replace(str(file), name) for key, value in fields.items()}}
    except (MemoryError, RecursionError) as error:
        what = "memory" if isinstance(error, MemoryError) else "nesting"
        refused = too_much(name, f"it needs more {what} than is granted")
        return {"error": {"message": refused.message, "code": refused.code, "hint": refused.hint}}
