"""DARTS cells with every edge and every operation on it: the expression that becomes the supernet.

Liu et al. 2019, https://arxiv.org/abs/1806.09055, section 2, as in the authors' code, https://github.com/quark0/darts.
Every step adds its edges from all earlier states; a decision an edge and kind of cell, shared by all cells of a kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from netlathe.arch.build import concat, seq
from netlathe.arch.combinators import Choice, Dag, Vertex
from netlathe.arch.joins import Add, Cat, Select, Zero
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.errors import NetlatheError, unknown
from netlathe.search.oneshot.mixed_op import PickInput
from netlathe.zoo.cells import Style, operation
from netlathe.zoo.darts import Prepare, stacked, style

NONE = "none"
OPERATIONS = (NONE, "max3", "avg3", "skip", "sep3", "sep5", "dil3", "dil5")  # in the order of the authors
KINDS = ("normal", "reduce")


@dataclass(frozen=True, kw_only=True)
class Cells:
    """What a DARTS cell may be. `steps` nodes; `partial`: the operations see 1 of so many channels (PC-DARTS)."""

    steps: int = 4
    operations: tuple[str, ...] = OPERATIONS
    partial: int = 1

    def __post_init__(self) -> None:
        for name in self.operations:
            if name not in OPERATIONS:
                raise unknown("operation", name, OPERATIONS, code="search.operation")
        if len(set(self.operations)) < len(self.operations) or len(self.operations) < 2:
            raise NetlatheError(
                f"a search needs two or more different operations, not {', '.join(self.operations) or 'none at all'}",
                code="search.operation",
                hint=f"of {', '.join(OPERATIONS)}",
            )
        if not self.real:
            raise NetlatheError("only 'none' is left to choose", code="search.operation")
        if self.steps < 1 or self.partial < 1:
            raise NetlatheError(
                f"{self.steps} steps on 1/{self.partial} of the channels cannot be", code="search.cells"
            )

    @property
    def real(self) -> tuple[str, ...]:
        """The operations that a derived cell may have."""
        return tuple(name for name in self.operations if name != NONE)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(state read, state that adds it), as the authors order them."""
        return tuple((j, i) for i in range(2, self.steps + 2) for j in range(i))

    @cached_property
    def decisions(self) -> tuple[str, ...]:
        """The decisions of all edges, normal cells first."""
        return tuple(edge_id(kind, j, i) for kind in KINDS for j, i in self.edges)


def edge_id(kind: str, j: int, i: int) -> str:
    """The decision on the operation from state j to state i."""
    return f"{kind}:edge{j}-{i}"


def node_id(kind: str, i: int) -> str:
    """With partial channels: the decision on which edges state i listens to."""
    return f"{kind}:in{i}"


def supernet_of(cells: Cells, width: Size, depth: int, image: tuple[int, int, int], classes: int) -> Network:
    """The expression of the search, with a choice on every edge. Raises NetlatheError for sizes that cannot be."""
    if depth < 3:
        raise NetlatheError(f"{depth} cells are too few: two reduce, and one must not", code="search.cells",
                            hint="--cells 3 or more")  # fmt: skip
    if width % (2 * cells.partial):
        raise NetlatheError(
            f"{width} channels cannot be split: a multiple of {2 * cells.partial} is needed", code="search.cells"
        )

    def make(reduces: bool, width: Size, prepare: Prepare) -> Node:
        return mixed_cell(cells, KINDS[reduces], width, 2 if reduces else 1, prepare)

    return Network("darts_supernet", stacked(make, width, depth, classes=classes, aux=False), image)


def mixed_cell(cells: Cells, kind: str, width: Size, stride: int, prepare: Prepare) -> Node:
    """The Dag of a cell with all edges; the rest as in `zoo.cells.cell`."""
    names = ["in0", "in1"]
    vertices: list[Vertex] = []
    for state, body in prepare:
        names[state] = f"state{state}"
        vertices.append(Vertex(f"state{state}", body, (f"in{state}",)))
    for i in range(2, cells.steps + 2):
        edges = []
        for j in range(i):
            vertices.append(Vertex(f"edge{j}-{i}", edge(cells, edge_id(kind, j, i), width, stride if j < 2 else 1),
                                   (names[j],)))  # fmt: skip
            edges.append(f"edge{j}-{i}")
        join = Add() if cells.partial == 1 else edge_choice(node_id(kind, i), i)
        vertices.append(Vertex(f"step{i - 1}", join, tuple(edges)))
        names.append(f"step{i - 1}")
    return Dag(2, (*vertices, Vertex("cat", Cat(), tuple(names[2:]))))


@block
def edge(cells: Cells, decision: str, width: Size, stride: int) -> Node:
    """The choice of one edge; with partial channels on the first of them, and the others pass by, then all shuffled.

    Xu et al. 2020, PC-DARTS, https://arxiv.org/abs/1907.05737, section 3.2.
    """
    part = width // cells.partial
    choice = Choice(
        cells.operations, tuple(searched_operation(name, part, stride, style) for name in cells.operations), decision
    )
    if cells.partial == 1:
        return choice
    other = Select(tuple(range(part, width)))
    rest = seq(select=other, pool=Pool("max", 2, ceil=True)) if stride == 2 else seq(select=other)
    shuffled = chain.from_iterable(zip(*(range(g * part, (g + 1) * part) for g in range(cells.partial)), strict=True))
    seen = seq(select=Select(tuple(range(part))), operation=choice)
    return seq(parts=concat(seen=seen, rest=rest), shuffle=Select(tuple(shuffled)))


@block
def searched_operation(name: str, width: Size, stride: int, style: Style) -> Node:
    """An operation as the search runs it: pools are normed, and `none` gives zeros."""
    if name == NONE:
        return Zero() if stride == 1 else seq(pool=Pool("max", 1, stride), zero=Zero())
    body = operation(name, width, stride, style)
    return seq(pool=body, norm=style.norm) if isinstance(body, Pool) else body


@block
def edge_choice(decision: str, edges: int) -> Node:
    """Which of the edges a step takes: PC-DARTS' edge normalisation, a weighted sum over them (section 3.3)."""
    return Choice(tuple(f"from{j}" for j in range(edges)), tuple(PickInput(j, edges) for j in range(edges)), decision)
