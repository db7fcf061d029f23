"""DenseNet.

Huang et al. 2017, Densely Connected Convolutional Networks, https://arxiv.org/abs/1608.06993, Table 1 (DenseNet-BC).
Every layer appends `growth` new maps to all earlier ones; between the blocks a transition halves channels and map.
"""

from __future__ import annotations

from netlathe.arch.build import batch_norm, concat, conv, head, relu, seq, stage
from netlathe.arch.combinators import Identity
from netlathe.arch.layers import Conv
from netlathe.arch.leaf import Times
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.zoo.registry import Variant, variant


@block
def layer(growth: Size, squeeze: Size = 4) -> Node:
    """[x, f(x)], f = 1x1 to squeeze * growth, 3x3 to growth, norm and relu before each."""
    new = seq(
        norm1=batch_norm,
        act1=relu,
        squeeze=Conv(squeeze * growth),
        norm2=batch_norm,
        act2=relu,
        process=Conv(growth, 3),
    )
    return concat(old=Identity(), new=new)


@block
def transition() -> Node:
    """mean of 2x2 of a 1x1 conv to half the channels of relu(norm(x))."""
    return seq(norm=batch_norm, act=relu, squeeze=Conv(Times(1, 2)), pool=Pool("avg", 2))


def densenet(depths: tuple[int, ...], growth: int = 32, width: int = 64, classes: int = 1000) -> Node:
    """Stem of `width` channels, dense blocks with transitions between them, head."""
    parts: dict[str, Node] = {}
    for i, depth in enumerate(depths, 1):
        if i > 1:
            parts[f"transition{i - 1}"] = transition()
        parts[f"stage{i}"] = stage(layer(growth), depth)
    return seq(
        stem=conv(width, 7, 2) >> Pool("max", 3, 2, padding=1), **parts, norm=batch_norm, act=relu, head=head(classes)
    )


NETWORKS: dict[str, Variant] = {
    "densenet121": variant(densenet, depths=(6, 12, 24, 16)),
    "densenet161": variant(densenet, depths=(6, 12, 36, 24), growth=48, width=96),
    "densenet169": variant(densenet, depths=(6, 12, 32, 32)),
    "densenet201": variant(densenet, depths=(6, 12, 48, 32)),
}
