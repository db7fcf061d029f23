"""ConvNeXt.

Liu et al. 2022, A ConvNet for the 2020s, https://arxiv.org/abs/2201.03545, section 2 and Fig. 4. A depthwise 7x7 mixes
positions, an inverted bottleneck of linear layers mixes channels, one norm and one activation a block, and the map
shrinks between the stages. Atto to Nano are timm's, https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

from netlathe.arch.build import residual, seq, stage
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Conv, Linear, Norm, Scale
from netlathe.arch.leaf import Times
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool
from netlathe.arch.tokens import Grid, Map
from netlathe.zoo.blocks import gelu
from netlathe.zoo.registry import Variant, variant

layer_norm = Norm("layer", eps=1e-6)


@block
def mixer(maps: bool, expansion: Size = 4) -> Node:
    """x + f(x), f = depthwise 7x7, norm, linear expand, gelu, linear squeeze, scale.

    Linear layers on a grid, or the same arithmetic as 1x1 convolutions on `maps`.
    """
    process = Conv(None, 7, group_width=1, bias=True)
    before: dict[str, Node]
    if maps:
        before = {"process": process, "grid": Grid(), "norm": layer_norm, "map": Map()}
    else:
        before = {"map": Map(), "process": process, "grid": Grid(), "norm": layer_norm}
    wide, narrow = (Conv(w, bias=True) if maps else Linear(w) for w in (Times(expansion), Times(1, expansion)))
    return residual(seq(**before, expand=wide, act=gelu, squeeze=narrow, scale=Scale()))


def convnext(width: Size, depths: tuple[int, ...], maps: bool = False, classes: Size = 1000) -> Node:
    """Patches of 4x4, stages that double the width, half the side between them, head.

    `maps` chooses the layout between the operators and changes no count. 1x1 convolutions are faster in ONNX Runtime
    and linear layers in compiled torch; each size has the one of timm's weights.
    """
    grid, to_map = {"grid": Grid()}, {"map": Map()}
    leave, enter = (to_map, grid) if maps else ({}, {})
    patch = Conv(width, 4, 4, padding=0, bias=True)
    parts: dict[str, Node] = {"stem": seq(patch=patch, **grid, norm=layer_norm, **leave)}
    for i, depth in enumerate(depths):
        if i:
            conv = Conv(width * 2**i, 2, 2, padding=0, bias=True)
            after = {} if maps else grid
            parts[f"down{i}"] = seq(**enter, norm=layer_norm, **to_map, conv=conv, **after)
        parts[f"stage{i + 1}"] = stage(mixer(maps), depth)
    flat = {"flatten": Flatten()} if maps else {}
    return seq(**parts, head=seq(pool=GlobalPool(), **flat, norm=layer_norm, classifier=Linear(classes)))


NETWORKS: dict[str, Variant] = {
    "convnext_atto": variant(convnext, width=40, depths=(2, 2, 6, 2), maps=True),
    "convnext_femto": variant(convnext, width=48, depths=(2, 2, 6, 2), maps=True),
    "convnext_pico": variant(convnext, width=64, depths=(2, 2, 6, 2), maps=True),
    "convnext_nano": variant(convnext, width=80, depths=(2, 2, 8, 2), maps=True),
    "convnext_tiny": variant(convnext, width=96, depths=(3, 3, 9, 3)),
    "convnext_small": variant(convnext, width=96, depths=(3, 3, 27, 3)),
    "convnext_base": variant(convnext, width=128, depths=(3, 3, 27, 3)),
    "convnext_large": variant(convnext, width=192, depths=(3, 3, 27, 3)),
}
