"""Blocks that several papers share: squeeze-and-excitation, the classifier of AlexNet and VGG.

Hu et al. 2018, Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507.
"""

from __future__ import annotations

from netlathe.arch.build import conv, gate, relu, seq
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Act, Linear
from netlathe.arch.leaf import Width
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import AdaptivePool, GlobalPool


@block
def squeeze_excite(squeeze: Width, expand: Width, act: Act = relu) -> Node:
    """x * g(x), g = mean over positions, 1x1 squeeze, 1x1 expand, sigmoid."""
    return gate(
        pool=GlobalPool(),
        squeeze=conv(squeeze, norm=None, act=act),
        expand=conv(expand, norm=None, act=Act("sigmoid")),
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
