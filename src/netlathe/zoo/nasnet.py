"""NASNet-A.

Zoph et al. 2018, Learning Transferable Architectures for Scalable Image Recognition, https://arxiv.org/abs/1707.07012,
Figs. 2 and 4. Two cells found on CIFAR-10, stacked and widened for ImageNet: N normal cells between reductions, and two
reductions as stem. A cell reads its two predecessors; after a reduction the large network skips one more back (the
released code, tensorflow/models, slim/nets/nasnet). Padding is TensorFlow's.
"""

from __future__ import annotations

from netlathe.arch.build import head, relu, seq
from netlathe.arch.combinators import Dag, Side, Vertex
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Conv, Linear, Norm
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.zoo.cells import Cell, Style, cell, halve, point
from netlathe.zoo.registry import Variant, variant

style = Style(Norm("batch", eps=1e-3), "same")

# Fig. 4; state 0 is the last cell, state 1 the one before it. Note that state 1 itself leaves a normal cell.
NORMAL = Cell(
    (
        (("sep5", 0), ("sep3", 1)),
        (("sep5", 1), ("sep3", 1)),
        (("avg3", 0), ("skip", 1)),
        (("avg3", 1), ("avg3", 1)),
        (("sep3", 0), ("skip", 0)),
    ),
    (1, 2, 3, 4, 5, 6),
)
REDUCTION = Cell(
    (
        (("sep5", 0), ("sep7", 1)),
        (("max3", 0), ("sep7", 1)),
        (("avg3", 0), ("sep5", 1)),
        (("skip", 3), ("avg3", 2)),
        (("sep3", 2), ("max3", 0)),
    ),
    (3, 4, 5, 6),
)


@block
def auxiliary(side: int, classes: Size) -> Node:
    """A classifier on the map before the second reduction, `side` large after pooling; for training only."""
    return Side(
        seq(
            act1=relu,
            pool=Pool("avg", 5, 3),
            squeeze=Conv(128),
            norm1=style.norm,
            act2=relu,
            cover=Conv(768, side, padding=0),
            norm2=style.norm,
            act3=relu,
            flatten=Flatten(),
            classifier=Linear(classes),
        )
    )


def nasnet(
    width: Size,
    depth: int,
    stem: Size,
    skip: bool,
    aux: int,
    classes: Size = 1000,
    genotype: tuple[Cell, Cell] = (NORMAL, REDUCTION),
) -> Node:
    """Stem convolution, two reductions, then three stages of `depth` normal cells with reductions between.

    `width` is that of a cell in the first stage; `skip` reads one cell further back after a reduction.
    """
    normal, reduce = genotype
    first = seq(conv=Conv(stem, 3, 2, padding=0), norm=style.norm)
    vertices = [Vertex("stem", first, ("in0",))]

    def add(name: str, body: Node, last: str, before: str) -> str:
        vertices.append(Vertex(name, body, (last, before)))
        return name

    def both(genotype: Cell, width: Size, stride: int, old: Node) -> Node:
        return cell(genotype, width, stride, style, ((1, old), (0, point(width, style))))

    def reduction(width: Size) -> Node:
        return both(reduce, width, 2, point(width, style))

    # State 1 of the first cell is the stem itself: brought to the width of the cell only where a pool reads it.
    pooled = any(state == 1 and name.startswith(("max", "avg")) for pair in reduce.steps for name, state in pair)
    down1 = cell(reduce, width // 4, 2, style, tuple((i, point(width // 4, style)) for i in range(1 + pooled)))
    down2 = cell(reduce, width // 2, 2, style, ((0, point(width // 2, style)), (1, halve(width // 2, style))))
    add("down1", down1, "stem", "stem")
    before, last = "down1", add("down2", down2, "down1", "stem")
    for number in (1, 2, 3):
        wide = width * 2 ** (number - 1)
        if number > 1:
            older, before, last = before, last, add(f"reduce{number - 1}", reduction(wide), last, before)
            before = older if skip else before
        for i in range(1, depth + 1):
            old = halve(wide, style) if i == 1 else point(wide, style)
            name = add(f"stage{number}_cell{i}", both(normal, wide, 1, old), last, before)
            before, last = last, name
        if number == 2:
            vertices.append(Vertex("aux", auxiliary(aux, classes), (last,)))
    return Dag(1, (*vertices, Vertex("head", seq(act=relu, **dict(head(classes).children())), (last,))))


NETWORKS: dict[str, Variant] = {
    "nasnet_large": variant(nasnet, width=168, depth=6, stem=96, skip=True, aux=6, input=(3, 331, 331)),
    "nasnet_mobile": variant(nasnet, width=44, depth=4, stem=32, skip=False, aux=4),
}
