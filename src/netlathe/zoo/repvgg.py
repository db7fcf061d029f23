"""RepVGG.

Ding et al. 2021, RepVGG: Making VGG-style ConvNets Great Again, https://arxiv.org/abs/2101.03697, section 3 and
Table 2. A block is trained as the sum of a 3x3, a 1x1 and, where the shape stays, the identity, each with its norm;
deployed it is one 3x3 with a bias, for sums of linear maps are linear maps. `deployed` says which of both it is.
"""

from __future__ import annotations

from netlathe.arch.build import batch_norm, conv, head, relu, seq, stage
from netlathe.arch.combinators import Dag, Vertex
from netlathe.arch.joins import Add
from netlathe.arch.node import Node, Size, block
from netlathe.zoo.registry import Variant, variant


@block
def branches(out: Size, stride: int = 1, identity: bool = True) -> Node:
    """relu(3x3 + 1x1 + x), each branch with its norm."""
    parts: dict[str, Node] = {"dense": conv(out, 3, stride, act=None), "point": conv(out, 1, stride, act=None)}
    if identity:
        parts["identity"] = batch_norm
    vertices = [Vertex(name, part, ("in0",)) for name, part in parts.items()]
    return seq(Dag(1, (*vertices, Vertex("add", Add(), tuple(parts)))), act=relu)


@block
def merged(out: Size, stride: int = 1, identity: bool = True) -> Node:
    """relu(3x3 + bias): what the branches are once they are merged."""
    return conv(out, 3, stride, norm=None)


def repvgg(a: float, b: float, depths: tuple[int, ...] = (2, 4, 14, 1), deployed: bool = False,
           classes: Size = 1000) -> Node:  # fmt: skip
    """Four stages of 64 a, 128 a, 256 a and 512 b channels after a stem of min(64, 64 a); each halves the side."""
    unit = merged if deployed else branches
    widths = (int(64 * a), int(128 * a), int(256 * a), int(512 * b))
    stages = {
        f"stage{i}": stage(unit(out), depth, first=unit(out, 2, False))
        for i, (out, depth) in enumerate(zip(widths, depths, strict=True), 1)
    }
    return seq(stem=unit(min(64, widths[0]), 2, False), **stages, head=head(classes))


# Table 2: a, b, layers of the stages.
SIZES = {
    "a0": (0.75, 2.5, (2, 4, 14, 1)),
    "b0": (1.0, 2.5, (4, 6, 16, 1)),
}

NETWORKS: dict[str, Variant] = {
    f"repvgg_{size}{'_deployed' * deployed}": variant(repvgg, a=a, b=b, depths=depths, deployed=deployed)
    for deployed in (False, True)
    for size, (a, b, depths) in SIZES.items()
}
