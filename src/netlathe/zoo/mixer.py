"""MLP-Mixer.

Tolstikhin et al. 2021, MLP-Mixer: An all-MLP Architecture for Vision, https://arxiv.org/abs/2105.01601, section 2 and
Table 1. One MLP mixes the positions of every channel, one the channels of every position; there is nothing else.
"""

from __future__ import annotations

from netlathe.arch.axes import Transpose
from netlathe.arch.build import residual, seq, stage
from netlathe.arch.layers import Conv, Linear, Norm
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool
from netlathe.arch.tokens import Tokens
from netlathe.zoo.blocks import gelu
from netlathe.zoo.registry import Variant, variant

layer_norm = Norm("layer", eps=1e-6)


@block
def mixer_block(positions: int, token_width: Size, channel_width: Size, width: Size) -> Node:
    """channels(tokens(x)), each x + f(norm(x)) with f = linear expand, gelu, linear squeeze."""
    tokens = seq(
        norm=layer_norm, turn=Transpose(), expand=Linear(token_width), act=gelu, squeeze=Linear(positions),
        back=Transpose(),
    )  # fmt: skip
    channels = seq(norm=layer_norm, expand=Linear(channel_width), act=gelu, squeeze=Linear(width))
    return seq(tokens=residual(tokens), channels=residual(channels))


def mixer(width: Size, depth: int, patch: int, resolution: int = 224, classes: Size = 1000) -> Node:
    """Patches as tokens, `depth` blocks, norm, mean. The positions are those of images of `resolution` pixels."""
    positions = (resolution // patch) ** 2
    return seq(
        stem=Conv(width, patch, patch, padding=0, bias=True),
        tokens=Tokens(),
        blocks=stage(mixer_block(positions, width // 2, 4 * width, width), depth),
        head=seq(norm=layer_norm, pool=GlobalPool(), classifier=Linear(classes)),
    )


NETWORKS: dict[str, Variant] = {
    "mixer_s32": variant(mixer, width=512, depth=8, patch=32),
    "mixer_b16": variant(mixer, width=768, depth=12, patch=16),
}
