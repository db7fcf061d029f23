"""Blocks that several papers share: squeeze-and-excitation, the classifier of AlexNet and VGG, a Transformer's halves.

Hu et al. 2018, Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507; Vaswani et al. 2017, Attention Is
All You Need, https://arxiv.org/abs/1706.03762.
"""

from __future__ import annotations

from netlathe.arch.build import conv, gate, relu, residual, seq
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Act, Linear, Norm
from netlathe.arch.leaf import Leaf, Times, Width
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import AdaptivePool, GlobalPool

gelu, sigmoid = Act("gelu"), Act("sigmoid")


@block
def squeeze_excite(squeeze: Width, expand: Width, act: Act = relu, opening: Act = sigmoid) -> Node:
    """x * g(x), g = mean over positions, 1x1 squeeze, 1x1 expand, sigmoid or another opening from 0 to 1."""
    return gate(
        pool=GlobalPool(),
        squeeze=conv(squeeze, norm=None, act=act),
        expand=conv(expand, norm=None, act=opening),
    )


@block
def dense_head(classes: Size, grid: int | None = None, width: Size = 4096) -> Node:
    """Two hidden linear layers on all positions (first averaged to a grid, where given), then the classifier."""
    flat: dict[str, Node] = {} if grid is None else {"pool": AdaptivePool(grid)}
    return seq(
        **flat,
        flatten=Flatten(),
        hidden1=Linear(width),
        act1=relu,
        hidden2=Linear(width),
        act2=relu,
        classifier=Linear(classes),
    )


@block
def attention(attend: Leaf, norm: Norm | None = None) -> Node:
    """x + f(x), f = norm (where given), linear to query, key and value, attend, linear."""
    before: dict[str, Node] = {} if norm is None else {"norm": norm}
    return residual(seq(**before, qkv=Linear(Times(3)), attend=attend, out=Linear(None)))


@block
def mlp(expansion: Size = 4, norm: Norm | None = None) -> Node:
    """x + f(x), f = norm (where given), linear expand, gelu, linear squeeze: position by position."""
    before: dict[str, Node] = {} if norm is None else {"norm": norm}
    return residual(seq(**before, expand=Linear(Times(expansion)), act=gelu, squeeze=Linear(Times(1, expansion))))
