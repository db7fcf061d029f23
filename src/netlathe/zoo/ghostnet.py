"""GhostNet.

Han et al. 2020, GhostNet: More Features from Cheap Operations, https://arxiv.org/abs/1911.11907, section 3
and Table 1. Half of the channels of a ghost module come from a 1x1, the other half from a depthwise 3x3 of these. Rows
and the squeeze of the excitation (a quarter, to multiples of 4) are the authors' code's and timm's.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from netlathe.arch.build import concat, conv, depthwise, relu, residual, seq
from netlathe.arch.combinators import Identity
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Act, Linear
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool
from netlathe.arch.rounding import ten_percent
from netlathe.zoo.blocks import squeeze_excite
from netlathe.zoo.registry import Variant, variant

hardsigmoid = Act("hardsigmoid")


class GhostRow(NamedTuple):
    """A row of Table 1: stage, kernel, #exp, #out, SE, stride."""

    stage: int
    kernel: int
    wide: int
    out: int
    se: bool
    stride: int


TABLE = (
    GhostRow(1, 3, 16, 16, False, 1),
    GhostRow(2, 3, 48, 24, False, 2),
    GhostRow(2, 3, 72, 24, False, 1),
    GhostRow(3, 5, 72, 40, True, 2),
    GhostRow(3, 5, 120, 40, True, 1),
    GhostRow(4, 3, 240, 80, False, 2),
    GhostRow(4, 3, 200, 80, False, 1),
    GhostRow(4, 3, 184, 80, False, 1),
    GhostRow(4, 3, 184, 80, False, 1),
    GhostRow(4, 3, 480, 112, True, 1),
    GhostRow(4, 3, 672, 112, True, 1),
    GhostRow(5, 5, 672, 160, True, 2),
    GhostRow(5, 5, 960, 160, False, 1),
    GhostRow(5, 5, 960, 160, True, 1),
    GhostRow(5, 5, 960, 160, False, 1),
    GhostRow(5, 5, 960, 160, True, 1),
)


@block
def ghost(out: Size, act: Act | None = relu) -> Node:
    """[p(x), g(p(x))]: a 1x1 to half of the channels, and a depthwise 3x3 of them."""
    return seq(primary=conv(out // 2, act=act), cheap=concat(kept=Identity(), ghosts=depthwise(3, act=act)))


@block
def bottleneck(row: GhostRow, wide: Size, out: Size) -> Node:
    """x + f(x), f = ghost, depthwise where it strides, squeeze-excite where the row says, linear ghost."""
    parts: dict[str, Node] = {"expand": ghost(wide)}
    if row.stride > 1:
        parts["process"] = depthwise(row.kernel, row.stride, act=None)
    if row.se:
        parts["se"] = squeeze_excite(ten_percent(wide // 4, 4), wide, relu, hardsigmoid)
    shortcut = seq(process=depthwise(row.kernel, row.stride, act=None), squeeze=conv(out, act=None))
    return residual(seq(**parts, squeeze=ghost(out, None)), project=shortcut)


def ghostnet(alpha: float = 1.0, hidden: Size = 1280, classes: Size = 1000) -> Node:
    """Sixteen bottlenecks, every width times `alpha`; the mean is taken before the hidden layer."""

    def scaled(channels: int) -> int:
        return ten_percent(alpha * channels, 4)

    blocks = [(row.stage, bottleneck(row, scaled(row.wide), scaled(row.out))) for row in TABLE]
    stages = {
        f"stage{number}": seq(**{f"block{i}": body for i, (_, body) in enumerate(rows, 1)})
        for number, rows in groupby(blocks, key=lambda row: row[0])
    }
    last = seq(pool=GlobalPool(), hidden=conv(hidden, norm=None), flatten=Flatten(), classifier=Linear(classes))
    return seq(stem=conv(scaled(16), 3, 2), **stages, top=conv(scaled(960)), head=last)


NETWORKS: dict[str, Variant] = {"ghostnet": variant(ghostnet)}
