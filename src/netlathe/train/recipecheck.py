"""What a recipe file may say: names, types, bounds, and every fault of a document at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Any, cast, get_args, get_type_hints

from netlathe.documents.faults import Fault, faults_error
from netlathe.documents.schema import check_document, field_types
from netlathe.errors import NetlatheError, nearest
from netlathe.train.recipe import READS, Recipe


def from_dict(document: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """The recipe of a complete document. Raises one NetlatheError that lists every fault with its place."""
    document = read_none(Recipe, document)
    recipe, faults = check_document(Recipe, document)
    faults += [*check_unread(document), *check_contradictions(document)]
    if faults:
        raise recipe_error(faults, source)
    return cast(Recipe, recipe)


def recipe_error(faults: Sequence[Fault], source: str) -> NetlatheError:
    """All faults of a file in one error."""
    hint = "`netlathe recipe show torchvision-v1 --toml` prints a recipe that is right"
    return faults_error(faults, code="recipe.invalid", path=source, hint=hint)


def read_none(cls: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with "none" as None in optional fields, and the same of its tables."""
    types = field_types(cls) or {}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name in types and is_dataclass(types[name]) and isinstance(value, Mapping):
            values[name] = read_none(types[name], value)
        else:
            values[name] = None if value == "none" and NoneType in get_args(types.get(name)) else value
    return values


def check_unread(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Fields that the choice which stands beside them does not read."""
    for table, chooser, reads in READS:
        values = document.get(table)
        if not isinstance(values, Mapping):
            continue
        defaults = {f.name: f.default for f in fields((field_types(Recipe) or {})[table])}
        choice = values.get(chooser, defaults[chooser])
        for name, readers in find_unread(reads, choice if isinstance(choice, str) else "").items():
            if name in values:
                yield Fault(f"{table}.{name}", f"{choice} does not read it, {' and '.join(readers)} would")


def find_unread(reads: Mapping[str, Sequence[str]], choice: str) -> dict[str, list[str]]:
    """The fields that a legal choice does not read, each with the choices that do."""
    if choice not in reads:
        return {}
    others = dict.fromkeys(field for choices in reads.values() for field in choices if field not in reads[choice])
    return {field: [other for other, read in reads.items() if field in read] for field in others}


def check_contradictions(document: Mapping[str, Any]) -> list[Fault]:
    """Fields that contradict one another, and what is said of fields that do not exist; of what has the right type."""
    faults: list[Fault] = []
    fields = dict(flatten(document))
    for path in ("augment.scale", "augment.ratio"):
        match fields.get(path):
            case [int() | float() as low, int() | float() as high] if low > high:
                faults.append(Fault(path, f"must be [low, high], not [{low:g}, {high:g}]"))
    match fields.get("schedule.warmup"), fields.get("epochs"):
        case int() | float() as warmup, int() | float() as epochs if warmup > epochs > 0:
            faults.append(Fault("schedule.warmup", f"{warmup:g} epochs do not fit into {epochs:g}"))
    if fields.get("optimiser.nesterov") is True and fields.get("optimiser.momentum") == 0:
        faults.append(Fault("optimiser.nesterov", "needs a momentum"))
    for name in ("notes", "unconfirmed"):
        about = fields.get(name, ())
        for path in about if isinstance(about, Mapping | list) else ():
            if path not in field_paths():
                close = nearest(str(path), field_paths())
                hint = f" (did you mean {' or '.join(close)}?)" if close else ""
                faults.append(Fault(name, f"no field {path!r}{hint}"))
    return faults


def flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document of tables by its path."""
    for name, value in document.items():
        if isinstance(value, Mapping) and name != "notes":
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@cache
def field_paths() -> tuple[str, ...]:
    """Every field by its path, tables too."""

    def of(cls: Any, prefix: str) -> Iterator[str]:
        hints = get_type_hints(cls)
        for f in fields(cls):
            yield prefix + f.name
            if is_dataclass(hints[f.name]):
                yield from of(hints[f.name], f"{prefix}{f.name}.")

    return tuple(of(Recipe, ""))
