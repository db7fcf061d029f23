"""The roofline with every operator: FLOP/s against FLOPs a byte, log-log, under the roof of a device card."""

from __future__ import annotations

from collections.abc import Mapping
from math import log10
from typing import Any

from netlathe.device.roofline import Line, Roofline, show_rate
from netlathe.report.charts.chart import Chart, axis, figure, hover, side
from netlathe.report.picture import COLOURS
from netlathe.report.theme import DIM, INK, OTHER, SIGNS, sort_of
from netlathe.units import show_bytes, show_count, show_ms

GIGA = 1e9


def chart(roof: Roofline, times: Mapping[str, float] | None = None) -> Chart:
    """`times`: predicted or measured ms by path; a point is then what the operator reaches, else what it could."""
    drawn = [line for line in roof.lines if line.flops and line.bytes]
    reached = {line.path: rate(line, times) for line in drawn}
    cost = {line.path: (times or {}).get(line.path, line.ms) for line in drawn}
    data = [roof_trace(roof, drawn)]
    for sort in [*COLOURS, OTHER]:
        same = [line for line in drawn if sort_of(line.kind) == sort]
        if same:
            data.append(points(same, sort, reached, cost))
    heights = [roof.peak / GIGA, *reached.values()]
    what = "what it reaches in the predicted time" if times else "the least time, on its roof"
    waits = f"{100 * roof.waiting:.0f} % of the least time waits for memory"
    ridge = f"the ridge is at {roof.ridge:.3g} FLOP/byte and the network has {roof.intensity:.3g}"
    return Chart(
        id="roofline",
        title=f"Roofline on {roof.card}, {roof.precision}, batch {roof.batch}",
        description=f"A mark is an operator, at {what}; its area is its share of the time. {waits}: {ridge}."
        + " Above the slope, which is that of main memory, a cache serves." * bool(times),
        figure=figure(
            data,
            axis("FLOPs a byte", log=[roof.ridge, *(line.intensity for line in drawn)]),
            axis("GFLOP/s", log=heights, range=[log10(min(heights) / 1.6), log10(max(heights) * 1.8)]),
            height=440,
        ),
        heads=("operator", "kind", "FLOPs", "moved", "FLOP/B", "bound", "attainable", "least time", "share"),
        rows=tuple(row(line) for line in roof.lines),
    )


def rate(line: Line, times: Mapping[str, float] | None) -> float:
    """GFLOP/s: reached where a time is known, else attainable."""
    ms = (times or {}).get(line.path, 0.0)
    return 1e3 * line.flops / ms / GIGA if ms > 0 else line.attainable / GIGA


def roof_trace(roof: Roofline, drawn: list[Line]) -> dict[str, Any]:
    """The slope of the bandwidth and the flat of the peak, a little wider than the points."""
    intensities = [line.intensity for line in drawn] or [roof.ridge]
    left, right = min(*intensities, roof.ridge) / 2, max(*intensities, roof.ridge) * 2
    return {
        "type": "scatter",
        "mode": "lines+text",
        "x": [left, roof.ridge, right],
        "y": [left * roof.bandwidth / GIGA, roof.peak / GIGA, roof.peak / GIGA],
        "text": ["", "", f"{show_rate(roof.peak)}, {roof.bandwidth / GIGA:.3g} GB/s"],
        "textposition": "top left",
        "line": {"color": INK, "width": 2},
        "name": "roof",
        "hoverinfo": "skip",
        "showlegend": False,
    }


def points(lines: list[Line], sort: str, reached: Mapping[str, float], cost: Mapping[str, float]) -> dict[str, Any]:
    """The operators of one kind."""
    most = max(cost.values(), default=1.0)
    symbol, _ = SIGNS.get(sort, ("circle-open", ""))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": COLOURS[sort][0] if sort in COLOURS else sort,
        "x": [line.intensity for line in lines],
        "y": [reached[line.path] for line in lines],
        "customdata": [line.path for line in lines],
        "hovertext": [
            hover(
                line.path,
                line.kind,
                f"{show_ms(cost[line.path])}, {line.bound}",
                f"{line.intensity:.3g} FLOP/byte, {reached[line.path]:.3g} of {line.attainable / GIGA:.3g} GFLOP/s",
            )
            for line in lines
        ],
        "hoverinfo": "text",
        "marker": {
            "symbol": symbol,
            "color": f"@{sort}" if sort in COLOURS else DIM,
            "size": [side(cost[line.path], most, 24) for line in lines],
            "opacity": 0.8,
            "line": {"width": 1, "color": "@paper"},
        },
    }


def row(line: Line) -> tuple[str, ...]:
    """An operator in the table."""
    return (
        line.path,
        line.kind,
        show_count(line.flops),
        show_bytes(line.bytes),
        f"{line.intensity:.3g}",
        line.bound,
        show_rate(line.attainable),
        show_ms(line.ms),
        f"{100 * line.share:.1f} %",
    )
