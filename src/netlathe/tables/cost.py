"""What networks cost: the parts of one, or a row for each of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netlathe.tables.table import Column, Table, make_table
from netlathe.units import show_bytes, show_count, show_intensity, show_ms, show_percent, show_shape

Data = Mapping[str, Any]


def parts_table(data: Data) -> Table:
    """A row a part of the network of a cost document."""
    columns = (
        Column(data["by"], lambda row: row["path"] or data["name"], text=True),
        Column("kind", "kind", priority=3, text=True) if data["by"] == "op" else None,
        Column("out", "out_shape", show_shape, priority=4),
        Column("params", "params", show_count, priority=2),
        Column("MACs", "macs", show_count),
        Column("share", "share", show_percent, priority=2),
        Column("acts", "acts", show_count, priority=5),
        Column("moved", lambda row: row["moved_bytes"]["fused"], show_bytes, priority=3),
        Column("FLOP/B", lambda row: row["intensity"]["fused"], show_intensity, priority=4),
    )
    return make_table(columns, data["rows"], title=title_of(data))


def title_of(data: Data) -> str:
    """The network of a cost document, with its input."""
    return f"{data['name']}, {show_shape(data['input'])}, batch {data['batch']}, {data['precision']}"


NETWORKS = (
    Column("network", "name", text=True),
    Column("input", "input", show_shape, priority=5),
    Column("params", "params", show_count),
    Column("MACs", "macs", show_count),
    Column("acts", "acts", show_count, priority=4),
    Column("weights", "weight_bytes", show_bytes, priority=3),
    Column("peak arena", lambda data: data["memory_bytes"]["arena"], show_bytes, priority=2),
    Column("FLOP/B fused", lambda data: data["intensity"]["fused"], show_intensity, priority=4),
)


LATENCY = Column("latency", lambda document: document["latency"]["ms"], lambda ms: f"~{show_ms(ms)}")


def networks_table(documents: Iterable[Data], title: str = "") -> Table:
    """A row a network, from its cost document."""
    rows = tuple(documents)
    timed = any(document.get("latency") for document in rows)
    return make_table((*NETWORKS, *([LATENCY] if timed else [])), rows, title=title)
