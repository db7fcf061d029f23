"""Residual networks for small images: ResNet-20 to -110 and Wide ResNets, made for the 32 pixels of CIFAR-10.

He et al. 2016, Deep Residual Learning, section 4.2, https://arxiv.org/abs/1512.03385; Zagoruyko and Komodakis 2016,
Wide Residual Networks, https://arxiv.org/abs/1605.07146. Three stages after a 3x3 stem: a map of 32 pixels ends at 8.
Where the width changes He et al. pad the shortcut with zeros (option A); here it is a 1x1 projection (their option B),
which adds 2,752 params to each ResNet.
"""

from __future__ import annotations

from netlathe.arch.build import batch_norm, conv, head, relu, residual, seq, stage
from netlathe.arch.layers import Conv
from netlathe.arch.node import Node, Size, block
from netlathe.zoo.registry import Variant, variant
from netlathe.zoo.resnet import basic

SMALL = (3, 32, 32)


def resnet_small(depth: int, width: int = 16, classes: int = 10) -> Node:
    """ResNet of 6n + 2 layers: a 3x3 stem, then n basic blocks each of width, 2 width and 4 width."""
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"the depth is 6n + 2 (8, 14, 20, 26 ...), not {depth}")
    n = depth // 6
    stages = {f"stage{i + 1}": stage(basic(width << i), n, first=basic(width << i, 2 if i else 1)) for i in range(3)}
    return seq(stem=conv(width, 3), **stages, head=head(classes))


@block
def wide(out: Size) -> Node:
    """x + f(x), f = norm, relu, 3x3, norm, relu, 3x3: the activation comes first."""
    return residual(norm1=batch_norm, act1=relu, first=conv(out, 3), second=plain(out, 3))


@block
def widening(out: Size, stride: int) -> Node:
    """p(y) + f(y), y = relu(norm(x)), f = 3x3, norm, relu, 3x3, p = 1x1."""
    body = residual(first=conv(out, 3, stride), second=plain(out, 3), project=plain(out, 1, stride))
    return seq(norm1=batch_norm, act1=relu, body=body)


def plain(out: Size, kernel: int, stride: int = 1) -> Node:
    """A convolution alone: no norm or activation of its own, so no bias either."""
    return Conv(out, kernel, stride, bias=False)


def wide_resnet(depth: int, width: int, classes: int = 10) -> Node:
    """WRN-depth-width of 6n + 4 layers: n pre-activated basic blocks each of 16, 32 and 64 times the width."""
    if depth < 10 or depth % 6 != 4:
        raise ValueError(f"the depth is 6n + 4 (10, 16, 22, 28 ...), not {depth}")
    outs = [16 * width << i for i in range(3)]
    n = depth // 6
    stages = {f"stage{i + 1}": stage(wide(out), n, first=widening(out, 2 if i else 1)) for i, out in enumerate(outs)}
    return seq(stem=plain(16, 3), **stages, norm=batch_norm, act=relu, head=head(classes))


NETWORKS: dict[str, Variant] = {
    "resnet20": variant(resnet_small, input=SMALL, depth=20),
    "resnet32": variant(resnet_small, input=SMALL, depth=32),
    "resnet44": variant(resnet_small, input=SMALL, depth=44),
    "resnet56": variant(resnet_small, input=SMALL, depth=56),
    "resnet110": variant(resnet_small, input=SMALL, depth=110),
    "wrn_16_8": variant(wide_resnet, input=SMALL, depth=16, width=8),
    "wrn_28_10": variant(wide_resnet, input=SMALL, depth=28, width=10),
    "wrn_40_4": variant(wide_resnet, input=SMALL, depth=40, width=4),
}
