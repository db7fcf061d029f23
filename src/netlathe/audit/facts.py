"""What checks rest on: counts of the zoo, published figures (the zoo's and figures.csv), dates.

Every published figure that a check reads is noted, so that a finding names its sources.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from netlathe import zoo
from netlathe.arch.graph import Graph, Op, graph
from netlathe.arch.node import Node
from netlathe.audit.claims import FOLDER, parse_value
from netlathe.cost.count import count
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError, unknown
from netlathe.zoo.published import figures


@dataclass(frozen=True, slots=True)
class CitedFigure:
    """A published figure: a number, a word or a date (YYYY-MM); `mark` is confirmed or recalled."""

    key: str
    value: float | str
    unit: str
    what: str
    source: str
    mark: str


READ: ContextVar[list[CitedFigure] | None] = ContextVar("figures read", default=None)


@contextmanager
def collect_figures() -> Iterator[list[CitedFigure]]:
    """Collect the figures that are read meanwhile."""
    figures: list[CitedFigure] = []
    token = READ.set(figures)
    try:
        yield figures
    finally:
        READ.reset(token)


@cache
def cited_figures() -> dict[str, CitedFigure]:
    """figures.csv by key."""
    with (FOLDER / "figures.csv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    return {row["key"]: CitedFigure(**row | {"value": parse_value(row["value"])}) for row in rows}


def note_figure(figure: CitedFigure) -> CitedFigure:
    """The figure, noted as read."""
    read = READ.get()
    if read is not None and figure not in read:
        read.append(figure)
    return figure


def cited_figure(key: str) -> CitedFigure:
    """A figure of figures.csv. Raises NetlatheError with the nearest keys."""
    if key not in cited_figures():
        raise unknown("figure", key, cited_figures(), code="audit.figure")
    return note_figure(cited_figures()[key])


def number(key: str) -> float:
    """A published number."""
    value = cited_figure(key).value
    assert isinstance(value, float), f"{key} is no number: {value!r}"
    return value


def word(key: str) -> str:
    """A published word, or a date as YYYY-MM."""
    return str(cited_figure(key).value)


def family(prefix: str) -> dict[str, CitedFigure]:
    """All figures whose key starts with the prefix, by the rest of the key."""
    return {key.removeprefix(prefix): cited_figure(key) for key in cited_figures() if key.startswith(prefix)}


def months(first: str, last: str) -> int:
    """Months from one date to another."""
    (y1, m1), (y2, m2) = (map(int, date.split("-")) for date in (first, last))
    return 12 * (y2 - y1) + m2 - m1


def top1(network: str, recipe: str, resolution: int | None = None) -> float:
    """The published top-1 of a network under the first recipe with this word. Raises NetlatheError without one."""
    for row in figures(network):
        if row.top1 is not None and recipe.lower() in row.recipe.lower() and resolution in (None, row.resolution):
            what = f"top-1 of {network} at {row.resolution} px, {row.recipe}"
            mark = "recalled" if "recalled" in row.note + row.recipe else "confirmed"
            note_figure(CitedFigure(f"zoo.{network}", row.top1, "%", what, row.source, mark))
            return row.top1
    raise NetlatheError(f"no published top-1 of {network} by a recipe {recipe!r}", code="audit.figure")


def macs(name: str, resolution: int | None = None, **changes: Any) -> int:
    """MACs of a network of the zoo, counted."""
    network = zoo.get(name, resolution=resolution, **changes)
    total: int = totals(network.body, network.input).macs
    return total


def params(name: str, resolution: int | None = None, **changes: Any) -> int:
    """Trainable parameters of a network of the zoo, counted."""
    network = zoo.get(name, resolution=resolution, **changes)
    total: int = totals(network.body, network.input).params
    return total


def ops(name: str, resolution: int | None = None, **changes: Any) -> Graph:
    """The graph of a network of the zoo."""
    return zoo.get(name, resolution=resolution, **changes).graph()


def weights(expression: Node, *shape: int) -> int:
    """Kernel and matrix weights of an expression, without bias and norm, counted."""
    total: int = count(graph(expression, shape)).weights
    return total


def cost(expression: Node, *shape: int) -> int:
    """MACs of an expression, counted."""
    total: int = totals(expression, shape).macs
    return total


def kernel(op: Op) -> int:
    """The height of a convolution's kernel."""
    return int(op.weights["weight"][2])


def convolutions(read: Graph) -> list[Op]:
    """The convolutions of a graph."""
    return [op for op in read.ops if op.kind == "conv"]


def format_percent(share: float) -> str:
    """0.529 -> 52.9 %"""
    return f"{100 * share:.1f} %"
