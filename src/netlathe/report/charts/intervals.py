"""Values with their intervals, one below the other: latencies side by side, scores of strategies, shares of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from netlathe.report.charts.chart import Chart, axis, figure, hover, label
from netlathe.report.theme import SERIES


class Interval(NamedTuple):
    """A name, a value and the ends of its interval; `note` is said in the table."""

    name: str
    low: float
    middle: float
    high: float
    note: str = ""


def chart(
    id: str,
    title: str,
    description: str,
    values: Sequence[Interval],
    *,
    x: str,
    show: Callable[[float], str],
    bars: bool = False,
) -> Chart:
    """Signs with whiskers from the first value at the top, or bars from zero; `show` writes a value."""
    data: dict[str, Any] = {
        "y": [label(v.name) for v in values],
        "x": [v.middle for v in values],
        "hovertext": [hover(v.name, f"{show(v.middle)}{span(v, show)}", *[v.note] * bool(v.note)) for v in values],
        "hoverinfo": "text",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [v.high - v.middle for v in values],
            "arrayminus": [v.middle - v.low for v in values],
            "color": "@ink",
            "thickness": 1.5,
            "width": 5,
            "visible": any(v.low < v.high for v in values),
        },
    }
    if bars:
        data |= {"type": "bar", "orientation": "h", "marker": {"color": SERIES[0]}, "textposition": "none"}
    else:
        data |= {"type": "scatter", "mode": "markers", "marker": {"color": SERIES[0], "size": 11, "symbol": "diamond"}}
    wide = any(v.low < v.high for v in values)
    return Chart(
        id=id,
        title=title,
        description=description,
        figure=figure(
            [data],
            axis(x, rangemode="tozero"),
            axis("", autorange="reversed", showgrid=not bars, type="category"),
            showlegend=False,
            height=90 + 34 * max(2, len(values)),
        ),
        heads=("", x, *(["interval"] if wide else []), *(["note"] if any(v.note for v in values) else [])),
        rows=tuple(
            (v.name, show(v.middle), *([span(v, show).strip(" ()")] if wide else []))
            + ((v.note,) if any(w.note for w in values) else ())
            for v in values
        ),
    )


def span(v: Interval, show: Callable[[float], str]) -> str:
    """The interval in brackets; empty where there is none."""
    return f" ({show(v.low)} to {show(v.high)})" if v.low < v.high else ""
