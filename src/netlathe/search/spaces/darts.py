"""The space of DARTS: a normal and a reduction cell of four nodes, each node the sum of two operations, 10^18 pairs.

Liu et al. 2019, DARTS, https://arxiv.org/abs/1806.09055, section 2 and 3.1. A node reads two different earlier states;
an operation is one of seven (the eighth of the paper, `none`, only serves the relaxation: a derived cell has none). The
networks are those of the zoo: 20 cells of 36 channels for CIFAR-10 are the paper's evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from netlathe.arch.combinators import Dag
from netlathe.arch.network import Network
from netlathe.search.cells import cell_signature
from netlathe.search.genotype import DecisionPoint
from netlathe.search.grid import GridSpace, Options
from netlathe.zoo import darts as zoo
from netlathe.zoo.cells import Cell, wiring

OPERATIONS = ("max3", "avg3", "skip", "sep3", "sep5", "dil3", "dil5")  # in the order of the authors, after none
KINDS = ("normal", "reduce")


def cell_axes() -> tuple[DecisionPoint, ...]:
    """For each node of each cell: which two states it reads, and by which operations, the lower state first."""
    points = []
    for kind in KINDS:
        for node in zoo.NODES:
            pairs = tuple(f"{a},{b}" for a, b in combinations(range(node), 2))
            points.append(DecisionPoint(f"{kind}.node{node}.reads", pairs))
            points += [DecisionPoint(f"{kind}.node{node}.{side}", OPERATIONS) for side in ("low", "high")]
    return tuple(points)


def cells_of(options: Options) -> tuple[Cell, Cell]:
    """The cells of a combination."""

    def one(kind: str) -> Cell:
        steps = []
        for node in zoo.NODES:
            low, high = map(int, options[f"{kind}.node{node}.reads"].split(","))
            steps.append(((options[f"{kind}.node{node}.low"], low), (options[f"{kind}.node{node}.high"], high)))
        return Cell(tuple(steps), zoo.NODES)

    return one("normal"), one("reduce")


def options_of_cells(cells: tuple[Cell, Cell]) -> Options | None:
    """The combination that cells are of; None where they are not of the space."""
    options: dict[str, str] = {}
    for kind, cell in zip(KINDS, cells, strict=True):
        if cell.concat != zoo.NODES or len(cell.steps) != len(zoo.NODES):
            return None
        for node, pair in zip(zoo.NODES, cell.steps, strict=True):
            (low, a), (high, b) = sorted(pair, key=lambda side: side[1])
            if a == b:
                return None
            options |= {f"{kind}.node{node}.reads": f"{a},{b}"}
            options |= {f"{kind}.node{node}.low": low, f"{kind}.node{node}.high": high}
    return options


def darts(width: int = 36, depth: int = 20, imagenet: bool = False, classes: int | None = None) -> GridSpace:
    """The space for networks of `depth` cells with `width` channels in the first."""
    image, count = ((3, 224, 224), 1000) if imagenet else ((3, 32, 32), 10)
    every = cell_axes()

    def network(cells: tuple[Cell, Cell]) -> Network:
        return Network("darts", zoo.darts(cells, width, depth, imagenet, classes or count), image)

    def make(options: Options) -> Network:
        return network(cells_of(options))

    def options_of(member: Network) -> Options | None:
        cells = read_cells(member, width, depth, imagenet)
        return options_of_cells(cells) if cells and network(cells).body == member.body else None

    def merge(genotype: Sequence[int]) -> str:
        picks = zip(every, genotype, strict=True)
        normal, reduction = cells_of({axis.name: axis.options[pick] for axis, pick in picks})
        return f"{cell_signature(normal, reduces=False)} {cell_signature(reduction, reduces=True)}"

    return GridSpace("darts", network(zoo.V2), merge=merge, axes=every, make=make, options_of=options_of)


def read_cells(network: Network, width: int, depth: int, imagenet: bool) -> tuple[Cell, Cell] | None:
    """The normal and the reduction cell of a network of these sizes."""
    if not isinstance(network.body, Dag):
        return None
    parts = dict(network.body.children())
    first = next((i for i in range(depth) if i not in (depth // 3, 2 * depth // 3)), None)
    reduction = depth // 3
    if first is None or f"cell{first + 1}" not in parts or f"cell{reduction + 1}" not in parts:
        return None
    wide = width * 2 ** sum(i <= first for i in {depth // 3, 2 * depth // 3})
    normal = wiring(parts[f"cell{first + 1}"], wide, 1, zoo.style, OPERATIONS)
    reduce = wiring(parts[f"cell{reduction + 1}"], 2 * width, 2, zoo.style, OPERATIONS)
    return (normal, reduce) if normal and reduce else None
