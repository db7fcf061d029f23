"""MobileOne.

Vasu et al. 2023, MobileOne: An Improved One millisecond Mobile Backbone, https://arxiv.org/abs/2206.04040, section 3
and Table 1. MobileNetV1's pairs of a depthwise 3x3 and a 1x1. Each is trained as a sum of `branches` convolutions, of a
depthwise 1x1 beside the 3x3, and of the identity where the shape stays, all with norms; deployed it is one convolution
with a bias. `deployed` says which of both a network is.
"""

from __future__ import annotations

from netlathe.arch.build import batch_norm, conv, head, relu, seq, stage
from netlathe.arch.combinators import Dag, Vertex
from netlathe.arch.joins import Add
from netlathe.arch.node import Node, Size, block
from netlathe.zoo.registry import Variant, variant


@block
def summed(out: Size | None, kernel: int, stride: int, branches: int, identity: bool, group_width: Size | None) -> Node:
    """relu(sum of convolutions, of a 1x1 beside a larger kernel, of the identity), each branch with its norm."""
    parts: dict[str, Node] = {"identity": batch_norm} if identity else {}
    if kernel > 1:
        parts["point"] = conv(out, 1, stride, group_width=group_width, act=None)
    wide = conv(out, kernel, stride, group_width=group_width, act=None)
    parts |= {f"branch{i}": wide for i in range(1, branches + 1)}
    vertices = [Vertex(name, part, ("in0",)) for name, part in parts.items()]
    return seq(Dag(1, (*vertices, Vertex("add", Add(), tuple(parts)))), act=relu)


@block
def unit(out: Size, stride: int, branches: int, same: bool) -> Node:
    """A depthwise 3x3, then a 1x1; `branches` 0 is the deployed form, `same`: as many channels leave as arrive."""
    if not branches:
        return seq(process=conv(None, 3, stride, group_width=1, norm=None), mix=conv(out, norm=None))
    return seq(process=summed(None, 3, stride, branches, stride == 1, 1), mix=summed(out, 1, 1, branches, same, None))


def mobileone(alphas: tuple[float, ...], branches: int = 1, deployed: bool = False, classes: Size = 1000) -> Node:
    """Four stages of 2, 8, 10 and 1 pairs with 64, 128, 256 and 512 channels times `alphas`; each halves the side.

    The stem has one branch, as in the authors' code.
    """
    widths = [int(base * alpha) for base, alpha in zip((64, 128, 256, 512), alphas, strict=True)]
    stem, count = min(64, widths[0]), 0 if deployed else branches
    first = conv(stem, 3, 2, norm=None) if deployed else summed(stem, 3, 2, 1, False, None)
    stages = {
        f"stage{i}": stage(unit(out, 1, count, True), depth, first=unit(out, 2, count, out == arrives))
        for i, (arrives, out, depth) in enumerate(zip((stem, *widths), widths, (2, 8, 10, 1), strict=False), 1)
    }
    return seq(stem=first, **stages, head=head(classes))


# Table 1: alphas, branches while training.
S0, S1 = ((0.75, 1.0, 1.0, 2.0), 4), ((1.5, 1.5, 2.0, 2.5), 1)

NETWORKS: dict[str, Variant] = {
    f"mobileone_{size}{'_deployed' * deployed}": variant(mobileone, alphas=alphas, branches=k, deployed=deployed)
    for deployed in (False, True)
    for size, (alphas, k) in {"s0": S0, "s1": S1}.items()
}
