"""The design space of RegNet on a grid: five numbers give all widths and depths.

Radosavovic et al. 2020, https://arxiv.org/abs/2003.13678, section 3.3: slope wa, initial width w0, multiplier wm,
depth, group width; the grid covers the published range (wa 20 to 116, w0 24 to 232, wm 2 to 2.9, depth 13 to 27).
How many stages there are follows from the numbers; many combinations give the same network.
`netlathe regnets` draws from the continuous space instead.
"""

from __future__ import annotations

import re
from itertools import product

from netlathe.arch.combinators import Stage
from netlathe.arch.layers import Conv
from netlathe.arch.network import Network
from netlathe.arch.rewrite import walk
from netlathe.search.genotype import DecisionPoint
from netlathe.search.grid import GridSpace, Options
from netlathe.zoo import regnet as zoo

AXES = (
    DecisionPoint("w0", tuple(map(str, (24, 32, 48, 64, 80, 96, 128, 160, 192, 232)))),
    DecisionPoint("wa", tuple(map(str, (20, 24, 28, 32, 36, 40, 50, 60, 75, 90, 115)))),
    DecisionPoint("wm", tuple(f"{n / 10:g}" for n in range(20, 30))),
    DecisionPoint("depth", tuple(map(str, range(12, 29)))),
    DecisionPoint("group_width", tuple(map(str, (8, 16, 24, 32, 40, 48, 56, 64, 72, 112)))),
)


def regnet(excite: bool = False, classes: int = 1000, resolution: int = 224) -> GridSpace:
    """The space of RegNetX, or with `excite` of RegNetY."""

    def make(options: Options) -> Network:
        numbers = {name: float(value) for name, value in options.items()}
        body = zoo.regnet(
            numbers["wa"],
            numbers["w0"],
            numbers["wm"],
            int(numbers["depth"]),
            int(numbers["group_width"]),
            excite,
            classes=classes,
        )
        return Network("regnet", body).at(resolution)

    def options_of(network: Network) -> Options | None:
        """The first combination that gives these stages."""
        wanted = stage_sizes(network)
        groups = next(
            (leaf.group_width for _, leaf in walk(network.body) if isinstance(leaf, Conv) and leaf.group_width), 0
        )
        w0, wa, wm, depth, group_width = (axis.options for axis in AXES)
        total = str(sum(repeats for _, repeats in wanted))
        if total not in depth:
            return None
        possible = [group for group in group_width if int(group) >= groups]
        for start, slope, times, group in product(w0, wa, wm, possible):
            table = zoo.stage_table(float(slope), float(start), float(times), int(total), int(group), tv=False)
            if [(width, repeats) for width, _, repeats in table] == wanted and table[0][1] == groups:
                values = (start, slope, times, total, group)
                return {axis.name: value for axis, value in zip(AXES, values, strict=True)}
        return None

    start = make({axis.name: axis.options[0] for axis in AXES})
    return GridSpace("regnety" if excite else "regnetx", start, axes=AXES, make=make, options_of=options_of)


def stage_sizes(network: Network) -> list[tuple[int, int]]:
    """(width, depth) of every stage, by the blocks' last convolution."""
    sizes = []
    for path, node in walk(network.body):
        if re.fullmatch(r"stage\d+", path) and isinstance(node, Stage):
            widths = [
                leaf.width for _, leaf in walk(node.block) if isinstance(leaf, Conv) and isinstance(leaf.width, int)
            ]
            sizes.append((max(widths, default=0), node.depth))
    return sizes
