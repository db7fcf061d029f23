"""NAS-Bench-201: a cell of four nodes and six edges, five options an edge, 15,625 cells.

Dong and Yang 2020, NAS-Bench-201, https://arxiv.org/abs/2001.00326, Figure 1 and section 2.1, and the released models,
https://github.com/D-X-Y/AutoDL-Projects. Three stages of five equal cells with residual blocks of stride 2 between.
Node 0 is what arrives; a node is the sum of its edges; node 3 leaves. An edge `none` gives zeros, so what only it feeds
is computed for nothing: the published counts include it, as eager execution does.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlathe.arch.build import conv, head, relu, seq, stage
from netlathe.arch.combinators import Choice, Dag, Identity, Residual, Vertex
from netlathe.arch.joins import Add, Zero
from netlathe.arch.layers import Conv, Norm
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.search.space import SearchSpace

OPTIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")  # in the order of the authors
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
NONE, SKIP = 0, 1


@block
def unit(out: Size, kernel: int, stride: int = 1) -> Node:
    """norm(conv(relu(x)))."""
    return seq(act=relu, conv=Conv(out, kernel, stride), norm=Norm("batch"))


@block
def edge(i: int, j: int, width: Size) -> Node:
    """The choice of the operation from node i to node j."""
    pool = Pool("avg", 3, 1, padding=1, count_padding=False)
    return Choice(OPTIONS, (Zero(), Identity(), unit(width, 1), unit(width, 3), pool), f"edge{i}-{j}")


@block
def cell(width: Size) -> Node:
    """The cell with its six open edges."""
    nodes, vertices = ["in0", "edge0-1"], []  # node 1 has one edge, and nothing to add
    for j in (1, 2, 3):
        vertices += [Vertex(f"edge{i}-{j}", edge(i, j, width), (nodes[i],)) for i in range(j)]
        if j > 1:
            vertices.append(Vertex(f"node{j}", Add(), tuple(f"edge{i}-{j}" for i in range(j))))
            nodes.append(f"node{j}")
    return Dag(1, tuple(vertices))


@block
def reduction(out: Size) -> Node:
    """A residual block of stride 2, without norm on its shortcut."""
    shortcut = seq(pool=Pool("avg", 2, 2), conv=Conv(out))
    return Residual(seq(first=unit(out, 3, 2), second=unit(out, 3)), shortcut)


def nb201(width: int = 16, depth: int = 5, classes: int = 10) -> SearchSpace:
    """The space; decision `edge1-3` is the operation on what node 1 sends to node 3."""
    body = seq(
        stem=conv(width, 3, act=None),
        stage1=stage(cell(width), depth),
        reduce1=reduction(2 * width),
        stage2=stage(cell(2 * width), depth),
        reduce2=reduction(4 * width),
        stage3=stage(cell(4 * width), depth),
        norm=Norm("batch"),
        act=relu,
        head=head(classes),
    )
    return SearchSpace("nb201", Network("nb201", body, (3, 32, 32)), merge=isomorphism)


def isomorphism(genotype: Sequence[int]) -> str:
    """The isomorphism class of a cell, by the authors' rule: 6,466 of them.

    A node is the sorted sum of what reaches it, skip connections read through, and what comes from zeros is zero. The
    rule knows no weights: a convolution that is read twice and two equal convolutions are one class.
    """
    nodes = ["0"]
    picks = dict(zip(EDGES, genotype, strict=True))
    for j in (1, 2, 3):
        terms = []
        for i in range(j):
            pick = picks[i, j]
            if pick == NONE or nodes[i] == "#":
                terms.append("#")
            else:
                terms.append(nodes[i] if pick == SKIP else f"({nodes[i]})@{OPTIONS[pick]}")
        nodes.append("+".join(sorted(terms)))
    return nodes[3]
