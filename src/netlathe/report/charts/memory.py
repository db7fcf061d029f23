"""Memory over time: the bytes of activations that are live at every step, against what the device has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netlathe.report.charts.chart import Chart, axis, figure, hover, limit
from netlathe.report.theme import DASHES, SERIES
from netlathe.units import show_bytes

Timeline = Sequence[tuple[str, int]]  # (path, live bytes), as `cost.memory.timeline` gives it
SAID = {
    "eager": "eager, every operator its own",
    "folded": "as a runtime folds it",
    "best": "in the best order",
    "arena": "in one arena",
}


def chart(lines: Mapping[str, Timeline], *, most_bytes: int | None = None) -> Chart:
    """A line a variant (a key of `cost.memory.VARIANTS`); `most_bytes` is what there is."""
    unit, word = (1e6, "MB") if max((b for t in lines.values() for _, b in t), default=0) >= 1e6 else (1e3, "kB")
    data = [trace(name, line, i, unit) for i, (name, line) in enumerate(lines.items())]
    steps = max(map(len, lines.values()), default=1)
    if most_bytes:
        data.append(limit([0, steps], [most_bytes / unit] * 2, f"{show_bytes(most_bytes)} of the device"))
    peaks = {name: max(line, key=lambda point: point[1]) for name, line in lines.items() if line}
    peak_list = "; ".join(
        f"{SAID.get(name, name)} {show_bytes(size)} at {path}" for name, (path, size) in peaks.items()
    )
    return Chart(
        id="memory",
        title="Memory over time",
        description=f"Bytes of activations that are live while each step runs, without weights. Peaks: {peak_list}.",
        figure=figure(
            data, axis("step, in order of execution", rangemode="tozero"), axis(f"live {word}", rangemode="tozero")
        ),
        heads=("variant", "step", "operator", "live bytes"),
        rows=tuple(
            (SAID.get(name, name), str(i + 1), path, show_bytes(size))
            for name, line in lines.items()
            for i, (path, size) in enumerate(line)
        ),
    )


def trace(name: str, line: Timeline, i: int, unit: float) -> dict[str, Any]:
    """One variant as stairs; the first stands on a tinted ground."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": SAID.get(name, name),
        "x": list(range(1, len(line) + 1)),
        "y": [size / unit for _, size in line],
        "line": {"shape": "hv", "color": SERIES[i], "dash": DASHES[i], "width": 2},
        "fill": "tozeroy" if i == 0 else "none",
        "fillcolor": f"{SERIES[i]}/0.15",
        "customdata": [path for path, _ in line],
        "hovertext": [hover(path, f"{show_bytes(size)} live, {SAID.get(name, name)}") for path, size in line],
        "hoverinfo": "text",
    }
