"""RegNetX and RegNetY.

Radosavovic et al. 2020, Designing Network Design Spaces, https://arxiv.org/abs/2003.13678. Four numbers give all
widths and depths (equations 2 to 4), a fifth the width of a group; Y adds squeeze-excite. Numbers from pycls
@5719de6 (MIT). torchvision rounds to group widths by MobileNetV2's rule of 10 %, which makes three of its networks
different ones under the same name: they are here as `_tv`.
"""

from __future__ import annotations

from itertools import groupby
from math import log

from netlathe.arch.build import conv, head, relu, residual, seq, stage
from netlathe.arch.leaf import Times, Width, need
from netlathe.arch.node import Node, Size, block
from netlathe.arch.rounding import nearest, ten_percent
from netlathe.zoo.blocks import squeeze_excite
from netlathe.zoo.registry import Variant, variant

# slope wa, initial width w0, multiplier wm, depth d, group width g
X = {
    "200mf": (36.44, 24, 2.49, 13, 8),
    "400mf": (24.48, 24, 2.54, 22, 16),
    "600mf": (36.97, 48, 2.24, 16, 24),
    "800mf": (35.73, 56, 2.28, 16, 16),
    "1_6gf": (34.01, 80, 2.25, 18, 24),
    "3_2gf": (26.31, 88, 2.25, 25, 48),
    "4gf": (38.65, 96, 2.43, 23, 40),
    "6_4gf": (60.83, 184, 2.07, 17, 56),
    "8gf": (49.56, 80, 2.88, 23, 120),
    "12gf": (73.36, 168, 2.37, 19, 112),
    "16gf": (55.59, 216, 2.1, 22, 128),
    "32gf": (69.86, 320, 2.0, 23, 168),
}
Y = {
    "200mf": (36.44, 24, 2.49, 13, 8),
    "400mf": (27.89, 48, 2.09, 16, 8),
    "600mf": (32.54, 48, 2.32, 15, 16),
    "800mf": (38.84, 56, 2.4, 14, 16),
    "1_6gf": (20.71, 48, 2.65, 27, 24),
    "3_2gf": (42.63, 80, 2.66, 21, 24),
    "4gf": (31.41, 96, 2.24, 22, 64),
    "6_4gf": (33.22, 112, 2.27, 25, 72),
    "8gf": (76.82, 192, 2.19, 17, 56),
    "12gf": (73.36, 168, 2.37, 19, 112),
    "16gf": (106.23, 200, 2.48, 18, 112),
    "32gf": (115.89, 232, 2.53, 20, 232),
}
STEM = 32


def stage_table(wa: float, w0: float, wm: float, depth: int, group_width: int, tv: bool) -> list[tuple[int, int, int]]:
    """(width, group width, depth) of every stage: w0 + wa j, to a power of wm, to 8, to whole groups."""
    need(wa >= 0 and w0 > 0 and wm > 1, f"wa >= 0, w0 > 0 and wm > 1, not {wa}, {w0}, {wm}")
    need(depth >= 1, f"depth must be at least 1, not {depth}")
    powers = [round(log((w0 + wa * j) / w0) / log(wm)) for j in range(depth)]
    widths = [nearest(w0 * wm**power) for power in powers]
    fit = ten_percent if tv else nearest
    stages = [(width, min(group_width, width), len(list(same))) for width, same in groupby(widths)]
    return [(fit(width, group), group, repeats) for width, group, repeats in stages]


@block
def bottleneck(out: Size, group_width: Size, stride: int, squeeze: Width) -> Node:
    """relu(x + f(x)), f = 1x1, grouped 3x3, (Y: squeeze-excite,) 1x1, all of one width."""
    gate = {} if squeeze is None else {"se": squeeze_excite(squeeze, out)}
    body = seq(
        squeeze=conv(out),
        process=conv(out, 3, stride, group_width=group_width),
        **gate,
        expand=conv(out, act=None),
    )
    return residual(body, project=conv(out, 1, stride, act=None)) >> relu


def regnet(
    wa: float,
    w0: float,
    wm: float,
    depth: int,
    group_width: int,
    excite: bool = False,
    tv: bool = False,
    classes: int = 1000,
) -> Node:
    """Stem, stages that each halve the map, head; `excite` squeezes to a quarter of the width that enters the block."""
    stages: dict[str, Node] = {}
    before = STEM
    for i, (width, group, repeats) in enumerate(stage_table(wa, w0, wm, depth, group_width, tv), 1):
        first = bottleneck(width, group, 2, nearest(before / 4, 1) if excite else None)
        stages[f"stage{i}"] = stage(bottleneck(width, group, 1, Times(1, 4) if excite else None), repeats, first)
        before = width
    return seq(stem=conv(STEM, 3, 2), **stages, head=head(classes))


def row(numbers: tuple[float, float, float, int, int], excite: bool, tv: bool = False) -> Variant:
    """A row of the paper's Figures 15 and 16."""
    wa, w0, wm, depth, group_width = numbers
    return variant(regnet, wa=wa, w0=w0, wm=wm, depth=depth, group_width=group_width, excite=excite, tv=tv)


NETWORKS: dict[str, Variant] = {
    **{f"regnetx_{name}": row(numbers, excite=False) for name, numbers in X.items()},
    **{f"regnety_{name}": row(numbers, excite=True) for name, numbers in Y.items()},
    "regnetx_400mf_tv": row(X["400mf"], excite=False, tv=True),
    "regnety_800mf_tv": row(Y["800mf"], excite=True, tv=True),
    "regnety_8gf_tv": row(Y["8gf"], excite=True, tv=True),
}
