"""Where the cost is: the share of MACs, params and moved bytes of every stage (or block, or operator)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from netlathe.cost.table import CostRow
from netlathe.report.charts.chart import Chart, axis, figure, hover, label
from netlathe.report.theme import PATTERNS, SERIES
from netlathe.units import show_bytes, show_count


class StageBar(NamedTuple):
    """A part of a network and what it costs: MACs of an image, params, and bytes: moved by a batch, fused."""

    path: str
    macs: int
    params: int
    bytes: int


MOVED = "moved bytes"
QUANTITIES = (("MACs", "macs", show_count), ("params", "params", show_count), (MOVED, "bytes", show_bytes))


def parts(rows: Iterable[CostRow]) -> list[StageBar]:
    """The rows of a cost table."""
    return [StageBar(row.path, int(row.cost.macs), int(row.cost.params), int(row.bytes_fused)) for row in rows]


def chart(parts: Sequence[StageBar], by: str = "stage") -> Chart:
    """Three bars a part; `by` is what a part is."""
    whole = {field: sum(getattr(part, field) for part in parts) or 1 for _, field, _ in QUANTITIES}
    most = max(parts, key=lambda part: part.macs, default=None)
    text = f" {most.path} has {100 * most.macs / whole['macs']:.0f} % of the MACs." if most and most.path else ""
    text = f"MACs, params and moved bytes seldom sit in the same place.{text}"
    return drawn(parts, by, whole, "stages", f"Cost by {by}", text, "share of the network, %")


def between(parts: Sequence[StageBar], bytes: str = MOVED) -> Chart:
    """Three bars a network, against the one with most of it; `bytes` says which bytes are given."""
    whole = {field: max((getattr(part, field) for part in parts), default=1) or 1 for _, field, _ in QUANTITIES}
    text = "Each quantity as a share of the largest among these networks."
    return drawn(parts, "network", whole, "between", "Costs side by side", text, "of the largest, %", bytes)


def drawn(
    parts: Sequence[StageBar],
    by: str,
    whole: dict[str, int],
    id: str,
    title: str,
    text: str,
    label_x: str,
    third: str = MOVED,
) -> Chart:
    """The bars and their table."""
    data = [bars(parts, i, whole, third) for i in range(len(QUANTITIES))]
    x = axis(label_x, rangemode="tozero")
    y = axis("", autorange="reversed", showgrid=False, type="category")
    return Chart(
        id=id,
        title=title,
        description=text,
        figure=figure(data, x, y, barmode="group", bargap=0.25, height=110 + 56 * min(len(parts), 24)),
        heads=(by, "MACs", "share", "params", "share", third, "share"),
        rows=tuple((part.path, *cells(part, whole)) for part in parts),
    )


def bars(parts: Sequence[StageBar], i: int, whole: dict[str, int], third: str) -> dict[str, Any]:
    """One quantity of all parts."""
    name, field, show = QUANTITIES[i]
    name = third if name == MOVED else name
    shares = [100 * getattr(part, field) / whole[field] for part in parts]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": [label(part.path) for part in parts],
        "x": shares,
        "hovertext": [
            hover(part.path, f"{name} {show(getattr(part, field))}", f"{s:.1f} %")
            for part, s in zip(parts, shares, strict=True)
        ],
        "hoverinfo": "text",
        "textposition": "none",
        "marker": {
            "color": SERIES[i],
            "pattern": {"shape": PATTERNS[i], "fgcolor": "@paper", "fillmode": "overlay", "size": 6, "solidity": 0.25},
        },
    }


def cells(part: StageBar, whole: dict[str, int]) -> list[str]:
    """Value and share of every quantity."""
    return [
        text
        for _, field, show in QUANTITIES
        for text in (show(getattr(part, field)), f"{100 * getattr(part, field) / whole[field]:.1f} %")
    ]
