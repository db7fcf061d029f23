"""Regret: how far the best found is from the best there is, by strategy, over trials or time, with bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from netlathe.report.charts.chart import Chart, axis, figure, label
from netlathe.report.theme import DASHES, SERIES


class RegretCurve(NamedTuple):
    """A strategy: at every x the middle of its runs, and the band of them (or of their mean)."""

    name: str
    x: tuple[float, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def chart(
    curves: Sequence[RegretCurve],
    *,
    x: str = "trials",
    y: str = "regret, points of accuracy",
    band: str = "95 % interval of the mean over seeds",
    log: bool = False,
) -> Chart:
    """`band` says what the bands are; `log` makes the x axis logarithmic. Lower is better."""
    data = [trace for i, curve in enumerate(curves) for trace in (ground(curve, i), stroke(curve, i))]
    last = sorted((curve.middle[-1], curve.name) for curve in curves if curve.middle)
    text = f" At the end {last[0][1]} has {last[0][0]:.3g}, {last[-1][1]} {last[-1][0]:.3g}." if len(last) > 1 else ""
    return Chart(
        id="regret",
        title=f"Regret over {x}",
        description=f"How far the best found so far is from the best there is; lower is better. Band: {band}.{text}",
        figure=figure(
            data,
            axis(x, log=[v for curve in curves for v in curve.x if v > 0] if log else ()),
            axis(y, rangemode="tozero"),
            hovermode="x unified",
        ),
        heads=("strategy", x, "middle", "low", "high"),
        rows=tuple(
            (curve.name, f"{a:g}", f"{m:.4g}", f"{low:.4g}", f"{high:.4g}")
            for curve in curves
            for a, m, low, high in zip(curve.x, curve.middle, curve.low, curve.high, strict=True)
        ),
    )


def ground(curve: RegretCurve, i: int) -> dict[str, Any]:
    """The band: there along the upper end, back along the lower."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*curve.x, *reversed(curve.x)],
        "y": [*curve.high, *reversed(curve.low)],
        "fill": "toself",
        "fillcolor": f"{SERIES[i % len(SERIES)]}/0.15",
        "line": {"width": 0, "color": SERIES[i % len(SERIES)]},
        "legendgroup": str(i),
        "hoverinfo": "skip",
        "showlegend": False,
    }


def stroke(curve: RegretCurve, i: int) -> dict[str, Any]:
    """The middle."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(curve.name),
        "x": list(curve.x),
        "y": list(curve.middle),
        "line": {"color": SERIES[i % len(SERIES)], "dash": DASHES[i % len(DASHES)], "width": 2.5},
        "legendgroup": str(i),
        "hovertemplate": "%{y:.4g}",
    }
