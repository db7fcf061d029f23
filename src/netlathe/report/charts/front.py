"""The front: accuracy against latency, the area of a mark is the memory; the pick, the tied set and the budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, log
from typing import Any, NamedTuple

from netlathe.report.charts.chart import LEGEND, Chart, axis, figure, hover, label, limit, side
from netlathe.report.theme import DIM, SERIES
from netlathe.units import show_bytes, show_ms

# mark -> (legend, sign, colour): what a network is for the decision
MARKS = {
    "pick": ("pick", "star", SERIES[1]),
    "tied": ("tied with it", "diamond", SERIES[3]),
    "front": ("front", "circle", SERIES[0]),
    "fits": ("fits", "circle-open", DIM),
    "over": ("over budget", "x-thin", DIM),
}

ROOM = (0.34, 0.1)  # of the frame, that a name takes
NAMED = 5  # at most
WIDE = 1.6  # high / low, beyond which a whisker is drawn for the pick and its ties alone


class FrontPoint(NamedTuple):
    """A network: accuracy in %, latency in ms with its interval, memory in bytes, and a key of MARKS."""

    name: str
    accuracy: float
    ms: float
    low_ms: float
    high_ms: float
    memory: int | None  # None: not known
    mark: str = "front"
    note: str = ""  # how the latency is known


def chart(
    points: Sequence[FrontPoint],
    *,
    latency_ms: float | None = None,
    accuracy: float | None = None,
    word: str = "top-1",
    across: str = "latency",
    unit: str = "ms",
    show: Callable[[float], str] = show_ms,
) -> Chart:
    """`latency_ms` and `accuracy` are the limits of the budget; `word` is the kind of accuracy.

    Where no latency is known, `across` names another cost that stands in its place, in `unit`, written by `show`.
    """
    seen = sorted((p for p in points if 0 < p.ms < inf), key=lambda p: p.ms)
    most = max((p.memory for p in seen if p.memory), default=0)
    names = named(seen)
    data = [line([p for p in seen if p.mark in ("front", "pick")])]
    for mark in reversed(MARKS):  # the pick last, above the others
        data += traces([p for p in seen if p.mark == mark], mark, most, word, names, show)
    heights, times = [p.accuracy for p in seen], [p.ms for p in seen]
    if seen and latency_ms:
        data.append(limit([latency_ms] * 2, [max(heights), min(heights)], f"at most {show(latency_ms)}"))
    if seen and accuracy:
        data.append(limit([min(times), max(times)], [accuracy] * 2, f"at least {accuracy:g} %"))
    best = max(seen, key=lambda p: (p.mark == "pick", p.accuracy), default=None)
    sizes = ", the area of a mark is the memory" * bool(most) + ", a whisker the interval" * any(map(span, seen))
    text = f" {best.name} has {best.accuracy:.1f} % at {show(best.ms)}" if best else ""
    text += f" with {show_bytes(best.memory)}." if best and best.memory else "." * bool(best)
    return Chart(
        id="front",
        title=f"Accuracy, {across} and memory" if most else f"Accuracy and {across}",
        description=f"Up and left is better{sizes}.{text}",
        figure=figure(
            data,
            axis(f"{across}, {unit}", log=[ms for p in seen for ms in (p.low_ms, p.ms) if ms > 0]),
            axis(f"{word} accuracy, %"),
            height=440,
            legend=LEGEND | {"traceorder": "reversed"},
        ),
        heads=("network", "is", f"{word} %", across, "interval", "memory", "known by"),
        rows=tuple(row(p, show) for p in sorted(seen, key=lambda p: (-p.accuracy, p.ms))),
    )


def line(points: Sequence[FrontPoint]) -> dict[str, Any]:
    """The front as a staircase: what is best at or below a latency."""
    best, corners = -inf, []
    for p in points:
        if p.accuracy > best:
            best = p.accuracy
            corners.append(p)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [p.ms for p in corners],
        "y": [p.accuracy for p in corners],
        "line": {"shape": "hv", "color": SERIES[0], "width": 1.5},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def named(points: Sequence[FrontPoint]) -> dict[FrontPoint, str]:
    """Whose name is written, and where: the pick first, then the most accurate of the front, where there is room."""
    wanted = [p for p in points if p.mark in ("pick", "tied", "front")]
    if not wanted:
        return {}
    left, wide = points[0].ms, points[-1].ms / points[0].ms
    low, high = min(p.accuracy for p in points), max(p.accuracy for p in points)
    places: dict[FrontPoint, tuple[float, float]] = {}
    for p in sorted(wanted, key=lambda p: (p.mark != "pick", p.mark != "tied", -p.accuracy)):
        x, y = log(p.ms / left) / (log(wide) or 1.0), (p.accuracy - low) / ((high - low) or 1.0)
        if len(places) < NAMED and all(abs(x - a) > ROOM[0] or abs(y - b) > ROOM[1] for a, b in places.values()):
            places[p] = x, y
    return {p: f"bottom {'left' if x > 0.5 else 'right'}" for p, (x, _) in places.items()}


def traces(
    points: Sequence[FrontPoint],
    mark: str,
    most: int,
    word: str,
    names: Mapping[FrontPoint, str],
    show: Callable[[float], str],
) -> list[dict[str, Any]]:
    """The networks of one mark; those in `names` are named in the frame, at that side of their sign."""
    if not points:
        return []
    name, symbol, colour = MARKS[mark]
    return [
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": name,
            "x": [p.ms for p in points],
            "y": [p.accuracy for p in points],
            "text": [label(p.name) if p in names else "" for p in points],
            "textposition": [names.get(p, "top right") for p in points],
            "cliponaxis": False,
            "hovertext": [
                hover(
                    p.name,
                    f"{p.accuracy:.1f} % {word}",
                    f"{show(p.ms)}{span(p)} {p.note}",
                    *([show_bytes(p.memory)] if p.memory else []),
                )
                for p in points
            ],
            "hoverinfo": "text",
            "marker": {
                "symbol": symbol,
                "color": colour,
                "size": [side(p.memory or 0, most, least_px=13 if p.mark == "pick" else 7) for p in points],
                "line": {"width": 1.5, "color": colour if symbol.endswith(("open", "thin")) else "@paper"},
            },
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [max(p.high_ms - p.ms, 0.0) if whisker(p) and p.high_ms < inf else 0.0 for p in points],
                "arrayminus": [max(p.ms - p.low_ms, 0.0) if whisker(p) else 0.0 for p in points],
                "color": colour,
                "thickness": 1,
                "width": 3,
                "visible": any(map(span, points)),
            },
        }
    ]


def span(p: FrontPoint) -> str:
    """The interval in brackets, where there is one."""
    return f" ({p.low_ms:.3g} to {p.high_ms:.3g})" if p.low_ms < p.high_ms else ""


def whisker(p: FrontPoint) -> bool:
    """Whether the interval is drawn: wide ones of a whole front hide it, and the table has them."""
    return p.mark in ("pick", "tied") or (p.low_ms > 0 and p.high_ms / p.low_ms < WIDE)


def row(p: FrontPoint, show: Callable[[float], str]) -> tuple[str, ...]:
    """A network in the table."""
    interval = f"{p.low_ms:.3g} to {p.high_ms:.3g} ms" if p.low_ms < p.high_ms else "-"
    return (
        p.name,
        MARKS[p.mark][0],
        f"{p.accuracy:.1f}",
        show(p.ms),
        interval,
        show_bytes(p.memory) if p.memory else "-",
        p.note,
    )
