"""What a recipe file may say: names, types, bounds, and every fault of a document at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Any, cast, get_args, get_type_hints

from netlathe.errors import NetlatheError, nearest
from netlathe.train.recipe import READS, Published, Recipe


def from_dict(document: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """The recipe of a complete document. Raises one NetlatheError that lists every fault with its place."""
    from pydantic import ValidationError

    document, faults = walked(Recipe, document, "")
    try:
        # JSON is where pydantic's strict mode takes a list for a tuple and a whole number for a float.
        text = json.dumps(document, default=str)
        recipe: Recipe = adapter().validate_json(text, strict=True)
    except ValidationError as error:
        faults += [said(place(fault["loc"]), cast(Any, fault)) for fault in error.errors()]
    faults += together(document)
    if faults:
        raise invalid(faults, source)
    return recipe


@cache
def adapter() -> Any:
    """pydantic's reading of the definition in `recipe.py`."""
    from pydantic import TypeAdapter

    return TypeAdapter(Recipe)


def invalid(faults: Sequence[str], source: str) -> NetlatheError:
    """All faults of a file in one error."""
    listed = "\n".join(f"  {fault}" for fault in faults)
    return NetlatheError(
        f"{len(faults)} fault{'s' * (len(faults) > 1)}\n{listed}",
        code="recipe.invalid",
        path=source,
        hint="`netlathe recipe show torchvision-v1 --toml` prints a recipe that is right",
    )


def walked(cls: Any, document: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[str]]:
    """The document with "none" as None where that may be, and its unknown and unread fields as faults."""
    hints, known = get_type_hints(cls), [f.name for f in fields(cls)]
    found: dict[str, Any] = {}
    faults: list[str] = []
    for name, value in document.items():
        where = f"{path}{name}"
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {' or '.join(close)}?" if close else f"legal: {', '.join(known)}"
            faults.append(f"{where}: unknown field ({hint})")
        elif is_dataclass(hints[name]) and isinstance(value, Mapping):
            found[name], more = walked(hints[name], value, f"{where}.")
            faults += more
        elif name == "published" and isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
            rows = [walked(Published, row, f"{where}[{i}].") for i, row in enumerate(value)]
            found[name] = [row for row, _ in rows]
            faults += [fault for _, more in rows for fault in more]
        elif value == "none" and NoneType in get_args(hints[name]):
            found[name] = None
        else:
            found[name] = value
    for table, chooser, reads in READS:
        if f"{table}." == path:
            choice = found.get(chooser, {f.name: f.default for f in fields(cls)}[chooser])
            for name, readers in unread(reads, choice if isinstance(choice, str) else "").items():
                if name in found:
                    faults.append(f"{path}{name}: {choice} does not read it, {' and '.join(readers)} would")
    return found, faults


def unread(reads: Mapping[str, Sequence[str]], choice: str) -> dict[str, list[str]]:
    """The fields that a legal choice does not read, each with the choices that do."""
    if choice not in reads:
        return {}
    others = dict.fromkeys(field for choices in reads.values() for field in choices if field not in reads[choice])
    return {field: [other for other, read in reads.items() if field in read] for field in others}


def place(location: Sequence[str | int]) -> str:
    """("optimiser", "betas", 0) -> optimiser.betas[0]"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def said(path: str, fault: Mapping[str, Any]) -> str:
    """A fault that pydantic found, in our words."""
    if fault["type"] == "missing" or fault["type"] == "missing_argument":
        return f"{path}: is missing"
    if fault["type"] == "literal_error":
        legal = re.findall(r"'(\w+)'", fault["ctx"]["expected"])
        close = nearest(str(fault["input"]), legal)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        return f"{path}: unknown word {fault['input']!r} ({hint}legal: {', '.join(legal)})"
    if fault["type"].startswith("dataclass"):
        return f"{path}: must be a table, not {fault['input']!r:.40}"
    message = fault["msg"].replace("Input should", "must").replace("valid array", "list")
    message = message.replace("a valid integer", "a whole number").replace("valid ", "")
    return f"{path}: {message}, not {fault['input']!r:.40}"


def together(document: Mapping[str, Any]) -> list[str]:
    """Fields that contradict one another, and what is said of fields that do not exist; of what has the right type."""
    faults = []
    found = dict(flat(document))
    for path in ("augment.scale", "augment.ratio"):
        match found.get(path):
            case [int() | float() as low, int() | float() as high] if low > high:
                faults.append(f"{path}: must be [low, high], not [{low:g}, {high:g}]")
    match found.get("schedule.warmup"), found.get("epochs"):
        case int() | float() as warmup, int() | float() as epochs if warmup > epochs > 0:
            faults.append(f"schedule.warmup: {warmup:g} epochs do not fit into {epochs:g}")
    if found.get("optimiser.nesterov") is True and found.get("optimiser.momentum") == 0:
        faults.append("optimiser.nesterov: needs a momentum")
    for name in ("notes", "unconfirmed"):
        about = found.get(name, ())
        for path in about if isinstance(about, Mapping | list) else ():
            if path not in paths():
                close = nearest(str(path), paths())
                hint = f" (did you mean {' or '.join(close)}?)" if close else ""
                faults.append(f"{name}: no field {path!r}{hint}")
    return faults


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document of tables by its path."""
    for name, value in document.items():
        if isinstance(value, Mapping) and name != "notes":
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@cache
def paths() -> tuple[str, ...]:
    """Every field by its path, tables too."""

    def of(cls: Any, prefix: str) -> Iterator[str]:
        hints = get_type_hints(cls)
        for f in fields(cls):
            yield prefix + f.name
            if is_dataclass(hints[f.name]):
                yield from of(hints[f.name], f"{prefix}{f.name}.")

    return tuple(of(Recipe, ""))
