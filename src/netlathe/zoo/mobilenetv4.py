"""MobileNetV4.

Qin et al. 2024, MobileNetV4: Universal Models for the Mobile Ecosystem, https://arxiv.org/abs/2404.10518, section 4 and
the tables of appendix D. One block, the universal inverted bottleneck, has an optional depthwise convolution before its
expansion and an optional one after it: with both it is the paper's ExtraDW, with the second MobileNetV2's block, with
the first ConvNeXt's, with none a feed-forward network.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from netlathe.arch.build import conv, depthwise, residual, seq
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Linear
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool
from netlathe.arch.rounding import ten_percent
from netlathe.zoo.registry import Variant, variant


class UibRow(NamedTuple):
    """Stage, kernels before and after the expansion (0: none), stride, expansion, #out, how many."""

    stage: int
    before: int
    after: int
    stride: int
    expansion: int
    out: int
    repeat: int = 1


SMALL = (
    UibRow(3, 5, 5, 2, 3, 96),
    UibRow(3, 0, 3, 1, 2, 96, 4),
    UibRow(3, 3, 0, 1, 4, 96),
    UibRow(4, 3, 3, 2, 6, 128),
    UibRow(4, 5, 5, 1, 4, 128),
    UibRow(4, 0, 5, 1, 4, 128),
    UibRow(4, 0, 5, 1, 3, 128),
    UibRow(4, 0, 3, 1, 4, 128, 2),
)
MEDIUM = (
    UibRow(2, 3, 5, 2, 4, 80),
    UibRow(2, 3, 3, 1, 2, 80),
    UibRow(3, 3, 5, 2, 6, 160),
    UibRow(3, 3, 3, 1, 4, 160, 2),
    UibRow(3, 3, 5, 1, 4, 160),
    UibRow(3, 3, 3, 1, 4, 160),
    UibRow(3, 3, 0, 1, 4, 160),
    UibRow(3, 0, 0, 1, 2, 160),
    UibRow(3, 3, 0, 1, 4, 160),
    UibRow(4, 5, 5, 2, 6, 256),
    UibRow(4, 5, 5, 1, 4, 256),
    UibRow(4, 3, 5, 1, 4, 256, 2),
    UibRow(4, 0, 0, 1, 4, 256),
    UibRow(4, 3, 0, 1, 4, 256),
    UibRow(4, 3, 5, 1, 2, 256),
    UibRow(4, 5, 5, 1, 4, 256),
    UibRow(4, 0, 0, 1, 4, 256, 2),
    UibRow(4, 5, 0, 1, 2, 256),
)
LARGE = (
    UibRow(2, 3, 5, 2, 4, 96),
    UibRow(2, 3, 3, 1, 4, 96),
    UibRow(3, 3, 5, 2, 4, 192),
    UibRow(3, 3, 3, 1, 4, 192, 3),
    UibRow(3, 3, 5, 1, 4, 192),
    UibRow(3, 5, 3, 1, 4, 192, 5),
    UibRow(3, 3, 0, 1, 4, 192),
    UibRow(4, 5, 5, 2, 4, 512, 4),
    UibRow(4, 5, 0, 1, 4, 512),
    UibRow(4, 5, 3, 1, 4, 512),
    UibRow(4, 5, 0, 1, 4, 512, 2),
    UibRow(4, 5, 3, 1, 4, 512),
    UibRow(4, 5, 5, 1, 4, 512),
    UibRow(4, 5, 0, 1, 4, 512, 3),
)


@block
def universal(row: UibRow, wide: Size, stride: int) -> Node:
    """x + f(x), f = depthwise, 1x1 expand to `wide`, depthwise, linear 1x1 squeeze; each depthwise where a row has it.

    The first depthwise has no activation; the stride is the second's where there are both.
    """
    before = {"before": depthwise(row.before, 1 if row.after else stride, act=None)} if row.before else {}
    after = {"process": depthwise(row.after, stride)} if row.after else {}
    return residual(seq(**before, expand=conv(wide), **after, squeeze=conv(row.out, act=None)), optional=True)


def rows_to_blocks(table: tuple[UibRow, ...], arrives: int) -> list[tuple[int, Node]]:
    """(stage, block) of every row, as often as it counts; only the first of a row has its stride."""
    blocks = []
    for row in table:
        for i in range(row.repeat):
            wide = ten_percent(row.expansion * arrives)
            blocks.append((row.stage, universal(row, wide, row.stride if i == 0 else 1)))
            arrives = row.out
    return blocks


def mobilenetv4(table: tuple[UibRow, ...], stem: int = 32, fused: int = 48, classes: Size = 1000) -> Node:
    """Convolutions, or with `fused` one fused inverted bottleneck of so many channels, then universal ones."""
    if fused:
        body = seq(expand=conv(4 * stem, 3, 2), squeeze=conv(fused, act=None))
        first: dict[str, Node] = {"stage1": residual(body, optional=True)}
    else:
        first = {
            "stage1": seq(process=conv(32, 3, 2), squeeze=conv(32)),
            "stage2": seq(process=conv(96, 3, 2), squeeze=conv(64)),
        }
    stages = {
        f"stage{number}": seq(**{f"block{i}": body for i, (_, body) in enumerate(rows, 1)})
        for number, rows in groupby(rows_to_blocks(table, fused or 64), key=lambda row: row[0])
    }
    last = seq(pool=GlobalPool(), hidden=conv(1280), flatten=Flatten(), classifier=Linear(classes))
    return seq(stem=conv(stem, 3, 2), **first, **stages, top=conv(960), head=last)


NETWORKS: dict[str, Variant] = {
    "mobilenetv4_conv_small": variant(mobilenetv4, table=SMALL, fused=0),
    "mobilenetv4_conv_medium": variant(mobilenetv4, table=MEDIUM, stem=32, input=(3, 256, 256)),
    "mobilenetv4_conv_large": variant(mobilenetv4, table=LARGE, stem=24, input=(3, 384, 384)),
}
