"""ConvNeXt V2.

Woo et al. 2023, ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders,
https://arxiv.org/abs/2301.00808, section 3 and appendix A.1. ConvNeXt with a global response norm after the activation
of its inverted bottleneck, which makes the layer scale superfluous.
"""

from __future__ import annotations

from netlathe.arch.build import residual, seq, stage
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Conv, Linear, ResponseNorm
from netlathe.arch.leaf import Times
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool
from netlathe.arch.tokens import Grid, Map
from netlathe.zoo.blocks import gelu
from netlathe.zoo.convnext import layer_norm
from netlathe.zoo.registry import Variant, variant


@block
def mixer(expansion: Size = 4) -> Node:
    """x + f(x), f = depthwise 7x7, norm, linear expand, gelu, response norm, linear squeeze."""
    body = seq(
        process=Conv(None, 7, group_width=1, bias=True),
        grid=Grid(),
        norm=layer_norm,
        expand=Linear(Times(expansion)),
        act=gelu,
        response=ResponseNorm(),
        squeeze=Linear(Times(1, expansion)),
        map=Map(),
    )
    return residual(body)


def convnextv2(width: Size, depths: tuple[int, ...], classes: Size = 1000) -> Node:
    """Patches of 4x4, stages that double the width, half the side between them, head."""
    norm: dict[str, Node] = {"grid": Grid(), "norm": layer_norm, "map": Map()}
    parts: dict[str, Node] = {"stem": seq(patch=Conv(width, 4, 4, padding=0, bias=True), **norm)}
    for i, depth in enumerate(depths):
        if i:
            parts[f"down{i}"] = seq(**norm, conv=Conv(width * 2**i, 2, 2, padding=0, bias=True))
        parts[f"stage{i + 1}"] = stage(mixer(), depth)
    last = seq(pool=GlobalPool(), flatten=Flatten(), norm=layer_norm, classifier=Linear(classes))
    return seq(**parts, head=last)


NETWORKS: dict[str, Variant] = {
    "convnextv2_atto": variant(convnextv2, width=40, depths=(2, 2, 6, 2)),
    "convnextv2_nano": variant(convnextv2, width=80, depths=(2, 2, 8, 2)),
    "convnextv2_tiny": variant(convnextv2, width=96, depths=(3, 3, 9, 3)),
}
