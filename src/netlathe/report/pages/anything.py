"""The page of a document that has no page of its own: its values as lists and tables, nothing left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netlathe.html import Html, pairs, table
from netlathe.report.page import Page, PagePart


def page(schema: str, data: Any, warnings: Sequence[str] = ()) -> Page:
    """Any JSON value: a section a nested table, a table a list of records."""
    verb = schema.partition("/")[0].removeprefix("netlathe.")
    name = str(data.get("name", data.get("network", ""))) if isinstance(data, Mapping) else ""
    return Page(
        title=f"{name}: {verb}" if name else f"netlathe {verb}",
        lead=f"The document {schema} as it is.",
        notes=warnings,
        sections=[(title, [part]) for title, part in sections(data, verb)],
    )


def sections(value: Any, title: str) -> list[tuple[str, PagePart]]:
    """The plain values of a table first, then what is nested."""
    if isinstance(value, Mapping):
        plain = [(str(key), format_value(inner)) for key, inner in value.items() if not nested(inner)]
        parts: list[tuple[str, PagePart]] = [(title, pairs(plain))] if plain else []
        for key, inner in value.items():
            if nested(inner):
                parts += sections(inner, str(key))
        return parts
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        return [(title, records(value, title))]
    if isinstance(value, list) and nested(value):
        return [pair for i, inner in enumerate(value) for pair in sections(inner, f"{title} {i + 1}")]
    return [(title, pairs([(title, format_value(value))]))]


def nested(value: Any) -> bool:
    """Whether a value needs a section of its own."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return isinstance(value, Mapping) or any(isinstance(one, Mapping | list) for one in inner)


def records(rows: Sequence[Mapping[str, Any]], title: str) -> Html:
    """A list of records as a table; what is nested in a cell is written as text."""
    heads = tuple(dict.fromkeys(str(key) for row in rows for key in row))
    return table(heads, [[format_value(row.get(head)) for head in heads] for row in rows], label=title)


def format_value(value: Any) -> str:
    """A value in a cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {format_value(inner)}" for key, inner in value.items())
    return ", ".join(map(format_value, value)) if isinstance(value, list) else str(value)
