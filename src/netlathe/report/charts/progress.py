"""Progress of a search: the score of every trial in order, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from netlathe.report.charts.chart import Chart, axis, figure, hover
from netlathe.report.theme import DIM, SERIES


class TrialMark(NamedTuple):
    """A trial: its number, what became of it, its score where it has one, and what to say of it."""

    number: int
    state: str
    score: float | None
    note: str = ""


def chart(trials: Sequence[TrialMark], *, word: str = "validation accuracy, %") -> Chart:
    """`word` names the score; higher is better."""
    scored = [(trial, trial.score) for trial in trials if trial.score is not None]
    best, corners = None, list[tuple[int, float]]()
    for trial, score in scored:
        if best is None or score > best:
            best = score
            corners.append((trial.number, score))
    end = max((trial.number for trial in trials), default=0)
    data: list[dict[str, Any]] = []
    for state, symbol, colour in (("done", "circle", SERIES[0]), ("duplicate", "circle-open", DIM)):
        data += traces([pair for pair in scored if pair[0].state == state], state, symbol, colour)
    if corners:
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "best so far",
                "x": [*(n for n, _ in corners), end],
                "y": [*(s for _, s in corners), corners[-1][1]],
                "line": {"shape": "hv", "color": SERIES[1], "width": 2, "dash": "dash"},
                "hoverinfo": "skip",
            }
        )
    text = f" The best is {corners[-1][1]:.2f}, of trial {corners[-1][0]}." if corners else ""
    return Chart(
        id="progress",
        title="Trials in order",
        description=f"The score of each trial and the best so far, as the search saw them.{text}",
        figure=figure(data, axis("trial"), axis(word)),
        heads=("trial", "state", "score", "network"),
        rows=tuple((str(t.number), t.state, "-" if t.score is None else f"{t.score:.2f}", t.note) for t in trials),
    )


def traces(pairs: Sequence[tuple[TrialMark, float]], state: str, symbol: str, colour: str) -> list[dict[str, Any]]:
    """The trials of one state as marks."""
    if not pairs:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": state,
            "x": [trial.number for trial, _ in pairs],
            "y": [score for _, score in pairs],
            "hovertext": [hover(f"trial {t.number}", f"{score:.2f}", *[t.note] * bool(t.note)) for t, score in pairs],
            "hoverinfo": "text",
            "marker": {"symbol": symbol, "color": colour, "size": 8},
        }
    ]
