"""Named curves in one frame, and the page of one such chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netlathe.report.charts.chart import Chart, axis, figure, label
from netlathe.report.page import Page
from netlathe.report.theme import DASHES, SERIES
from netlathe.stats.quantiles import distribution_steps

Points = Sequence[tuple[float, float]]


def chart(curves: Mapping[str, Points], *, title: str, description: str, x: str, y: str, steps: bool = False) -> Chart:
    """Curves by name; `x` and `y` name the axes with their units; `steps`: a value holds until the next."""
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": label(name),
            "x": [point[0] for point in points],
            "y": [point[1] for point in points],
            "line": {
                "color": SERIES[i % len(SERIES)],
                "dash": DASHES[i % len(DASHES)],
                "shape": "hv" if steps else "linear",
                "width": 2.5,
            },
            "hovertemplate": "%{y:.4g}",
        }
        for i, (name, points) in enumerate(curves.items())
    ]
    rows = tuple((name, f"{a:.5g}", f"{b:.4g}") for name, points in curves.items() for a, b in points)
    return Chart("curves", title, description, figure(data, axis(x), axis(y)), ("curve", x, y), rows)


def distribution_chart(sets: Mapping[str, Iterable[float]], label: str) -> Chart:
    """The empirical distributions of named sets of values, as staircases; `label` names the value and its unit."""
    return chart(
        {name: distribution_steps(values) for name, values in sets.items()},
        title=f"Distribution of {label}",
        description="The share of networks up to each value; further left is less.",
        x=label,
        y="share of networks",
        steps=True,
    )


def chart_page(chart: Chart, *, title: str, command: str) -> Page:
    """A page of one chart; `command` makes it again."""
    return Page(title=title, lead=chart.description, sections=[(chart.title, [chart])], command=command)
