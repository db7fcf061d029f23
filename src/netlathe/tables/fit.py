"""The candidates of a fit: before the race, and after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netlathe.tables.table import Column, Table, make_table
from netlathe.units import show_bytes, show_count, show_ms, show_percent

Data = Mapping[str, Any]


CANDIDATES = (
    Column("candidate", "name", text=True),
    Column("MACs", "macs", show_count, priority=2),
    Column("size", "size_bytes", show_bytes),
    Column("memory", "memory_bytes", show_bytes, priority=2),
    Column("latency", lambda c: ("" if c["measured"] else "~") + show_ms(c["latency_ms"][1])),
    Column("starts from", lambda c: c["weights"] or "random", priority=2, text=True),
)


def candidates_table(candidates: Iterable[Data], title: str = "") -> Table:
    """A row a candidate; a latency that is only predicted is marked ~."""
    return make_table(CANDIDATES, candidates, title=title)


def race_table(candidates: Iterable[Data], rungs: Sequence[Data], end: Mapping[str, str]) -> Table:
    """A row a candidate: the accuracy of the last rung that it ran in, and what became of it."""
    score = {name: share for rung in rungs for name, share in rung["validation"].items()}
    columns = (
        Column("network", "name", text=True),
        Column("validation", lambda c: score.get(c["name"]), show_percent),
        Column("rungs", lambda c: sum(c["name"] in rung["validation"] for rung in rungs), priority=3),
        Column("latency", lambda c: c["latency_ms"][1], show_ms),
        Column("memory", "memory_bytes", show_bytes, priority=2),
        Column("size", "size_bytes", show_bytes, priority=2),
        Column("in the end", lambda c: end[c["name"]], text=True),
    )
    return make_table(columns, candidates)
