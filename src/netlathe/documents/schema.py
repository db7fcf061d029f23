"""A document against its definition. pydantic finds what is wrong; here it becomes our words.

The definition is a dataclass or a TypedDict, with `Annotated` bounds and `Literal` words; what is written nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from netlathe.documents.faults import Fault, unknown_field, unknown_word
from netlathe.errors import NetlatheError

WORDS = (  # pydantic's words and ours
    ("Input should", "must"),
    ("a valid string", "a text"),
    ("a valid integer", "a whole number"),
    ("a valid boolean", "true or false"),
    ("a valid array", "a list"),
    ("a valid list", "a list"),
    ("a valid tuple", "a list"),
    ("a valid dictionary", "a table"),
    ("an object", "a table"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
    ("valid ", ""),
)


def check_document(schema: Any, document: Mapping[str, Any], *, strict: bool = True) -> tuple[Any, list[Fault]]:
    """The value of a document, None where it has faults, and the faults.

    Strict: "3" is no number, and 3.0 no whole one; what TOML has beyond JSON (days) counts as text. Not strict: what
    pydantic converts is right, and values of the definition's own types stay as they are.
    """
    from pydantic import ValidationError

    faults = unknown_fields(schema, document)
    try:
        if strict:
            # JSON is where pydantic's strict mode takes a list for a tuple and a whole number for a float.
            value = adapter(schema).validate_json(json.dumps(document, default=str), strict=True)
        else:
            value = adapter(schema).validate_python(document)
    except ValidationError as error:
        faults += [translate(dict(fault)) for fault in error.errors()]
    return (None, faults) if faults else (value, [])


@cache
def adapter(schema: Any) -> Any:
    """pydantic's reading of a definition."""
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


def unknown_fields(schema: Any, value: Any, path: str = "") -> list[Fault]:
    """The fields of a document, at any depth, that its definition does not have."""
    schema = plain_type(schema)
    types, item = field_types(schema), item_type(schema)
    if types is not None and isinstance(value, Mapping):
        faults = [unknown_field(path, name, types) for name in value if name not in types]
        for name in value.keys() & types.keys():
            faults += unknown_fields(types[name], value[name], f"{path}.{name}" if path else name)
        return faults
    if item is not None and isinstance(value, list):
        return [fault for i, row in enumerate(value) for fault in unknown_fields(item, row, f"{path}[{i}]")]
    return []


@cache
def field_types(schema: Any) -> dict[str, Any] | None:
    """The types of the fields of a dataclass or TypedDict by name; None for another type."""
    if is_dataclass(schema) and isinstance(schema, type):
        hints = get_type_hints(schema)
        return {field.name: hints[field.name] for field in fields(schema)}
    return get_type_hints(schema) if is_typeddict(schema) else None


def item_type(schema: Any) -> Any:
    """The type of the rows of a list; None for another type."""
    return get_args(schema)[0] if get_origin(schema) in (list, tuple, Sequence) else None


def plain_type(schema: Any) -> Any:
    """A type without bounds and without None."""
    if get_origin(schema) is Annotated:
        return plain_type(get_args(schema)[0])
    if get_origin(schema) in (Union, UnionType):
        return next((plain_type(arg) for arg in get_args(schema) if arg is not NoneType), schema)
    return schema


def format_path(location: Sequence[str | int]) -> str:
    """("optimiser", "betas", 0) -> optimiser.betas[0]"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def translate(fault: Mapping[str, Any]) -> Fault:
    """A fault that pydantic found, in our words."""
    path, kind, value = format_path(fault["loc"]), fault["type"], fault["input"]
    if kind in ("missing", "missing_argument"):
        return Fault(path, "is missing")
    if kind == "literal_error":
        return unknown_word(path, value, re.findall(r"'([^']*)'", fault["ctx"]["expected"]))
    if kind.startswith("dataclass"):
        return Fault(path, f"must be a table, not {value!r:.40}")
    if kind == "value_error":
        error = fault["ctx"]["error"]
        return Fault(path, error.message if isinstance(error, NetlatheError) else str(error))
    message = fault["msg"].partition(", unable to parse")[0]
    for theirs, ours in WORDS:
        message = message.replace(theirs, ours)
    return Fault(path, f"{message}, not {value!r:.40}")
