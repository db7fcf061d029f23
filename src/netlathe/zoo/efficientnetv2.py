"""EfficientNetV2.

Tan and Le 2021, Smaller Models and Faster Training, https://arxiv.org/abs/2104.00298, Table 4 (S; M and L from the
released code, as in torchvision). Early stages fuse the expansion and the depthwise convolution into one dense 3x3,
which is faster on hardware that computes well and moves slowly. Each at its resolution of evaluation.
"""

from __future__ import annotations

from typing import NamedTuple

from netlathe.arch.build import conv, head, residual, seq, stage
from netlathe.arch.layers import Norm
from netlathe.arch.leaf import Times
from netlathe.arch.node import Node, Size, block
from netlathe.zoo.efficientnet import mbconv, silu
from netlathe.zoo.registry import Variant, variant

norm = Norm("batch", eps=1e-3)


class StageRow(NamedTuple):
    """A row of the table: fused or not, expansion, stride, channels, layers."""

    fused: bool
    expansion: int
    stride: int
    out: int
    depth: int


S = (
    StageRow(True, 1, 1, 24, 2),
    StageRow(True, 4, 2, 48, 4),
    StageRow(True, 4, 2, 64, 4),
    StageRow(False, 4, 2, 128, 6),
    StageRow(False, 6, 1, 160, 9),
    StageRow(False, 6, 2, 256, 15),
)
M = (
    StageRow(True, 1, 1, 24, 3),
    StageRow(True, 4, 2, 48, 5),
    StageRow(True, 4, 2, 80, 5),
    StageRow(False, 4, 2, 160, 7),
    StageRow(False, 6, 1, 176, 14),
    StageRow(False, 6, 2, 304, 18),
    StageRow(False, 6, 1, 512, 5),
)
L = (
    StageRow(True, 1, 1, 32, 4),
    StageRow(True, 4, 2, 64, 7),
    StageRow(True, 4, 2, 96, 7),
    StageRow(False, 4, 2, 192, 10),
    StageRow(False, 6, 1, 224, 19),
    StageRow(False, 6, 2, 384, 25),
    StageRow(False, 6, 1, 640, 7),
)


@block
def fused(out: Size, expansion: Size, stride: int) -> Node:
    """x + f(x), f = 3x3 expand, linear 1x1 squeeze; a lone 3x3 where nothing expands; f(x) where the shape changes."""
    if expansion == 1:
        return residual(process=conv(out, 3, stride, norm=norm, act=silu), optional=True)
    wide = conv(Times(expansion), 3, stride, norm=norm, act=silu)
    return residual(expand=wide, squeeze=conv(out, norm=norm, act=None), optional=True)


def efficientnetv2(table: tuple[StageRow, ...], classes: Size = 1000) -> Node:
    """Stages of fused, then of plain inverted residuals."""

    def make(row: StageRow, stride: int) -> Node:
        if row.fused:
            return fused(row.out, row.expansion, stride)
        return mbconv(row.out, row.expansion, 3, stride, norm)

    stages = {
        f"stage{i}": stage(make(row, 1), row.depth, first=make(row, row.stride)) for i, row in enumerate(table, 1)
    }
    return seq(
        stem=conv(table[0].out, 3, 2, norm=norm, act=silu),
        **stages,
        top=conv(1280, norm=norm, act=silu),
        head=head(classes),
    )


NETWORKS: dict[str, Variant] = {
    "efficientnetv2_s": variant(efficientnetv2, table=S, input=(3, 384, 384)),
    "efficientnetv2_m": variant(efficientnetv2, table=M, input=(3, 480, 480)),
    "efficientnetv2_l": variant(efficientnetv2, table=L, input=(3, 480, 480)),
}
