"""Where the cost is: the share of MACs, params and moved bytes of every stage (or block, or operator)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from netlathe.cost.table import Row
from netlathe.report.charts.chart import Chart, axis, figure, hover, label
from netlathe.report.theme import PATTERNS, SERIES
from netlathe.units import show_bytes, show_count


class Part(NamedTuple):
    """A part of a network and what it costs: MACs of an image, params, bytes moved by a batch, fused."""

    path: str
    macs: int
    params: int
    moved: int


QUANTITIES = (("MACs", "macs", show_count), ("params", "params", show_count), ("moved bytes", "moved", show_bytes))


def parts(rows: Iterable[Row]) -> list[Part]:
    """The rows of a cost table."""
    return [Part(row.path, int(row.cost.macs), int(row.cost.params), int(row.bytes_fused)) for row in rows]


def chart(found: Sequence[Part], by: str = "stage") -> Chart:
    """Three bars a part; `by` is what a part is."""
    whole = {field: sum(getattr(part, field) for part in found) or 1 for _, field, _ in QUANTITIES}
    data = [bars(found, i, whole) for i in range(len(QUANTITIES))]
    most = max(found, key=lambda part: part.macs, default=None)
    said = f" {most.path} has {100 * most.macs / whole['macs']:.0f} % of the MACs." if most and most.path else ""
    x = axis("share of the network, %", rangemode="tozero")
    y = axis("", autorange="reversed", showgrid=False, type="category")
    return Chart(
        id="stages",
        title=f"Cost by {by}",
        description=f"MACs, params and moved bytes seldom sit in the same place.{said}",
        figure=figure(data, x, y, barmode="group", bargap=0.25, height=110 + 56 * min(len(found), 24)),
        heads=(by, "MACs", "share", "params", "share", "moved bytes", "share"),
        rows=tuple((part.path, *cells(part, whole)) for part in found),
    )


def bars(found: Sequence[Part], i: int, whole: dict[str, int]) -> dict[str, Any]:
    """One quantity of all parts."""
    name, field, show = QUANTITIES[i]
    shares = [100 * getattr(part, field) / whole[field] for part in found]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": [label(part.path) for part in found],
        "x": shares,
        "hovertext": [
            hover(part.path, f"{name} {show(getattr(part, field))}", f"{s:.1f} % of the network")
            for part, s in zip(found, shares, strict=True)
        ],
        "hoverinfo": "text",
        "textposition": "none",
        "marker": {
            "color": SERIES[i],
            "pattern": {"shape": PATTERNS[i], "fgcolor": "@paper", "fillmode": "overlay", "size": 6, "solidity": 0.25},
        },
    }


def cells(part: Part, whole: dict[str, int]) -> list[str]:
    """Value and share of every quantity."""
    return [
        text
        for _, field, show in QUANTITIES
        for text in (show(getattr(part, field)), f"{100 * getattr(part, field) / whole[field]:.1f} %")
    ]
