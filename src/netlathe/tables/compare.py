"""Networks side by side with ratios to the first, and measured latencies with their conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netlathe.tables.table import Column, Table, make_table
from netlathe.units import (
    show_bytes,
    show_count,
    show_intensity,
    show_interval,
    show_ms,
    show_points,
    show_shape,
)

Data = Mapping[str, Any]


def quiet_interval(m: Data) -> tuple[float, float, float]:
    """(low, middle, high) in ms of the quiet estimate of a measurement's record; of a record from before there were
    such estimates, its median and the interval of that."""
    names = ("quiet_low_ms", "quiet_ms", "quiet_high_ms") if m.get("quiet_ms") else ("low_ms", "median_ms", "high_ms")
    low, middle, high = (m[name] for name in names)
    return low, middle, high


def networks_table(rows: Sequence[Data], *, title: str = "", caption: str = "") -> Table:
    """A row a network of `netlathe compare`; latencies where all were measured."""
    first, timed = rows[0]["macs"], all(row["latency"] for row in rows)

    def quiet(row: Data) -> str:
        m = row["latency"]
        return "failed" if m["failure"] else show_ms(quiet_interval(m)[1])

    def interval(row: Data) -> str | None:
        m = row["latency"]
        return None if m["failure"] else show_interval(*quiet_interval(m)[::2])

    def ratio(row: Data) -> str | None:
        m = row["latency"]
        if m["failure"] or m["ratio"] is None:
            return None
        return f"{m['ratio']:.3f}{' (tied)' if m['tied'] else ''}"

    columns = [
        Column("network", "name", text=True),
        Column("input", "input", show_shape, priority=5),
        Column("params", "params", show_count, priority=2),
        Column("MACs", "macs", show_count),
        Column("ratio", lambda row: row["macs"] / first if first else None, "{:.3f}".format,
               priority=4, name="ratio of MACs"),
        Column("acts", "acts", show_count, priority=6),
        Column("FLOP/B", "intensity", show_intensity, priority=6),
        Column("peak", "peak_bytes", show_bytes, priority=3),
        Column("top-1 %", lambda row: row["top1"] or None, show_points),
    ]  # fmt: skip
    if timed:
        columns += [
            Column("latency", quiet),
            Column("interval", interval, priority=3),
            Column("ratio", ratio, priority=2, name="ratio of latencies"),
        ]
    return make_table(columns, rows, title=title, caption=caption)


def latencies_table(measurements: Sequence[Data], *, title: str = "", caption: str = "") -> Table:
    """A row a measurement of `netlathe bench`; one that failed says so under its latency."""
    batch, mixed = measurements[0]["batch"], len({m["precision"] for m in measurements}) > 1

    def measured(show: Callable[[Data], str | None]) -> Callable[[Data], str | None]:
        return lambda m: "" if m["failure"] else show(m)

    def an_image(m: Data) -> str:
        return show_ms(quiet_interval(m)[1] / batch)

    columns = (
        Column("network", lambda m: f"{m['network']} {m['precision']}" if mixed else m["network"], text=True),
        Column("id", "id", priority=4),
        Column("latency", lambda m: m["failure"] or show_ms(quiet_interval(m)[1])),
        Column("an image", measured(an_image), priority=2) if batch > 1 else None,
        Column("interval", measured(lambda m: show_interval(*quiet_interval(m)[::2]))),
        Column("as loaded", measured(lambda m: show_ms(m["median_ms"])), priority=2),
        Column("min", measured(lambda m: show_ms(m["min_ms"])), priority=4),
        Column("p90", measured(lambda m: show_ms(m["p90_ms"])), priority=2),
        Column("runs", measured(lambda m: str(m["runs"])), priority=5),
        Column("memory", measured(lambda m: None if m["rss_bytes"] is None else show_bytes(m["rss_bytes"])),
               priority=3),
    )  # fmt: skip
    return make_table(columns, measurements, title=title, caption=caption)
