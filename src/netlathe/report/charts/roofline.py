"""The roofline with every operator: FLOP/s against FLOPs a byte, log-log, under the roof of a device card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any, NamedTuple

from netlathe.device.roofline import Roofline, RooflineRow
from netlathe.report.charts.chart import Chart, axis, figure, hover, side
from netlathe.report.picture import COLOURS
from netlathe.report.theme import DIM, INK, OTHER, SIGNS, sort_of
from netlathe.units import show_bytes, show_count, show_ms, show_rate

GIGA = 1e9


class RooflineMark(NamedTuple):
    """Operators of one place: the blocks of a stage repeat themselves, and a mark upon a mark would hide it."""

    lines: list[RooflineRow]
    reached: float  # GFLOP/s
    ms: float  # of all of them


def chart(roof: Roofline, times: Mapping[str, float] | None = None) -> Chart:
    """`times`: predicted or measured ms by path; a point is then what the operator reaches, else what it could."""
    drawn = [line for line in roof.lines if line.flops and line.bytes]
    all_marks = marks(drawn, times)
    most = max((mark.ms for mark in all_marks), default=1.0)
    data = [roof_trace(roof, drawn)]
    for sort in [*COLOURS, OTHER]:
        same = [mark for mark in all_marks if sort_of(mark.lines[0].kind) == sort]
        if same:
            data.append(points(same, sort, most))
    heights = [roof.peak / GIGA, *(mark.reached for mark in all_marks)]
    what = "what it reaches in the predicted time" if times else "the least time, on its roof"
    waits = f"{100 * roof.waiting:.0f} % of the least time waits for memory"
    ridge = f"the ridge is at {roof.ridge:.3g} FLOP/byte and the network has {roof.intensity:.3g}"
    return Chart(
        id="roofline",
        title=f"Roofline on {roof.card}, {roof.precision}, batch {roof.batch}",
        description=f"Each point is an operator at {what}; identical operators share a point, and its area is the "
        f"share of the time. "
        f"{waits}: {ridge}." + " Above the slope, which is that of main memory, a cache serves." * bool(times),
        figure=figure(
            data,
            axis("FLOPs a byte", log=[roof.ridge, *(line.intensity for line in drawn)]),
            axis("GFLOP/s", log=heights, range=[log10(min(heights) / 1.6), log10(max(heights) * 1.8)]),
            height=440,
        ),
        heads=("operator", "kind", "FLOPs", "moved", "FLOP/B", "bound", "attainable", "least time", "share"),
        rows=tuple(row(line) for line in roof.lines),
    )


def reached_rate(line: RooflineRow, times: Mapping[str, float] | None) -> float:
    """GFLOP/s: reached where a time is known, else attainable."""
    ms = (times or {}).get(line.path, 0.0)
    return 1e3 * line.flops / ms / GIGA if ms > 0 else line.attainable / GIGA


def roof_trace(roof: Roofline, drawn: list[RooflineRow]) -> dict[str, Any]:
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


def marks(lines: Sequence[RooflineRow], times: Mapping[str, float] | None) -> list[RooflineMark]:
    """Operators that are alike in kind, work and time, together."""
    alike: dict[tuple[object, ...], list[RooflineRow]] = {}
    for line in lines:
        place = (sort_of(line.kind), line.flops, line.bytes, round(spent(line, times), 9))
        alike.setdefault(place, []).append(line)
    return [
        RooflineMark(same, reached_rate(same[0], times), sum(spent(line, times) for line in same))
        for same in alike.values()
    ]


def spent(line: RooflineRow, times: Mapping[str, float] | None) -> float:
    """ms: predicted or measured where a time is known, else the least."""
    return (times or {}).get(line.path, line.ms)


def points(marks: Sequence[RooflineMark], sort: str, most: float) -> dict[str, Any]:
    """The operators of one kind; `most` ms are the largest mark."""
    symbol, _ = SIGNS.get(sort, ("circle-open", ""))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": COLOURS[sort][0] if sort in COLOURS else sort,
        "x": [mark.lines[0].intensity for mark in marks],
        "y": [mark.reached for mark in marks],
        "customdata": [[line.path for line in mark.lines] for mark in marks],
        "hovertext": [about(mark) for mark in marks],
        "hoverinfo": "text",
        "marker": {
            "symbol": symbol,
            "color": f"@{sort}" if sort in COLOURS else DIM,
            "size": [side(mark.ms, most, 24) for mark in marks],
            "opacity": 0.8,
            "line": {"width": 1, "color": "@paper"},
        },
    }


def about(mark: RooflineMark) -> str:
    """What the pointer reads."""
    first, *others = mark.lines
    return hover(
        first.path + (f" and {len(others)} alike" if others else ""),
        first.kind,
        f"{show_ms(mark.ms)}, {first.bound}",
        f"{first.intensity:.3g} FLOP/byte, {mark.reached:.3g} of {first.attainable / GIGA:.3g} GFLOP/s",
    )


def row(line: RooflineRow) -> tuple[str, ...]:
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
