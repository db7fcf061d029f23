"""The front of a choice: candidates with accuracy, latency and costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from netlathe.tables.compare import quiet_interval
from netlathe.tables.table import Column, Table, make_table
from netlathe.units import show_bytes, show_count, show_interval, show_ms, show_points

Data = Mapping[str, Any]


def candidate_name(c: Data) -> str:
    """A candidate, and its resolution where it is not the usual one."""
    return str(c["name"]) if c["resolution"] == 224 else f"{c['name']}@{c['resolution']}"


def candidate_key(c: Data) -> tuple[str, str, str]:
    """What tells candidates apart: network, runtime and precision."""
    return candidate_name(c), c["runtime"], c["precision"]


def latency_interval(c: Data) -> tuple[float, float, float]:
    """(low, middle, high) of the latency in ms: measured, else predicted, else unknown; infinite after a failure."""
    m, p = c["latency"], c["predicted"]
    if m:
        return (inf, inf, inf) if m["failure"] else quiet_interval(m)
    return (p["low_ms"], p["ms"], p["high_ms"]) if p else (0.0, inf, inf)


def front_table(
    candidates: Iterable[Data],
    marks: Mapping[tuple[str, str, str], str],
    *,
    batch: int = 1,
    several: bool = False,
    title: str = "",
) -> Table:
    """A row a candidate; `marks` say which is the pick and which are tied, `several` that runtimes differ.

    A latency that is only predicted is marked ~.
    """

    def latency(c: Data, images: int = 1) -> str | None:
        middle = latency_interval(c)[1]
        return None if middle == inf else ("" if c["latency"] else "~") + show_ms(middle / images)

    def ends(c: Data) -> str | None:
        low, _, high = latency_interval(c)
        return None if high == inf else show_interval(low, high)

    columns = (
        Column("network", candidate_name, text=True),
        Column("runtime", lambda c: f"{c['runtime']} {c['precision']}", text=True) if several else None,
        Column("", lambda c: marks.get(candidate_key(c), ""), text=True, name="the pick"),
        Column("top-1 %", "top1", show_points),
        Column("latency", latency),
        Column("an image", lambda c: latency(c, batch), priority=3) if batch > 1 else None,
        Column("interval", ends, priority=4),
        Column("as loaded", lambda c: c["latency"] and c["latency"]["median_ms"], show_ms, priority=5),
        Column("predicted", lambda c: c["predicted"] and c["predicted"]["ms"], show_ms, priority=6),
        Column("off", "residual", lambda share: f"{100 * share:+.0f} %", priority=7),
        Column("memory", "memory_bytes", show_bytes, priority=2),
        Column("size", "size_bytes", show_bytes, priority=2),
        Column("MACs", "macs", show_count, priority=3),
        Column("recipe of the accuracy", "recipe", priority=5, text=True),
    )
    return make_table(columns, candidates, title=title)
