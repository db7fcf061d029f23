"""Genotypes of DARTS cells, in the zoo's own form: drawn, derived from weights, set in a supernet, printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.network import Network
from netlathe.search.oneshot.cells import KINDS, Cells, edge_id, node_id
from netlathe.zoo.cells import Cell, Operation
from netlathe.zoo.darts import darts

MIN_AUX = 29  # px
CellGenotype: TypeAlias = tuple[Cell, Cell]  # normal, reduction
OptionWeights: TypeAlias = Mapping[str, NDArray[np.float64]]  # of the options, by decision; each sums to 1


def draw_genotype(cells: Cells, rng: np.random.Generator) -> CellGenotype:
    """A genotype at random: each node two different states and any operations but `none`, all equally likely."""

    def one() -> Cell:
        steps = []
        for i in range(2, cells.steps + 2):
            a, b = rng.choice(i, 2, replace=False)
            left, right = rng.integers(len(cells.real), size=2)
            steps.append(((cells.real[left], int(a)), (cells.real[right], int(b))))
        return cell_of(cells, steps)

    return one(), one()


def derive_genotype(cells: Cells, weights: OptionWeights, *, skips: int | None = None) -> CellGenotype:
    """The genotype that weights stand for: two incoming edges a node, those with the largest weight but for `none`.

    Section 2.4 of the paper, as released: edges by falling weight. With partial channels an edge counts times the share
    that its node gives it. `skips` keeps that many skip connections in the normal cell, the strongest ones, as P-DARTS
    does (Chen et al. 2019, https://arxiv.org/abs/1904.12760, section 3.3): the weakest goes and the cell is derived
    again; a cell with fewer gets none added.
    """

    def strength(kind: str, j: int, i: int, banned: set[tuple[int, int]]) -> tuple[float, str]:
        share = weights[node_id(kind, i)][j] if node_id(kind, i) in weights else 1.0
        of = dict(zip(cells.operations, weights[edge_id(kind, j, i)], strict=True))
        open_to = [name for name in cells.real if not (name == "skip" and (j, i) in banned)] or list(cells.real)
        best = max(open_to, key=lambda name: of[name])
        return float(share * of[best]), best

    def one(kind: str, banned: set[tuple[int, int]]) -> Cell:
        steps = []
        for i in range(2, cells.steps + 2):
            strengths = {j: strength(kind, j, i, banned) for j in range(i)}
            a, b = sorted(strengths, key=lambda j: -strengths[j][0])[:2]
            steps.append(((strengths[a][1], a), (strengths[b][1], b)))
        return cell_of(cells, steps)

    normal, banned = one("normal", set()), set[tuple[int, int]]()
    while skips is not None and len(here := skip_edges(normal)) > skips:
        position = cells.operations.index("skip")
        weakest = min(here, key=lambda edge: weights[edge_id("normal", *edge)][position])
        if weakest in banned:
            break  # nothing but skips to choose from
        banned.add(weakest)
        normal = one("normal", banned)
    return normal, one("reduce", set())


def skip_edges(cell: Cell) -> list[tuple[int, int]]:
    """The (state read, state) of the skip connections of a cell."""
    return [(j, i) for i, pair in enumerate(cell.steps, 2) for name, j in pair if name == "skip"]


def cell_of(cells: Cells, steps: list[tuple[Operation, Operation]]) -> Cell:
    """A cell whose steps all leave."""
    return Cell(tuple(steps), tuple(range(2, cells.steps + 2)))


def path_setting(cells: Cells, genotype: CellGenotype) -> dict[str, int | None]:
    """The genotype as a setting of the supernet: its operations on its edges, nothing on the others."""
    setting: dict[str, int | None] = dict.fromkeys(cells.decisions)
    for kind, cell in zip(KINDS, genotype, strict=True):
        for i, pair in enumerate(cell.steps, 2):
            for name, j in pair:
                setting[edge_id(kind, j, i)] = cells.operations.index(name)
    return setting


def build_network(
    genotype: CellGenotype, width: int, depth: int, image: tuple[int, int, int], classes: int, name: str
) -> Network:
    """The network of a genotype, as in the zoo; the auxiliary classifier only where the images are large enough."""
    return Network(name, darts(genotype, width, depth, classes=classes, aux=min(image[1:]) >= MIN_AUX), image)


def genotype_to_text(genotype: CellGenotype) -> str:
    """As `zoo/darts.py` writes it."""

    def one(cell: Cell) -> str:
        steps = ", ".join(f'(("{a}", {i}), ("{b}", {j}))' for (a, i), (b, j) in cell.steps)
        trailing = "," if len(cell.steps) == 1 else ""
        leaving = ", ".join(map(str, cell.concat)) + ("," if len(cell.concat) == 1 else "")
        return f"Cell(({steps}{trailing}), ({leaving}))"

    return f"({one(genotype[0])}, {one(genotype[1])})"


def genotype_to_json(genotype: CellGenotype) -> dict[str, list[list[list[object]]]]:
    """As plain lists, for JSON."""
    return {
        kind: [[[name, j] for name, j in pair] for pair in cell.steps]
        for kind, cell in zip(KINDS, genotype, strict=True)
    }


def genotype_from_json(cells: Cells, document: Mapping[str, list[list[list[object]]]]) -> CellGenotype:
    """The genotype of `data`."""
    normal, reduction = (
        [tuple((str(name), int(str(j))) for name, j in pair) for pair in document[kind]] for kind in KINDS
    )
    return cell_of(cells, normal), cell_of(cells, reduction)  # type: ignore[arg-type]


def cell_operators(cell: Cell) -> list[str]:
    """The operations of a cell."""
    return [name for pair in cell.steps for name, _ in pair]
