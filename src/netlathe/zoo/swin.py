"""Swin Transformer.

Liu et al. 2021, Hierarchical Vision Transformer using Shifted Windows, https://arxiv.org/abs/2103.14030, section 3 and
Table 7. Attention stays inside windows, whose cost grows with the image and not with its square; every second block
shifts them. Between the stages 2x2 neighbours merge and the width doubles. A head is 32 channels wide.
"""

from __future__ import annotations

from netlathe.arch.build import seq, stage
from netlathe.arch.layers import Conv, Linear, Norm
from netlathe.arch.leaf import Times, need
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool
from netlathe.arch.tokens import Grid, Merge, WindowAttention
from netlathe.zoo.blocks import attention, mlp
from netlathe.zoo.registry import Variant, variant

layer_norm = Norm("layer")


@block
def window_block(heads: Size, window: int, shift: int) -> Node:
    """mlp(attention(x)), each x + f(norm(x)), attention inside windows."""
    attend = WindowAttention(heads, window, shift=shift)
    return seq(attention=attention(attend, layer_norm), mlp=mlp(4, layer_norm))


@block
def block_pair(heads: Size, window: int) -> Node:
    """Two successive blocks (Fig. 3b): windows, then windows shifted by half their side."""
    return seq(regular=window_block(heads, window, 0), shifted=window_block(heads, window, window // 2))


@block
def merge() -> Node:
    """Half the side, twice the channels: linear(norm([2x2 neighbours]))."""
    return seq(merge=Merge(), norm=layer_norm, squeeze=Linear(Times(1, 2), bias=False))


def swin(width: Size, depths: tuple[int, ...], window: int = 7, classes: Size = 1000) -> Node:
    """Patches of 4x4, stages of block pairs with a merge between them, head."""
    need(all(depth % 2 == 0 for depth in depths), f"depths must be even, blocks come in pairs, not {depths}")
    parts: dict[str, Node] = {}
    for i, depth in enumerate(depths):
        if i:
            parts[f"merge{i}"] = merge()
        parts[f"stage{i + 1}"] = stage(block_pair(width * 2**i // 32, window), depth // 2)
    return seq(
        stem=seq(patch=Conv(width, 4, 4, padding=0, bias=True), grid=Grid(), norm=layer_norm),
        **parts,
        head=seq(norm=layer_norm, pool=GlobalPool(), classifier=Linear(classes)),
    )


NETWORKS: dict[str, Variant] = {
    "swin_tiny": variant(swin, width=96, depths=(2, 2, 6, 2)),
    "swin_small": variant(swin, width=96, depths=(2, 2, 18, 2)),
    "swin_base": variant(swin, width=128, depths=(2, 2, 18, 2)),
    "swin_base_384": variant(swin, width=128, depths=(2, 2, 18, 2), window=12, input=(3, 384, 384)),
}
