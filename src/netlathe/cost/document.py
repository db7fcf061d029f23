"""document(): the costs of a graph as JSON values, what `netlathe cost --json` prints and the pages show."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from netlathe.arch.graph import Graph
from netlathe.arch.node import Shape
from netlathe.cost.count import BYTES, Cost, count
from netlathe.cost.memory import Memory, memory
from netlathe.cost.table import CostRow, cost_rows


def document(name: str, shape: Shape, graph: Graph, by: str, batch: int, precision: str) -> dict[str, Any]:
    """The costs of a network called `name` that reads `shape`; counts are of one image, bytes of the batch."""
    size = BYTES[precision]
    rows = cost_rows(graph, by, bytes_per_element=size, batch=batch)
    totals = totals_document(name, shape, count(graph), memory(graph, size, batch), batch, precision)
    return totals | {"by": by, "rows": [row_data(row) for row in rows]}


def totals_document(name: str, shape: Shape, cost: Cost, peaks: Memory, batch: int, precision: str) -> dict[str, Any]:
    """The same without parts, from the counts of one image and the peaks of the batch."""
    size = BYTES[precision]
    return {
        "name": name,
        "input": list(shape),
        "batch": batch,
        "precision": precision,
        "params": cost.params,
        "buffers": cost.buffers,
        "macs": cost.macs,
        "flops": cost.flops,
        "acts": cost.acts,
        "acts_pycls": cost.acts_pycls,
        "weight_bytes": cost.weight_bytes(size),
        "moved_bytes": {
            "eager": cost.bytes(size, batch),
            "fused": cost.bytes(size, batch, fused=True),
        },
        "intensity": {
            "eager": cost.intensity(size, batch),
            "fused": cost.intensity(size, batch, fused=True),
        },
        "memory_bytes": asdict(peaks),
        "by": "net",
        "rows": [],
    }


def row_data(row: CostRow) -> dict[str, Any]:
    """A row as JSON values."""
    return {
        "path": row.path,
        "kind": row.kind,
        "ops": row.ops,
        "params": row.cost.params,
        "macs": row.cost.macs,
        "share": row.share,
        "acts": row.cost.acts,
        "out_shape": list(row.out_shape),
        "moved_bytes": {"eager": row.bytes, "fused": row.bytes_fused},
        "intensity": {"eager": row.intensity, "fused": row.intensity_fused},
    }
