"""ResNet, Wide ResNet and ResNeXt.

He et al. 2016, Deep Residual Learning, https://arxiv.org/abs/1512.03385; Zagoruyko and Komodakis 2016, Wide Residual
Networks, https://arxiv.org/abs/1605.07146; Xie et al. 2017, Aggregated Residual Transformations,
https://arxiv.org/abs/1611.05431. The paper strides in the first 1x1 (`_v1`: 3.86 G MACs for ResNet-50); torchvision,
and everybody after it, strides in the 3x3 (v1.5: 4.09 G). The names without suffix are v1.5.
"""

from __future__ import annotations

from collections.abc import Callable

from netlathe.arch.build import conv, head, relu, residual, seq, stage
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.zoo.registry import Variant, variant


@block
def basic(out: Size, stride: int = 1) -> Node:
    """relu(x + f(x)), f = 3x3, 3x3."""
    body = residual(
        first=conv(out, 3, stride),
        second=conv(out, 3, act=None),
        project=conv(out, 1, stride, act=None),
    )
    return body >> relu


@block
def bottleneck(out: Size, mid: Size, stride: int = 1, groups: Size = 1, v1: bool = False) -> Node:
    """relu(x + f(x)), f = 1x1 squeeze, 3x3 process, 1x1 expand."""
    early, late = (stride, 1) if v1 else (1, stride)
    body = residual(
        squeeze=conv(mid, 1, early),
        process=conv(mid, 3, late, groups=groups),
        expand=conv(out, 1, act=None),
        project=conv(out, 1, stride, act=None),
    )
    return body >> relu


@block
def stem() -> Node:
    """7x7 /2, then max pool /2."""
    return conv(64, 7, 2) >> Pool("max", 3, 2, padding=1)


def staged(depths: tuple[int, ...], make: Callable[[int, int], Node], classes: int) -> Node:
    """Stem, stages of blocks make(stage, stride) that halve the map from the second on, head."""
    stages = {f"stage{i + 1}": stage(make(i, 1), depth, first=make(i, 2 if i else 1)) for i, depth in enumerate(depths)}
    return seq(stem=stem(), **stages, head=head(classes))


def resnet_basic(depths: tuple[int, ...], width: int = 64, classes: int = 1000) -> Node:
    """ResNet-18 and -34: basic blocks of width, 2 width, 4 width, 8 width."""
    return staged(depths, lambda i, stride: basic(width * 2**i, stride), classes)


def resnet(
    depths: tuple[int, ...],
    width: int = 64,
    groups: int = 1,
    group_width: int = 64,
    v1: bool = False,
    classes: int = 1000,
) -> Node:
    """Bottleneck ResNets: the stage leaves 4 width 2^i channels, its 3x3 has groups * group_width 2^i.

    groups=1, group_width=64 is ResNet; group_width=128 is Wide ResNet-50-2; groups=32, group_width=4 is ResNeXt.
    """
    mid = groups * group_width
    return staged(depths, lambda i, stride: bottleneck(4 * width * 2**i, mid * 2**i, stride, groups, v1), classes)


NETWORKS: dict[str, Variant] = {
    "resnet18": variant(resnet_basic, depths=(2, 2, 2, 2)),
    "resnet34": variant(resnet_basic, depths=(3, 4, 6, 3)),
    "resnet50": variant(resnet, depths=(3, 4, 6, 3)),
    "resnet101": variant(resnet, depths=(3, 4, 23, 3)),
    "resnet152": variant(resnet, depths=(3, 8, 36, 3)),
    "resnet50_v1": variant(resnet, depths=(3, 4, 6, 3), v1=True),
    "resnet101_v1": variant(resnet, depths=(3, 4, 23, 3), v1=True),
    "resnet152_v1": variant(resnet, depths=(3, 8, 36, 3), v1=True),
    "wide_resnet50_2": variant(resnet, depths=(3, 4, 6, 3), group_width=128),
    "wide_resnet101_2": variant(resnet, depths=(3, 4, 23, 3), group_width=128),
    "resnext50_2x40d": variant(resnet, depths=(3, 4, 6, 3), groups=2, group_width=40),
    "resnext50_4x24d": variant(resnet, depths=(3, 4, 6, 3), groups=4, group_width=24),
    "resnext50_8x14d": variant(resnet, depths=(3, 4, 6, 3), groups=8, group_width=14),
    "resnext50_32x4d": variant(resnet, depths=(3, 4, 6, 3), groups=32, group_width=4),
    "resnext101_32x4d": variant(resnet, depths=(3, 4, 23, 3), groups=32, group_width=4),
    "resnext101_32x8d": variant(resnet, depths=(3, 4, 23, 3), groups=32, group_width=8),
    "resnext101_64x4d": variant(resnet, depths=(3, 4, 23, 3), groups=64, group_width=4),
}
