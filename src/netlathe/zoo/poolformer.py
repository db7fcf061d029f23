"""PoolFormer.

Yu et al. 2022, MetaFormer Is Actually What You Need for Vision, https://arxiv.org/abs/2111.11418, section 3 and
Table 1. A Transformer with, in the place of attention, the mean of a 3x3 neighbourhood less the position itself.
"""

from __future__ import annotations

from netlathe.arch.build import residual, seq, stage
from netlathe.arch.combinators import Dag, Vertex
from netlathe.arch.joins import Flatten, Subtract
from netlathe.arch.layers import Conv, Linear, Norm, Scale
from netlathe.arch.leaf import Times
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool, Pool
from netlathe.zoo.blocks import gelu
from netlathe.zoo.registry import Variant, variant

group_norm, layer_norm = Norm("group", groups=1), Norm("layer", eps=1e-6)
WIDTHS = (64, 128, 320, 512)


@block
def metaformer(expansion: Size = 4) -> Node:
    """mlp(mix(x)), mix = x + s (mean3x3(y) - y) of y = norm(x), mlp = x + s f(norm(x)) with 1x1 convolutions."""
    vertices = (
        Vertex("norm", group_norm, ("in0",)),
        Vertex("pool", Pool("avg", 3, 1, padding=1, count_padding=False), ("norm",)),
        Vertex("minus", Subtract(), ("pool", "norm")),
        Vertex("scale", Scale(bias=False), ("minus",)),
    )
    wide, narrow = Conv(Times(expansion), bias=True), Conv(Times(1, expansion), bias=True)
    mlp = seq(norm=group_norm, expand=wide, act=gelu, squeeze=narrow, scale=Scale(bias=False))
    return seq(mix=residual(seq(body=Dag(1, vertices))), mlp=residual(mlp))


def poolformer(depths: tuple[int, ...], widths: tuple[int, ...] = WIDTHS, classes: Size = 1000) -> Node:
    """Patches of 7x7 every 4 pixels, four stages, a 3x3 that halves the side between them."""
    parts: dict[str, Node] = {}
    for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        patch = Conv(width, 3, 2, bias=True) if i else Conv(width, 7, 4, padding=2, bias=True)
        parts |= {f"down{i}" if i else "stem": patch, f"stage{i + 1}": stage(metaformer(), depth)}
    last = seq(pool=GlobalPool(), norm=layer_norm, flatten=Flatten(), classifier=Linear(classes))
    return seq(**parts, head=last)


NETWORKS: dict[str, Variant] = {
    "poolformer_s12": variant(poolformer, depths=(2, 2, 6, 2)),
    "poolformer_s24": variant(poolformer, depths=(4, 4, 12, 4)),
}
