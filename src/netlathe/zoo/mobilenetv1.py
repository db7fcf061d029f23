"""MobileNetV1.

Howard et al. 2017, MobileNets, https://arxiv.org/abs/1704.04861, Table 1. Depthwise separable convolutions replace 13
of 14 convolutions; alpha scales every width, rho is the resolution. `_conv` is the twin of Table 4 with standard
convolutions, `_shallow` that of Table 5 without five layers at 14x14. ReLU6 as in the released code.
"""

from __future__ import annotations

from netlathe.arch.build import conv, depthwise, head, seq, stage
from netlathe.arch.layers import Act
from netlathe.arch.node import Node, Size, block
from netlathe.arch.rounding import floor
from netlathe.zoo.registry import Variant, variant

relu6 = Act("relu6")
WIDTHS = (64, 128, 256, 512, 1024)
DEPTHS = (1, 2, 2, 6, 2)


@block
def separable(out: Size, stride: int = 1) -> Node:
    """3x3 depthwise, then 1x1."""
    return seq(depthwise=depthwise(3, stride, act=relu6), pointwise=conv(out, act=relu6))


@block
def standard(out: Size, stride: int = 1) -> Node:
    """The 3x3 convolution that a separable one replaces."""
    return seq(process=conv(out, 3, stride, act=relu6))


def mobilenetv1(
    alpha: float = 1.0, depths: tuple[int, ...] = DEPTHS, factored: bool = True, classes: int = 1000
) -> Node:
    """A dense 3x3 /2, then stages of separable convolutions that halve the map from the second on."""
    make = separable if factored else standard
    widths = [floor(alpha * width) for width in WIDTHS]
    stages = {
        f"stage{i}": stage(make(width), depth, first=make(width, 2 if i > 1 else 1))
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True), 1)
    }
    return seq(stem=conv(floor(alpha * 32), 3, 2, act=relu6), **stages, head=head(classes))


NETWORKS: dict[str, Variant] = {
    "mobilenetv1": variant(mobilenetv1),
    "mobilenetv1_125": variant(mobilenetv1, alpha=1.25),
    "mobilenetv1_075": variant(mobilenetv1, alpha=0.75),
    "mobilenetv1_050": variant(mobilenetv1, alpha=0.5),
    "mobilenetv1_025": variant(mobilenetv1, alpha=0.25),
    "mobilenetv1_conv": variant(mobilenetv1, factored=False),
    "mobilenetv1_shallow": variant(mobilenetv1, depths=(1, 2, 2, 1, 2)),
}
