"""MobileNetV3.

Howard et al. 2019, Searching for MobileNetV3, https://arxiv.org/abs/1905.02244, Tables 1 and 2. Inverted residuals with
widths found by search, squeeze-and-excitation in some, hard swish where the map is small, and a cheaper last stage.
Epsilon of batch norm and the rounded squeeze (a quarter of the wide end) are torchvision's and timm's.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from netlathe.arch.build import conv, depthwise, relu, residual, seq
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Act, Linear, Norm
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool
from netlathe.arch.rounding import ten_percent
from netlathe.zoo.blocks import squeeze_excite
from netlathe.zoo.registry import Variant, variant

norm = Norm("batch", eps=1e-3)
hardswish, hardsigmoid = Act("hardswish"), Act("hardsigmoid")


class BneckRow(NamedTuple):
    """A row of the tables: stage, kernel, exp size, #out, SE, non-linearity, stride."""

    stage: int
    kernel: int
    wide: int
    out: int
    se: bool
    act: Act
    stride: int


LARGE = (
    BneckRow(1, 3, 16, 16, False, relu, 1),
    BneckRow(2, 3, 64, 24, False, relu, 2),
    BneckRow(2, 3, 72, 24, False, relu, 1),
    BneckRow(3, 5, 72, 40, True, relu, 2),
    BneckRow(3, 5, 120, 40, True, relu, 1),
    BneckRow(3, 5, 120, 40, True, relu, 1),
    BneckRow(4, 3, 240, 80, False, hardswish, 2),
    BneckRow(4, 3, 200, 80, False, hardswish, 1),
    BneckRow(4, 3, 184, 80, False, hardswish, 1),
    BneckRow(4, 3, 184, 80, False, hardswish, 1),
    BneckRow(5, 3, 480, 112, True, hardswish, 1),
    BneckRow(5, 3, 672, 112, True, hardswish, 1),
    BneckRow(6, 5, 672, 160, True, hardswish, 2),
    BneckRow(6, 5, 960, 160, True, hardswish, 1),
    BneckRow(6, 5, 960, 160, True, hardswish, 1),
)
SMALL = (
    BneckRow(1, 3, 16, 16, True, relu, 2),
    BneckRow(2, 3, 72, 24, False, relu, 2),
    BneckRow(2, 3, 88, 24, False, relu, 1),
    BneckRow(3, 5, 96, 40, True, hardswish, 2),
    BneckRow(3, 5, 240, 40, True, hardswish, 1),
    BneckRow(3, 5, 240, 40, True, hardswish, 1),
    BneckRow(4, 5, 120, 48, True, hardswish, 1),
    BneckRow(4, 5, 144, 48, True, hardswish, 1),
    BneckRow(5, 5, 288, 96, True, hardswish, 2),
    BneckRow(5, 5, 576, 96, True, hardswish, 1),
    BneckRow(5, 5, 576, 96, True, hardswish, 1),
)


@block
def inverted(row: BneckRow, narrow: Size) -> Node:
    """x + f(x), f = 1x1 expand, depthwise, squeeze-excite (where the row says), linear 1x1 squeeze."""
    parts: dict[str, Node] = {}
    if row.wide != narrow:
        parts["expand"] = conv(row.wide, norm=norm, act=row.act)
    parts["process"] = depthwise(row.kernel, row.stride, norm=norm, act=row.act)
    if row.se:
        parts["se"] = squeeze_excite(ten_percent(row.wide // 4), row.wide, relu, hardsigmoid)
    return residual(seq(**parts, squeeze=conv(row.out, norm=norm, act=None)), optional=True)


def mobilenetv3(table: tuple[BneckRow, ...], hidden: Size = 1280, classes: Size = 1000) -> Node:
    """Stages of inverted residuals; the last 1x1 stays wide, and the mean is taken before the hidden layer."""
    narrow = (16, *(row.out for row in table))
    blocks = [(row.stage, inverted(row, x)) for row, x in zip(table, narrow, strict=False)]
    stages = {
        f"stage{number}": seq(**{f"block{i}": body for i, (_, body) in enumerate(rows, 1)})
        for number, rows in groupby(blocks, key=lambda row: row[0])
    }
    return seq(
        stem=conv(16, 3, 2, norm=norm, act=hardswish),
        **stages,
        top=conv(6 * table[-1].out, norm=norm, act=hardswish),
        head=seq(
            pool=GlobalPool(), flatten=Flatten(), hidden=Linear(hidden), act=hardswish, classifier=Linear(classes)
        ),
    )


NETWORKS: dict[str, Variant] = {
    "mobilenetv3_large": variant(mobilenetv3, table=LARGE),
    "mobilenetv3_small": variant(mobilenetv3, table=SMALL, hidden=1024),
}
