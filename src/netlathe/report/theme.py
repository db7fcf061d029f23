"""theme: the colours, signs and strokes of every chart, named once; the page says what a name looks like.

A figure holds names such as `@dense` or `@dense/0.2` (a fifth of its strength) where plotly wants a colour. `paint.js`
replaces them by the CSS variables of the page, again whenever light becomes dark, and on paper by the light ones.
"""

from __future__ import annotations

from netlathe.html import variables
from netlathe.report.picture import COLOURS

INK, DIM, LINE, PAPER = "@ink", "@dim", "@line", "@paper"
# Seven series: hues that colour-blind readers tell apart, in the order in which they differ most.
SERIES = tuple(
    f"@{name}" for name in ("dense", "depthwise", "transposed", "grouped", "attention", "linear", "pointwise")
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "6px 2px")
PATTERNS = ("", "/", ".", "x", "-", "+", "|")

# kind of operator -> (sign, pattern) that says it beside its colour
SIGNS = {
    "dense": ("circle", ""),
    "pointwise": ("square", ""),
    "depthwise": ("diamond", "/"),
    "grouped": ("triangle-up", "x"),
    "transposed": ("triangle-down", "-"),
    "linear": ("star", ""),
    "attention": ("x", "."),
}
OTHER = "other"


def sort_of(kind: str) -> str:
    """The key of COLOURS for a kind of operator such as "depthwise conv", "linear" or "batch norm"; else OTHER."""
    words = kind.split()
    return next((word for word in (*words[:1], *words[-1:]) if word in COLOURS), OTHER)


def style() -> str:
    """The CSS variables of the colours of operators and series."""
    light = {key: colour for key, (_, colour, _) in COLOURS.items()}
    return variables(light, {key: colour for key, (_, _, colour) in COLOURS.items()})
