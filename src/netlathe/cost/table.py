"""The cost table: rows by operator, block, stage or network, grouped by path alone.

The stage is the first part of a path (`stage3`); the block is the first two where the second has parts itself
(`stage3.block2.process.conv`, but not `stage3.pool`), else the stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Shape, Size
from netlathe.cost.count import Cost, op_cost, sum_costs
from netlathe.cost.totals import MAC_KINDS
from netlathe.errors import unknown


@dataclass(frozen=True, slots=True)
class CostRow:
    """One line of the table: a part of the network and its cost for `batch` images at a precision."""

    path: str
    kind: str  # the operator's kind and form; empty for a group
    ops: int
    cost: Cost  # elements of one image
    share: float  # of the network's MACs, from 0 to 1
    out_shape: Shape
    bytes: Size
    bytes_fused: Size
    intensity: float  # FLOPs a byte, eager
    intensity_fused: float


def stage_of(path: str) -> str:
    """The first part of a path."""
    return path.partition(".")[0]


def block_of(path: str) -> str:
    """The first two parts where the second has parts itself, else the first."""
    first, *rest = path.split(".")
    return f"{first}.{rest[0]}" if len(rest) > 1 else first


GROUPINGS: dict[str, Callable[[str], str]] = {"op": str, "block": block_of, "stage": stage_of, "net": lambda path: ""}


def cost_rows(graph: Graph, by: str = "stage", *, bytes_per_element: int = 4, batch: int = 1) -> list[CostRow]:
    """The table of a network, in order of execution. Raises NetlatheError for an unknown `by`."""
    if by not in GROUPINGS:
        raise unknown("grouping", by, GROUPINGS, code="cost.by")
    groups: dict[str, list[Op]] = {}
    for op in graph.ops:
        groups.setdefault(GROUPINGS[by](op.path), []).append(op)
    costs = {path: op_cost(ops[0]) if len(ops) == 1 else sum_costs(map(op_cost, ops)) for path, ops in groups.items()}
    whole = sum(cost.macs for cost in costs.values())

    def row(path: str, ops: list[Op]) -> CostRow:
        cost = costs[path]
        return CostRow(
            path=path,
            kind=f"{ops[0].form} {ops[0].kind}".strip() if by == "op" else "",
            ops=len(ops),
            cost=cost,
            share=cost.macs / whole if whole else 0.0,
            out_shape=ops[-1].out_shape,
            bytes=cost.bytes(bytes_per_element, batch),
            bytes_fused=cost.bytes(bytes_per_element, batch, fused=True),
            intensity=cost.intensity(bytes_per_element, batch),
            intensity_fused=cost.intensity(bytes_per_element, batch, fused=True),
        )

    return [row(path, ops) for path, ops in groups.items()]


def profile(graph: Graph) -> list[tuple[str, Size, Size]]:
    """(path, channels, positions) after every convolution and matrix product: where it squeezes and where it swells."""
    return [(op.path, *channels_positions(op.out_shape)) for op in graph.ops if op.kind in MAC_KINDS]


def channels_positions(shape: Shape) -> tuple[Size, Size]:
    """Maps have their channels first, tokens and features last."""
    return (shape[0], prod(shape[1:])) if len(shape) == 3 else (shape[-1], prod(shape[:-1]))
