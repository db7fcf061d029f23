"""Predicted against measured latency, with both intervals and the diagonal where they would agree."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from netlathe.report.charts.chart import Chart, axis, figure, hover, label
from netlathe.report.theme import DIM, SERIES
from netlathe.units import show_ms

Ends = tuple[float, float, float]  # low, middle, high in ms


class PredictedPair(NamedTuple):
    """A network with both latencies."""

    name: str
    predicted: Ends
    measured: Ends

    @property
    def off(self) -> float:
        """measured / predicted - 1."""
        return self.measured[1] / self.predicted[1] - 1

    @property
    def inside(self) -> bool:
        """Whether the measured middle lies in the predicted interval."""
        return self.predicted[0] <= self.measured[1] <= self.predicted[2]


def chart(pairs: Sequence[PredictedPair]) -> Chart:
    """A sign a network: a circle inside the predicted interval, a cross outside."""
    ends = [value for p in pairs for value in (*p.predicted, *p.measured) if value > 0] or [1.0]
    low, high = min(ends) / 1.15, max(ends) * 1.15
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [low, high],
            "y": [low, high],
            "line": {"color": DIM, "dash": "dash", "width": 1},
            "name": "equal",
            "hoverinfo": "skip",
        }
    ]
    for inside in (True, False):
        data += traces([p for p in pairs if p.inside == inside], inside)
    hits = sum(p.inside for p in pairs)
    middle = 100 * median(abs(p.off) for p in pairs) if pairs else 0.0
    return Chart(
        id="predicted",
        title="Predicted against measured",
        description=(
            f"{hits} of {len(pairs)} measured latencies lie inside the predicted interval; the middle error is "
            f"{middle:.1f} %. On the diagonal both are equal."
        ),
        figure=figure(
            data,
            axis("predicted, ms", log=[low, high]),
            axis("measured, ms", log=[low, high]),
            height=420,
        ),
        heads=("network", "predicted", "interval", "measured", "interval", "off", "inside"),
        rows=tuple(row(p) for p in pairs),
    )


def traces(pairs: Sequence[PredictedPair], inside: bool) -> list[dict[str, Any]]:
    """The networks inside, or those outside the predicted interval."""
    if not pairs:
        return []
    colour = SERIES[0] if inside else SERIES[1]

    def whisker(ends: list[Ends]) -> dict[str, Any]:
        return {
            "type": "data",
            "symmetric": False,
            "array": [e[2] - e[1] for e in ends],
            "arrayminus": [e[1] - e[0] for e in ends],
            "color": colour,
            "thickness": 1,
            "width": 3,
        }

    return [
        {
            "type": "scatter",
            "mode": "markers+text" if len(pairs) < 9 else "markers",
            "name": "inside the interval" if inside else "outside",
            "x": [p.predicted[1] for p in pairs],
            "y": [p.measured[1] for p in pairs],
            "text": [label(p.name) for p in pairs],
            "textposition": "bottom right",
            "hovertext": [
                hover(
                    p.name,
                    f"predicted {format_interval(p.predicted)}",
                    f"measured {format_interval(p.measured)}",
                    f"{100 * p.off:+.1f} %",
                )
                for p in pairs
            ],
            "hoverinfo": "text",
            "marker": {"symbol": "circle" if inside else "x", "color": colour, "size": 9},
            "error_x": whisker([p.predicted for p in pairs]),
            "error_y": whisker([p.measured for p in pairs]),
        }
    ]


def format_interval(ends: Ends) -> str:
    """A latency with its interval."""
    return f"{show_ms(ends[1])} ({ends[0]:.3g} to {ends[2]:.3g})"


def row(p: PredictedPair) -> tuple[str, ...]:
    """A network in the table."""
    low, middle, high = p.predicted
    m_low, m_middle, m_high = p.measured
    return (
        p.name,
        show_ms(middle),
        f"{low:.3g} to {high:.3g} ms",
        show_ms(m_middle),
        f"{m_low:.3g} to {m_high:.3g} ms",
        f"{100 * p.off:+.1f} %",
        "yes" if p.inside else "no",
    )
