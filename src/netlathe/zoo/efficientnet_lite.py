"""EfficientNet-Lite.

Tan and Le 2019, https://arxiv.org/abs/1905.11946, for accelerators without floats: no squeeze-and-excitation, ReLU6 for
swish, and a stem, a first and a last stage that do not grow. Rows: TensorFlow's
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, whose padding ("same") and epsilon the
weights need.
"""

from __future__ import annotations

from netlathe.arch.build import conv, head, residual, seq, stage
from netlathe.arch.layers import Act, Norm
from netlathe.arch.leaf import Padding, Times
from netlathe.arch.node import Node, Size, block
from netlathe.arch.rounding import ten_percent, up
from netlathe.zoo.efficientnet import TABLE
from netlathe.zoo.registry import Variant, variant

relu6 = Act("relu6")


@block
def inverted(out: Size, expansion: Size, kernel: int, stride: int, norm: Norm, padding: Padding) -> Node:
    """x + f(x), f = 1x1 expand, depthwise, linear 1x1 squeeze; f(x) alone where the shape changes."""
    wide = {"expand": conv(Times(expansion), norm=norm, act=relu6)} if expansion != 1 else {}
    process = conv(None, kernel, stride, group_width=1, padding=padding, norm=norm, act=relu6)
    return residual(seq(**wide, process=process, squeeze=conv(out, norm=norm, act=None)), optional=True)


def efficientnet_lite(width: float = 1.0, depth: float = 1.0, eps: float = 1e-3, same: bool = True,
                      classes: int = 1000) -> Node:  # fmt: skip
    """EfficientNet's stages: channels times `width` to multiples of 8, layers of the inner ones times `depth` up.

    `same` pads as TensorFlow does.
    """
    norm = Norm("batch", eps)
    padding: Padding = "same" if same else None
    last = len(TABLE)
    stages = {
        f"stage{i}": stage(
            inverted(ten_percent(width * c), t, k, 1, norm, padding),
            n if i in (1, last) else up(depth * n),
            first=inverted(ten_percent(width * c), t, k, s, norm, padding),
        )
        for i, (t, k, s, c, n) in enumerate(TABLE, 1)
    }
    return seq(
        stem=conv(32, 3, 2, padding=padding, norm=norm, act=relu6),
        **stages,
        top=conv(1280, norm=norm, act=relu6),
        head=head(classes),
    )


# Width, depth, resolution.
SIZES = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260), 3: (1.2, 1.4, 280), 4: (1.4, 1.8, 300)}

NETWORKS: dict[str, Variant] = {
    f"efficientnet_lite{i}": variant(efficientnet_lite, width=width, depth=depth, input=(3, side, side))
    for i, (width, depth, side) in SIZES.items()
}
