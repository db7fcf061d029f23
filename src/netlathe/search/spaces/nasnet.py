"""The space of NASNet: a normal and a reduction cell of five blocks, each the sum of two operations on earlier states.

Zoph et al. 2018, Learning Transferable Architectures, https://arxiv.org/abs/1707.07012, section 3 and Appendix A.1: for
each block two hidden states and two of 13 operations; states that no block reads leave the cell. Blocks always add (the
paper's controller may also concatenate two states; its cells, and those of AmoebaNet, never do). The released code of
NASNet-A lets one more state leave each cell that a block does read: here a decision, `extra`.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlathe.arch.combinators import Dag
from netlathe.arch.network import Network
from netlathe.search.cells import cell_signature
from netlathe.search.genotype import DecisionPoint
from netlathe.search.grid import GridSpace, Options
from netlathe.zoo import nasnet as zoo
from netlathe.zoo.cells import Cell, wiring

OPERATIONS = (
    *("skip", "line3", "line7", "dil3", "avg3", "max3", "max5"),
    *("max7", "conv1", "conv3", "sep3", "sep5", "sep7"),
)
KINDS, BLOCKS = ("normal", "reduce"), 5


def cell_axes() -> tuple[DecisionPoint, ...]:
    """For each block of each cell two states and two operations, and for the cell the state that leaves besides."""
    points = []
    for kind in KINDS:
        for i in range(1, BLOCKS + 1):
            states = tuple(map(str, range(i + 1)))
            for side in ("left", "right"):
                points.append(DecisionPoint(f"{kind}.block{i}.{side}.state", states))
                points.append(DecisionPoint(f"{kind}.block{i}.{side}.op", OPERATIONS))
        # of a reduction cell, states 0 and 1 have the wrong size
        legal = range(1 if kind == "normal" else 2, BLOCKS + 1)
        points.append(DecisionPoint(f"{kind}.extra", ("none", *map(str, legal))))
    return tuple(points)


def leaving_states(cell: Cell, extra: str) -> tuple[int, ...]:
    """The states of blocks that nobody reads, and the extra one, in order."""
    read = {i for pair in cell.steps for _, i in pair}
    unread = {i for i in range(2, len(cell.steps) + 2) if i not in read}
    return tuple(sorted(unread if extra == "none" else unread | {int(extra)}))


def cells_of(options: Options) -> tuple[Cell, Cell]:
    """The cells of a combination."""

    def side(kind: str, i: int, side: str) -> tuple[str, int]:
        return options[f"{kind}.block{i}.{side}.op"], int(options[f"{kind}.block{i}.{side}.state"])

    def one(kind: str) -> Cell:
        steps = tuple((side(kind, i, "left"), side(kind, i, "right")) for i in range(1, BLOCKS + 1))
        return Cell(steps, leaving_states(Cell(steps, ()), options[f"{kind}.extra"]))

    return one("normal"), one("reduce")


def options_of_cells(cells: tuple[Cell, Cell]) -> Options | None:
    """The combination that cells are of; None where they are not of the space."""
    options: dict[str, str] = {}
    for kind, cell in zip(KINDS, cells, strict=True):
        if len(cell.steps) != BLOCKS:
            return None
        for i, pair in enumerate(cell.steps, 1):
            for side, (op, state) in zip(("left", "right"), pair, strict=True):
                options |= {f"{kind}.block{i}.{side}.state": str(state), f"{kind}.block{i}.{side}.op": op}
        besides = sorted(set(cell.concat) - set(leaving_states(cell, "none")))
        options[f"{kind}.extra"] = str(besides[0]) if besides else "none"
        if len(besides) > 1 or leaving_states(cell, options[f"{kind}.extra"]) != cell.concat:
            return None
    return options


def nasnet(width: int = 44, depth: int = 4, stem: int = 32, large: bool = False, classes: int = 1000) -> GridSpace:
    """The space for networks of `depth` cells a stage, `width` channels in the first; as NASNet-A (4 @ 1056).

    `large`: cells after a reduction read one cell further back, as in NASNet-A (6 @ 4032).
    """
    every = cell_axes()

    def build(cells: tuple[Cell, Cell]) -> Network:
        body = zoo.nasnet(width, depth, stem, large, 6 if large else 4, classes, genotype=cells)
        return Network("nasnet", body, (3, 331, 331) if large else (3, 224, 224))

    def options_of(member: Network) -> Options | None:
        cells = read_cells(member, width)
        return options_of_cells(cells) if cells and build(cells).body == member.body else None

    def merge(genotype: Sequence[int]) -> str:
        picks = zip(every, genotype, strict=True)
        normal, reduction = cells_of({axis.name: axis.options[pick] for axis, pick in picks})
        return f"{cell_signature(normal, reduces=False)} {cell_signature(reduction, reduces=True)}"

    def make(options: Options) -> Network:
        return build(cells_of(options))

    start = build((zoo.NORMAL, zoo.REDUCTION))
    return GridSpace("nasnet", start, merge=merge, axes=every, make=make, options_of=options_of)


def read_cells(network: Network, width: int) -> tuple[Cell, Cell] | None:
    """The normal and the reduction cell of a network of that width."""
    if not isinstance(network.body, Dag):
        return None
    parts = dict(network.body.children())
    if "stage1_cell1" not in parts or "reduce1" not in parts:
        return None
    normal = wiring(parts["stage1_cell1"], width, 1, zoo.style, OPERATIONS)
    reduction = wiring(parts["reduce1"], 2 * width, 2, zoo.style, OPERATIONS)
    return (normal, reduction) if normal and reduction else None
