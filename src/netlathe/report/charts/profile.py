"""The width profile: every step of a network as a band, channels to scale; the hourglass and the barrel are visible.

The bands are those of `report.picture`: from the channels that arrive (upper edge) to those that leave (lower edge),
blocks that look alike drawn once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from netlathe.arch.graph import Graph
from netlathe.report.charts.chart import Chart, axis, figure, hover, label
from netlathe.report.picture import COLOURS, ChannelBand, PictureGroup, groups
from netlathe.report.theme import PAPER, SIGNS

GAP = 0.7  # between blocks, in bands
TALLEST = 1100  # pixels


class PlacedOp(NamedTuple):
    """A band and where its upper edge is, in bands from the top."""

    band: ChannelBand
    group: PictureGroup
    y: float


def chart(graph: Graph) -> Chart:
    """The profile of a graph."""
    picture_groups = groups(graph)
    placed = list(place(picture_groups))
    most = max((b.after for group in picture_groups for b in group.bands), default=1)
    data = []
    for colour in COLOURS:
        for shortcut in (False, True):
            same = [p for p in placed if (p.band.colour, p.band.shortcut) == (colour, shortcut)]
            if same:
                data.append(shapes(same, colour, most, shortcut))
    data += [points(placed)]
    middles = [(sum(p.y for p in placed if p.group is group) / len(group.bands) + 0.5) for group in picture_groups]
    ticks = [tick for tick in nice(most) if tick <= most]
    bottom = placed[-1].y + 1 if placed else 1.0
    x = axis(
        "channels, to scale",
        tickvals=[*(-t / 2 for t in reversed(ticks)), 0, *(t / 2 for t in ticks)],
        ticktext=[*(f"{t:,}" for t in reversed(ticks)), "0", *(f"{t:,}" for t in ticks)],
        tickangle=0,
        range=[-most * 0.52, most * 0.52],
    )
    names = [label(g.path) + (f" x{g.repeats}" if g.repeats > 1 else "") for g in picture_groups]
    y = axis("", range=[bottom + GAP, -GAP], tickvals=middles, ticktext=names, showgrid=False)
    height = min(TALLEST, 110 + 13 * (bottom + 1))
    return Chart(
        id="profile",
        title="Width profile",
        description=(
            "Every convolution, product and attention is a band as wide as its channels, from those that arrive (top) "
            "to those that leave. A block that squeezes is an hourglass, one that swells a barrel; shortcuts are pale."
        ),
        figure=figure(data, x, y, height=round(height), yaxis=y),
        heads=("step", "kind", "channels in", "channels out", "times"),
        rows=tuple(row(p) for p in placed),
    )


def place(picture_groups: Sequence[PictureGroup]) -> Iterable[PlacedOp]:
    """The bands of all groups below each other."""
    y = 0.0
    for group in picture_groups:
        for band in group.bands:
            yield PlacedOp(band, group, y)
            y += 1
        y += GAP


def nice(most: int) -> list[int]:
    """Two ticks at round widths, up to the widest step."""
    step = 10 ** (len(str(most)) - 1)
    unit = next((s for s in (step * 5, step * 2, step, step // 2) if s and s <= most), 1)
    return [unit // 2, unit] if unit > 1 else [unit]


def shapes(same: Sequence[PlacedOp], colour: str, most: int, shortcut: bool) -> dict[str, Any]:
    """The bands of one kind as one trace of closed shapes; a flattened map is drawn no wider than the widest step."""
    x: list[float | None] = []
    y: list[float | None] = []
    for p in same:
        a, c = (min(n, most) / 2 for n in (p.band.before, p.band.after))
        x += [-a, a, c, -c, -a, None]
        y += [p.y + 0.04, p.y + 0.04, p.y + 0.92, p.y + 0.92, p.y + 0.04, None]
    _, pattern = SIGNS[colour]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": COLOURS[colour][0] + ", shortcut" * shortcut,
        "opacity": 0.4 if shortcut else 1,
        "showlegend": not shortcut,
        "x": x,
        "y": y,
        "fill": "toself",
        "fillcolor": f"@{colour}",
        "fillpattern": {"shape": pattern, "fgcolor": PAPER, "bgcolor": f"@{colour}", "size": 6, "solidity": 0.2},
        "line": {"width": 0, "color": f"@{colour}"},
        "hoverinfo": "skip",
    }


def points(placed: Sequence[PlacedOp]) -> dict[str, Any]:
    """What the pointer finds: a sign without ink in the middle of every band."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [0] * len(placed),
        "y": [p.y + 0.5 for p in placed],
        "marker": {"size": 14, "opacity": 0, "color": PAPER},
        "hovertext": [
            hover(p.band.title, f"{p.band.before} to {p.band.after} channels", f"{p.group.repeats} times")
            for p in placed
        ],
        "hoverinfo": "text",
        "showlegend": False,
    }


def row(p: PlacedOp) -> tuple[str, ...]:
    """A band in the table."""
    path = p.band.title.partition(": ")[0]
    kind = COLOURS.get(p.band.colour, (p.band.colour,))[0] + ", shortcut" * p.band.shortcut
    return (path, kind, f"{p.band.before:,}", f"{p.band.after:,}", str(p.group.repeats))
