"""MobileNetV2.

Sandler et al. 2018, Inverted Residuals and Linear Bottlenecks, https://arxiv.org/abs/1801.04381, Table 2. The skip
joins the narrow ends, the depthwise convolution works on the wide middle, and the projection back is linear. alpha
scales every width, by the released code's rule of 10 %; the last layer never falls below 1280.
"""

from __future__ import annotations

from netlathe.arch.build import conv, depthwise, head, residual, seq, stage
from netlathe.arch.layers import Act
from netlathe.arch.leaf import Times
from netlathe.arch.node import Node, Size, block
from netlathe.arch.rounding import ten_percent
from netlathe.zoo.registry import Variant, variant

relu6 = Act("relu6")

# Table 2: expansion t, channels c, repeats n, stride s.
TABLE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


@block
def inverted(out: Size, expansion: Size = 6, stride: int = 1) -> Node:
    """x + f(x), f = 1x1 expand, 3x3 depthwise, linear 1x1 squeeze; f(x) alone where the shape changes."""
    wide = {"expand": conv(Times(expansion), act=relu6)} if expansion != 1 else {}
    body = seq(**wide, process=depthwise(3, stride, act=relu6), squeeze=conv(out, act=None))
    return residual(body, optional=True)


def mobilenetv2(alpha: float = 1.0, classes: int = 1000) -> Node:
    """Seven stages of inverted residuals, then a 1x1 convolution that only alpha > 1 widens."""
    stages = {
        f"stage{i}": stage(inverted(wide, t), n, first=inverted(wide, t, s))
        for i, (t, wide, n, s) in enumerate(((t, ten_percent(alpha * c), n, s) for t, c, n, s in TABLE), 1)
    }
    return seq(
        stem=conv(ten_percent(alpha * 32), 3, 2, act=relu6),
        **stages,
        top=conv(ten_percent(max(1.0, alpha) * 1280), act=relu6),
        head=head(classes),
    )


NETWORKS: dict[str, Variant] = {
    "mobilenetv2": variant(mobilenetv2),
    "mobilenetv2_140": variant(mobilenetv2, alpha=1.4),
    "mobilenetv2_130": variant(mobilenetv2, alpha=1.3),
    "mobilenetv2_075": variant(mobilenetv2, alpha=0.75),
    "mobilenetv2_050": variant(mobilenetv2, alpha=0.5),
    "mobilenetv2_035": variant(mobilenetv2, alpha=0.35),
}
