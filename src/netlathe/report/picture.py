"""picture(): a network as an SVG drawing in which its shape is visible, the width of every step to scale.

Every convolution, matrix product and attention is a band from the channels that arrive (upper edge) to those that leave
(lower edge): ResNet's bottleneck is an hourglass, MobileNetV2's block a barrel. Blocks that repeat are drawn once.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import NamedTuple

from netlathe.arch.graph import Graph, Op
from netlathe.arch.network import Network
from netlathe.arch.node import Shape
from netlathe.cost.table import block_of, stage_of
from netlathe.cost.totals import MAC_KINDS

WIDTH, MARGIN, LEFT, BAND, GAP, STAGE_GAP = 900, 16, 190, 14, 7, 14
SCALE = WIDTH - LEFT - 2 * MARGIN  # pixels of the widest step

# form or kind -> (name in the legend, colour on light, colour on dark); hues that colour-blind readers tell apart
COLOURS = {
    "dense": ("convolution", "#0b6fb8", "#58a6e8"),
    "pointwise": ("1x1 convolution", "#8a8f98", "#9aa1ab"),
    "depthwise": ("depthwise", "#d1720a", "#f0a04b"),
    "grouped": ("grouped", "#a34fa6", "#cf86d2"),
    "transposed": ("transposed", "#1c7d74", "#45b8ac"),
    "linear": ("linear", "#5b6470", "#c3c8cf"),
    "attention": ("attention", "#b3261e", "#f2857d"),
}


class ChannelBand(NamedTuple):
    """One step: channels that arrive and leave, what it is, what to say of it."""

    before: int
    after: int
    colour: str
    shortcut: bool
    title: str


class PictureGroup(NamedTuple):
    """The bands of a block, and how many blocks in a row look the same."""

    path: str
    bands: tuple[ChannelBand, ...]
    out_shape: Shape
    repeats: int


def channels(shape: Shape) -> int:
    """The size of the channel axis: the first of a map, else the last."""
    return shape[0] if len(shape) == 3 else shape[-1]


def band(op: Op) -> ChannelBand:
    """The drawing of an operator; attention reads query, key and value, whose width is a third of what arrives."""
    before = channels(op.in_shapes[0]) // (3 if op.kind == "attention" else 1)
    colour = op.form if op.form in COLOURS else op.kind
    size = "x".join(map(str, op.out_shape))
    title = " ".join(f"{op.path}: {op.form} {op.kind} to {size}".split())
    return ChannelBand(before, channels(op.out_shape), colour, ".shortcut." in op.path, title)


def groups(graph: Graph) -> list[PictureGroup]:
    """Blocks in order; neighbours of the same stage that look alike become one group."""
    blocks = [(path, list(members)) for path, members in groupby(graph.ops, key=lambda op: block_of(op.path))]
    drawings = [
        PictureGroup(path, tuple(band(op) for op in ops if op.kind in MAC_KINDS), ops[-1].out_shape, 1)
        for path, ops in blocks
    ]
    alike = groupby((d for d in drawings if d.bands), key=lambda g: (stage_of(g.path), [b[:4] for b in g.bands]))
    folded = [list(members) for _, members in alike]
    return [members[0]._replace(repeats=len(members)) for members in folded]


def picture(network: Network) -> str:
    """The SVG document of a network; opens in any browser, follows its light or dark mode."""
    picture_groups = groups(network.graph())
    most = max((b.after for group in picture_groups for b in group.bands), default=1)
    body: list[str] = []
    y = MARGIN + 44.0
    stage = ""
    for group in picture_groups:
        y += STAGE_GAP if stage_of(group.path) != stage else GAP
        stage = stage_of(group.path)
        body.extend(drawn(group, y, most))
        y += BAND * len(group.bands)
    used = {b.colour for group in picture_groups for b in group.bands}
    height = y + MARGIN + 28
    text = escape(f"{network.name}, {'x'.join(map(str, network.input))}, widest step {most} channels; pale: shortcuts")
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{text}">',
            f"<style>{style()}</style>",
            f'<rect class="page" width="{WIDTH}" height="{height:.0f}"/>',
            f'<text class="name" x="{MARGIN}" y="{MARGIN + 14}">{text}</text>',
            *legend(used),
            *body,
            "</svg>\n",
        ]
    )


def drawn(group: PictureGroup, y: float, most: int) -> Iterator[str]:
    """The bands of a block below each other, with its name at the left."""
    middle = LEFT + MARGIN + SCALE / 2
    centre = y + BAND * len(group.bands) / 2
    size = "x".join(map(str, group.out_shape)) + f", {group.repeats} times" * (group.repeats > 1)
    one_line = len(group.bands) == 1
    yield f'<text x="{MARGIN}" y="{centre + (4 if one_line else -2):.1f}">{escape(group.path)}</text>'
    beside = MARGIN + 7 * len(group.path) + 6 if one_line else MARGIN
    yield f'<text class="more" x="{beside}" y="{centre + (4 if one_line else 12):.1f}">{size}</text>'
    for i, b in enumerate(group.bands):
        top, bottom = y + i * BAND, y + (i + 1) * BAND - 1
        a, c = (min(n, most) / most * SCALE / 2 for n in (b.before, b.after))  # a flattened map is wider than any step
        points = [(middle - a, top), (middle + a, top), (middle + c, bottom), (middle - c, bottom)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        kind = f"{b.colour} shortcut" if b.shortcut else b.colour
        yield f'<polygon class="{kind}" points="{path}"><title>{escape(b.title)}</title></polygon>'


def legend(used: set[str]) -> Iterator[str]:
    """Colours that occur, by name."""
    x = float(MARGIN)
    for key, (name, _, _) in COLOURS.items():
        if key in used:
            yield f'<rect class="{key}" x="{x:.0f}" y="{MARGIN + 26}" width="12" height="12"/>'
            yield f'<text x="{x + 17:.0f}" y="{MARGIN + 36}">{name}</text>'
            x += 17 + 7 * len(name) + 18


def style() -> str:
    """Fonts and colours; dark where the reader's system is."""
    light = "".join(f".{key}{{fill:{colour}}}" for key, (_, colour, _) in COLOURS.items())
    dark = "".join(f".{key}{{fill:{colour}}}" for key, (_, _, colour) in COLOURS.items())
    return (
        "text{font:12px system-ui,sans-serif;fill:#1b1f24}.name{font-weight:600;font-size:14px}"
        f".more{{fill:#5b6470}}.shortcut{{opacity:.35}}.page{{fill:#fff}}{light}"
        "@media (prefers-color-scheme: dark){text{fill:#e8eaed}.more{fill:#a9b0ba}.page{fill:#16181c}"
        f"{dark}}}"
    )
