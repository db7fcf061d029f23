"""TOML in and out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from netlathe.documents.values import nested_too_deeply, refuse_unusable
from netlathe.errors import NetlatheError
from netlathe.files import read_text

DEEPEST = 100  # tables and lists within each other; what people write has 4


def read_toml(path: str | Path, *, code: str, what: str) -> dict[str, Any]:
    """The document of a file. Raises NetlatheError for one that cannot be read, and with `code` for what is no TOML."""
    return parse_toml(read_text(path), source=str(path), code=code, what=what)


def parse_toml(text: str, *, source: str, code: str, what: str) -> dict[str, Any]:
    """The document of a text; `source` names it in errors, `what` says what it should be ("a card")."""
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise nested_too_deeply(source, code, what) from None
    except ValueError as error:  # tomllib's own, and Python's for a number of thousands of digits
        raise NetlatheError(f"this is not TOML: {error}", code=code, path=source) from None
    refuse_unusable(document, source=source, code=code, what=what, deepest=DEEPEST)
    return document


def to_toml(document: Mapping[str, Any]) -> str:
    """A document as TOML: values, then tables, then lists of tables."""
    return "\n".join(toml_lines(document, "")) + "\n"


def toml_lines(table: Mapping[str, Any], path: str) -> list[str]:
    """The lines of a table; sub-tables under their dotted names."""
    tables = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    lists = {name: value for name, value in table.items() if is_list_of_tables(value)}
    lines = [f"{toml_key(k)} = {toml_value(v)}" for k, v in table.items() if k not in tables and k not in lists]
    for name, value in (tables | lists).items():
        inside = f"{path}.{toml_key(name)}" if path else toml_key(name)
        head = f"[{inside}]" if name in tables else f"[[{inside}]]"
        for row in [value] if name in tables else value:
            lines += ["", head, *toml_lines(row, inside)]
    return lines if path or not lines or lines[0] else lines[1:]


def is_list_of_tables(value: Any) -> bool:
    """Whether a value is written as [[name]]; an empty list is a value."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(row, Mapping) for row in value)


def toml_key(name: str) -> str:
    """A bare key, or a quoted one."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)


def toml_value(value: Any) -> str:
    """A text, a number, a truth, a day, or a list of them."""
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, date) else repr(value)


def toml_text(text: str) -> str:
    """A text in quotes: JSON's, but that TOML takes no delete character as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
