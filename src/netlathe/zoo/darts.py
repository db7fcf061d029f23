"""DARTS: the cell networks found by differentiable search.

Liu et al. 2019, DARTS: Differentiable Architecture Search, https://arxiv.org/abs/1806.09055, Figs. 4 and 5, as in the
authors' code, https://github.com/quark0/darts. Cells at a third and at two thirds of the depth reduce the map and
double the width. On ImageNet three strided convolutions come first.
"""

from __future__ import annotations

from collections.abc import Callable

from netlathe.arch.build import conv, head, relu, seq
from netlathe.arch.combinators import Dag, Side, Vertex
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Conv, Linear, Norm
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.zoo.cells import Cell, Style, cell, halve, point
from netlathe.zoo.registry import Variant, variant

Prepare = tuple[tuple[int, Node], ...]  # how states 0 and 1 are brought to the width of a cell
style = Style(Norm("batch"))
NODES = (2, 3, 4, 5)

# The released genotypes; state 0 is the cell before the last, state 1 the last one.
V1 = (
    Cell(
        (
            (("sep3", 1), ("sep3", 0)),
            (("skip", 0), ("sep3", 1)),
            (("skip", 0), ("sep3", 1)),
            (("sep3", 0), ("skip", 2)),
        ),
        NODES,
    ),
    Cell(
        (
            (("max3", 0), ("max3", 1)),
            (("skip", 2), ("max3", 0)),
            (("max3", 0), ("skip", 2)),
            (("skip", 2), ("avg3", 0)),
        ),
        NODES,
    ),
)
V2 = (
    Cell(
        (
            (("sep3", 0), ("sep3", 1)),
            (("sep3", 0), ("sep3", 1)),
            (("sep3", 1), ("skip", 0)),
            (("skip", 0), ("dil3", 2)),
        ),
        NODES,
    ),
    Cell(
        (
            (("max3", 0), ("max3", 1)),
            (("skip", 2), ("max3", 1)),
            (("max3", 0), ("skip", 2)),
            (("skip", 2), ("max3", 1)),
        ),
        NODES,
    ),
)


@block
def auxiliary(stride: int, classes: Size) -> Node:
    """A classifier after the second reduction, for training only. On ImageNet its second norm is left out.

    The released code forgot that norm and kept it so, to agree with the paper's experiments.
    """
    last: dict[str, Node] = {"norm2": style.norm} if stride == 3 else {}
    return Side(
        seq(
            act1=relu,
            pool=Pool("avg", 5, stride, count_padding=False),
            squeeze=Conv(128),
            norm1=style.norm,
            act2=relu,
            cover=Conv(768, 2, padding=0),
            **last,
            act3=relu,
            flatten=Flatten(),
            classifier=Linear(classes),
        )
    )


def darts(
    genotype: tuple[Cell, Cell], width: Size, depth: int, imagenet: bool = False, classes: Size = 10, aux: bool = True
) -> Node:
    """`depth` cells, of which two reduce; `width` channels in a node of the first cells.

    The auxiliary classifier does not fit on images below 29 px: leave it out there.
    """
    normal, reduction = genotype

    def make(reduces: bool, width: Size, prepare: Prepare) -> Node:
        return cell(reduction if reduces else normal, width, 2 if reduces else 1, style, prepare)

    return stacked(make, width, depth, imagenet, classes, aux)


def stacked(
    make: Callable[[bool, Size, Prepare], Node],
    width: Size,
    depth: int,
    imagenet: bool = False,
    classes: Size = 10,
    aux: bool = True,
) -> Node:
    """The network around the cells; `make` gives one: whether it reduces, its width, how its states are prepared."""
    reductions = (depth // 3, 2 * depth // 3)
    if imagenet:
        stem1 = seq(first=conv(width // 2, 3, 2), second=conv(width, 3, 2, act=None))
        stem2 = seq(act=relu, conv=Conv(width, 3, 2), norm=style.norm)
        vertices = [Vertex("stem1", stem1, ("in0",)), Vertex("stem2", stem2, ("stem1",))]
        before, last = "stem1", "stem2"
    else:
        vertices = [Vertex("stem", conv(3 * width, 3, act=None), ("in0",))]
        before = last = "stem"
    halved = imagenet  # the last value is half as large as the one before it
    for i in range(depth):
        reduces = i in reductions
        width = 2 * width if reduces else width
        prepare = ((0, (halve if halved else point)(width, style)), (1, point(width, style)))
        vertices.append(Vertex(f"cell{i + 1}", make(reduces, width, prepare), (before, last)))
        before, last, halved = last, f"cell{i + 1}", reduces
        if aux and i == reductions[1]:
            vertices.append(Vertex("aux", auxiliary(2 if imagenet else 3, classes), (last,)))
    return Dag(1, (*vertices, Vertex("head", head(classes), (last,))))


NETWORKS: dict[str, Variant] = {
    "darts_v1_cifar10": variant(darts, genotype=V1, width=36, depth=20, input=(3, 32, 32)),
    "darts_v2_cifar10": variant(darts, genotype=V2, width=36, depth=20, input=(3, 32, 32)),
    "darts_v2_imagenet": variant(darts, genotype=V2, width=48, depth=14, imagenet=True, classes=1000),
}
