"""The roofline of a network on a card: t = max(FLOPs / peak, bytes / bandwidth), operator by operator.

Williams et al. 2009, Roofline, https://doi.org/10.1145/1498765.1498785. FLOPs are 2 a MAC; an operator whose FLOPs a
byte are below the ridge (peak / bandwidth) waits for memory. Bytes are those of `cost.count`: each tensor of an
operator once; fused, norm, activation, add and pooling ride with the operator beside them. The total is a lower bound
without launch cost, of a machine that keeps nothing in cache between operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netlathe.arch.graph import Graph, Op
from netlathe.cost.count import BYTES, op_cost
from netlathe.cost.totals import MAC_KINDS
from netlathe.device.card import DeviceCard
from netlathe.errors import unknown

WIDTH = BYTES | {"tf32": 4, "fp8": 1, "int16": 2}  # bytes an element
Bound = Literal["compute", "memory"]


@dataclass(frozen=True, slots=True)
class RooflineRow:
    """One operator under the roof, for the whole batch."""

    path: str
    kind: str  # depthwise conv
    flops: int
    bytes: int
    intensity: float  # FLOPs a byte
    bound: Bound
    attainable: float  # FLOPs a second
    ms: float
    share: float  # of the network's time, from 0 to 1


@dataclass(frozen=True, slots=True)
class Roofline:
    """A network under the roof of a card; `ms` is the least time of a batch."""

    card: str
    precision: str
    batch: int
    peak: float  # FLOPs a second
    bandwidth: float  # bytes a second
    lines: tuple[RooflineRow, ...]
    warnings: tuple[str, ...]

    @property
    def ridge(self) -> float:
        """FLOPs a byte from which on compute is the limit."""
        return self.peak / self.bandwidth

    @property
    def ms(self) -> float:
        """The sum over operators."""
        return sum(line.ms for line in self.lines)

    @property
    def flops(self) -> int:
        """Of the whole batch."""
        return sum(line.flops for line in self.lines)

    @property
    def intensity(self) -> float:
        """Of the whole network."""
        return self.flops / sum(line.bytes for line in self.lines)

    @property
    def waiting(self) -> float:
        """The share of the time that waits for memory."""
        return sum(line.share for line in self.lines if line.bound == "memory")

    @property
    def efficiency(self) -> float:
        """The share of the peak that the network can reach at most."""
        return 1e3 * self.flops / (self.ms * self.peak) if self.ms else 0.0


def kind(op: Op) -> str:
    """depthwise conv, linear, max pool."""
    return f"{op.form} {op.kind}".strip()


def width(precision: str) -> int:
    """Bytes an element. Raises NetlatheError for an unknown precision."""
    if precision not in WIDTH:
        raise unknown("precision", precision, WIDTH, code="device.precision")
    return WIDTH[precision]


def roofline(
    graph: Graph,
    card: DeviceCard,
    *,
    precision: str = "fp32",
    batch: int = 1,
    fused: bool = True,
    attained: bool = False,
    level: str = "dram",
) -> Roofline:
    """All operators of a graph under the roof of a card; `attained` takes measured figures where there are any.

    Raises NetlatheError where the card has no peak for that precision or no bandwidth.
    """
    size = width(precision)
    compute = card.figure("peak", precision, attained=attained)
    memory = card.figure("bandwidth", level, attained=attained)
    peak, bandwidth = compute.base, memory.base
    raw: list[tuple[Op, int, int, float, float]] = []
    for op in graph.ops:
        flops, moved = 2 * op.macs * batch, op_cost(op).bytes(size, batch, fused=fused)
        if op.kind in MAC_KINDS or moved:
            raw.append((op, flops, moved, flops / peak, moved / bandwidth))
    whole = sum(max(busy, waits) for *_, busy, waits in raw)
    lines = tuple(
        RooflineRow(
            path=op.path,
            kind=kind(op),
            flops=flops,
            bytes=moved,
            intensity=flops / moved if moved else 0.0,
            bound="compute" if busy > waits else "memory",
            attainable=min(peak, flops / moved * bandwidth) if moved else peak,
            ms=1e3 * max(busy, waits),
            share=max(busy, waits) / whole if whole else 0.0,
        )
        for op, flops, moved, busy, waits in raw
    )
    return Roofline(card.id, precision, batch, peak, bandwidth, lines, tuple(card.warnings(compute, memory)))
