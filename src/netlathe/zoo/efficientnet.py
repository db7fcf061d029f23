"""EfficientNet.

Tan and Le 2019, EfficientNet, https://arxiv.org/abs/1905.11946, Table 1. B1 to B7 have the released width, depth and
resolution, which are not powers of alpha, beta and gamma; repeats round up. The squeeze of the excitation is a quarter
of the channels that enter the block, before the expansion. Batch norm's epsilon is torchvision's (1e-3 from B5 on).
"""

from __future__ import annotations

from netlathe.arch.build import conv, depthwise, head, residual, seq, stage
from netlathe.arch.layers import Act, Norm
from netlathe.arch.leaf import Times
from netlathe.arch.node import Node, Size, block
from netlathe.arch.rounding import ten_percent, up
from netlathe.zoo.blocks import squeeze_excite
from netlathe.zoo.registry import Variant, variant

silu = Act("silu")

# Table 1: expansion, kernel, stride, channels, layers.
TABLE = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


@block
def mbconv(out: Size, expansion: Size, kernel: int, stride: int, norm: Norm) -> Node:
    """x + f(x), f = 1x1 expand, depthwise, squeeze-excite, linear 1x1 squeeze; f(x) alone where the shape changes."""
    wide = {"expand": conv(Times(expansion), norm=norm, act=silu)} if expansion != 1 else {}
    body = seq(
        **wide,
        process=depthwise(kernel, stride, norm=norm, act=silu),
        se=squeeze_excite(Times(1, 4 * expansion), Times(4 * expansion), silu),
        squeeze=conv(out, norm=norm, act=None),
    )
    return residual(body, optional=True)


def efficientnet(width: float = 1.0, depth: float = 1.0, eps: float = 1e-5, classes: int = 1000) -> Node:
    """Seven stages of inverted residuals: channels times `width` to multiples of 8, layers times `depth` up."""
    norm = Norm("batch", eps)
    stages = {
        f"stage{i}": stage(
            mbconv(ten_percent(width * c), t, k, 1, norm),
            up(depth * n),
            first=mbconv(ten_percent(width * c), t, k, s, norm),
        )
        for i, (t, k, s, c, n) in enumerate(TABLE, 1)
    }
    return seq(
        stem=conv(ten_percent(width * 32), 3, 2, norm=norm, act=silu),
        **stages,
        top=conv(4 * ten_percent(width * 320), norm=norm, act=silu),
        head=head(classes),
    )


def released(width: float, depth: float, resolution: int, eps: float = 1e-5) -> Variant:
    """A row of the released table, at its own resolution."""
    return variant(efficientnet, width=width, depth=depth, eps=eps, input=(3, resolution, resolution))


NETWORKS: dict[str, Variant] = {
    "efficientnet_b0": released(1.0, 1.0, 224),
    "efficientnet_b1": released(1.0, 1.1, 240),
    "efficientnet_b2": released(1.1, 1.2, 260),
    "efficientnet_b3": released(1.2, 1.4, 300),
    "efficientnet_b4": released(1.4, 1.8, 380),
    "efficientnet_b5": released(1.6, 2.2, 456, eps=1e-3),
    "efficientnet_b6": released(1.8, 2.6, 528, eps=1e-3),
    "efficientnet_b7": released(2.0, 3.1, 600, eps=1e-3),
}
