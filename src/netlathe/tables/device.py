"""What a device means for a network: time under its roof, changes that gain, and how near it is to the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netlathe.tables.table import Column, Table, make_table
from netlathe.units import show_bytes, show_count, show_intensity, show_ms, show_percent, show_rate, show_ratio

Data = Mapping[str, Any]
GROUPS = {"op": "path", "kind": "kind", "bound": "bound"}  # what a row of a roofline is, and its field of a line


def roofline_table(data: Data, by: str) -> Table:
    """A row an operator, a kind or a bound of `netlathe device roofline`."""
    groups: dict[str, list[Data]] = {}
    for line in data["lines"]:
        groups.setdefault(line[GROUPS[by]], []).append(line)
    rows = []
    for name, lines in groups.items():
        flops, moved, ms = (sum(line[key] for line in lines) for key in ("flops", "bytes", "ms"))
        waiting = sum(line["ms"] for line in lines if line["bound"] == "memory")
        rows.append({"name": name, "flops": flops, "bytes": moved, "ms": ms, "waits": waiting / ms if ms else 0.0})
    columns = (
        Column(by, "name", text=True),
        Column("FLOPs", "flops", show_count, priority=2),
        Column("moved", "bytes", show_bytes, priority=2),
        Column("FLOP/B", lambda row: row["flops"] / row["bytes"] if row["bytes"] else None, show_intensity, priority=3),
        Column("attainable", lambda row: 1e3 * row["flops"] / row["ms"] if row["ms"] else None, show_rate, priority=4),
        Column("waits", "waits", lambda share: show_percent(share, 0), priority=3, name="waits for memory"),
        Column("least time", "ms", show_ms),
        Column("share", lambda row: row["ms"] / data["ms"], show_percent),
    )
    return make_table(columns, rows, title=f"{data['network']} on {data['card']}, {data['precision']}, "
                      f"batch {data['batch']}")  # fmt: skip


CHANGES = (
    Column("change", "name", text=True),
    Column("gain", "gain", lambda share: show_percent(share, 0)),
    Column("an image", "ms", show_ms),
    Column("MACs", "macs", show_ratio, priority=2),
    Column("params", "params", show_ratio, priority=3),
    Column("train again", "retrain", lambda retrain: "yes" if retrain else "no"),
)


def changes_table(changes: Iterable[Data]) -> Table:
    """The changes that gain, the best first."""
    rows = tuple(changes)
    return make_table(CHANGES, rows, caption="" if rows else "no known change gains 1 %")


CEILINGS = (
    Column("kind", "kind", text=True),
    Column("here", lambda c: f"{c['here']:.3g} {c['unit']}"),
    Column("best alone, warm", lambda c: f"{c['warm']:.3g} {c['unit']}"),
    Column("best alone, cold", lambda c: f"{c['cold']:.3g} {c['unit']}", priority=2),
    Column("of warm", lambda c: f"{c['here'] / c['warm']:.0%}"),
)


def ceilings_table(ceilings: Iterable[Data]) -> Table:
    """What a class of operators attains here, and at best alone."""
    return make_table(CEILINGS, ceilings)


def slowest_table(parts: Iterable[Data], total_ms: float) -> Table:
    """Operators by time, with their share of the whole."""
    columns = (
        Column("operator", lambda part: part["path"] or part["kind"], text=True),
        Column("kind", "kind", priority=2, text=True),
        Column("bound", "bound", priority=2, text=True),
        Column("time", "ms", show_ms),
        Column("share", lambda part: part["ms"] / total_ms, show_percent),
    )
    return make_table(columns, parts)
