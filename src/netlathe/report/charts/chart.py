"""Chart: a plotly figure as plain dictionaries, with a title, a description and its table twin."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10, sqrt
from typing import Any, NamedTuple

from netlathe.report.theme import DIM, INK, LINE, PAPER

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.01, "xanchor": "left", "x": 0}
DIGITS = ((1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1,))  # of a decade
Figure = dict[str, Any]


class Chart(NamedTuple):
    """What a page shows: a figure whose colours are names of `theme`, and the same data as a table of texts."""

    id: str  # of its element, and of its place in a link
    title: str
    description: str  # what to look for, in one or two sentences, with the figures that matter
    figure: Figure  # {"data": [...], "layout": {...}}
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def label(text: object) -> str:
    """Any text as plotly shows it: it reads a little HTML in names, and formulas between dollars; a name is neither."""
    return escape(str(text), quote=False).replace("$", "&#36;")


def hover(*lines: str) -> str:
    """The lines of a hover label; the first is a name."""
    first, *more = map(label, lines)
    return "<br>".join([f"<b>{first}</b>", *more])


def axis(title: str, *, log: Sequence[float] = (), **more: Any) -> dict[str, Any]:
    """An axis with a quiet grid; `log` gives what a logarithmic axis shows, for its ticks."""
    options: dict[str, Any] = {
        "title": {"text": label(title), "standoff": 8},
        "gridcolor": LINE,
        "linecolor": DIM,
        "zeroline": False,
        "automargin": True,
    }
    if log:
        values = decades(min(log), max(log))
        options |= {"type": "log", "tickvals": values, "ticktext": [f"{value:,.6g}" for value in values]}
    return options | more


def decades(low: float, high: float) -> list[float]:
    """Round numbers from one end to beyond the other: 1, 10, 100 over a wide span, else 1, 2, 5 or more of them."""
    first, last = floor(log10(low)), ceil(log10(high))
    digits = DIGITS[0] if high < 4 * low else DIGITS[1] if high < 200 * low else DIGITS[2]
    return [digit * 10.0**power for power in range(first, last + 1) for digit in digits]


def figure(data: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any], **more: Any) -> Figure:
    """Traces in one frame, transparent, so that the page is its ground."""
    layout: dict[str, Any] = {
        "xaxis": x,
        "yaxis": y,
        "height": 380,
        "margin": {"l": 48, "r": 12, "t": 12, "b": 44},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": DIM, "font": {"color": INK, "family": FONT}, "align": "left"},
        "legend": LEGEND,
        "hovermode": "closest",
        "showlegend": True,
    }
    return {"data": data, "layout": layout | more}


def area(values: Sequence[float], most_px: float = 26) -> dict[str, Any]:
    """Sizes of markers whose area is the value; the largest is `most_px` wide."""
    largest = max(values, default=0.0) or 1.0
    return {"size": list(values), "sizemode": "area", "sizeref": 2 * largest / most_px**2, "sizemin": 4}


def side(value: float, largest: float, most_px: float = 26, least_px: float = 5) -> float:
    """The width of one marker whose area is a value."""
    return max(least_px, most_px * sqrt(max(value, 0.0) / (largest or 1.0)))


def limit(x: Sequence[float], y: Sequence[float], name: str) -> dict[str, Any]:
    """A limit as a dashed line with its name at the last end: a trace, for shapes count in logarithms on log axes."""
    return {
        "type": "scatter",
        "mode": "lines+text",
        "x": list(x),
        "y": list(y),
        "text": [*[""] * (len(x) - 1), f"{label(name)} "],
        "textposition": "top left",
        "cliponaxis": False,
        "line": {"color": INK, "dash": "dash", "width": 1.5},
        "name": label(name),
        "showlegend": False,
        "hoverinfo": "skip",
    }
