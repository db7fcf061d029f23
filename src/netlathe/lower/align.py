"""Which tensor of somebody else's module is which of ours: both sides as slots in a flow of data, matched by colour.

A slot is an operator that owns tensors; it reads the nearest slots before it. The order of calls differs between
libraries (the shortcut before or after the body), and shapes repeat, so neither decides alone. Colour refinement
(Weisfeiler and Leman 1968, https://www.iti.zcu.cz/wl2018/pdf/wl_paper_translation.pdf) tells slots apart by their
tensors and then, round by round, by what they read and what reads them; slots that stay alike go in order of execution.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import accumulate
from math import prod
from operator import or_
from typing import NamedTuple, TypeAlias

from netlathe.arch.graph import Graph
from netlathe.arch.network import Network
from netlathe.arch.node import Shape
from netlathe.lower.weights import tensor_name

# Numbers of slots, each with the place of its first channel in the concatenation through which it is read.
Reads: TypeAlias = dict[int, int]


class Slot(NamedTuple):
    """An operator with tensors: its path, the full names and shapes of its tensors by role, the slots it reads."""

    path: str
    tensors: dict[str, tuple[str, Shape]]
    reads: Reads


class Flow:
    """Slots in order of execution, and which of them stand behind a value."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.behind: list[int] = []  # by slot: the set of all slots before it, as the bits of a number

    def slot(self, path: str, tensors: dict[str, tuple[str, Shape]], reads: Reads) -> Reads:
        """A new slot; gives what a value computed by it reads."""
        self.slots.append(Slot(path, tensors, reads))
        self.behind.append(reduce(or_, (self.behind[i] | 1 << i for i in reads), 0))
        return {len(self.slots) - 1: 0}

    def join(self, parts: Iterable[tuple[int, Reads]]) -> Reads:
        """What a value made of others reads, each part with its place; slots behind other slots of it are left out."""
        first: Reads = {}
        for place, reads in parts:
            for i, at in reads.items():
                first[i] = min(first.get(i, place + at), place + at)
        behind = reduce(or_, (self.behind[i] for i in first), 0) if len(first) > 1 else 0
        return {i: at for i, at in first.items() if not behind >> i & 1}


class Alignment(NamedTuple):
    """Pairs (our tensor, theirs), and what is left on either side, all with shapes."""

    pairs: tuple[tuple[str, str], ...]
    missing: dict[str, Shape]
    unused: dict[str, Shape]

    def faults(self) -> list[str]:
        """What did not fit, a line a tensor."""
        return [f"missing: {name} {shape}" for name, shape in self.missing.items()] + [
            f"left over: {name} {shape}" for name, shape in self.unused.items()
        ]


def slots(graph: Graph) -> list[Slot]:
    """Our side; the last slot has no tensors and reads the output."""
    flow = Flow()
    reads: dict[int, Reads] = {i: {} for i in range(len(graph.input_shapes))}
    for op in graph.ops:
        places = accumulate((x[0] for x in op.in_shapes), initial=0) if op.kind == "cat" else [0] * len(op.inputs)
        value = flow.join(zip(places, (reads[i] for i in op.inputs), strict=False))
        tensors = {role: (tensor_name(op.path, role), shape) for role, shape in (op.weights | op.buffers).items()}
        reads[op.output] = flow.slot(op.path, tensors, value) if tensors else value
    flow.slot("", {}, reads[graph.outputs[0]])
    return flow.slots


def align(network: Network, source: Sequence[Slot]) -> Alignment:
    """Pair the tensors of a network with those of a source, whose slots come in order of execution."""
    ours = slots(network.graph())
    matched = match(ours, source)
    used = set(matched.values())
    pairs = [pair for i, j in sorted(matched.items()) for pair in tensor_pairs(ours[i], source[j])]
    return Alignment(
        tuple(pairs),
        {name: shape for i, slot in enumerate(ours) if i not in matched for name, shape in slot.tensors.values()},
        {name: shape for j, slot in enumerate(source) if j not in used for name, shape in slot.tensors.values()},
    )


def as_matrix(shape: Shape) -> Shape:
    """A shape as a matrix, without axes of length 1: a linear layer is also a convolution over all it sees."""
    sizes = tuple(size for size in shape if size != 1)
    return (*sizes[:1], prod(sizes[1:])) if len(sizes) > 1 else sizes


def tensor_pairs(ours: Slot, theirs: Slot) -> list[tuple[str, str]]:
    """Tensors of two matched slots: those of one role, else those of one shape in order."""
    rest = dict(theirs.tensors)
    pairs = []
    for role, (name, shape) in ours.tensors.items():
        same = role in rest and as_matrix(rest[role][1]) == as_matrix(shape)
        pick = role if same else next(other for other, (_, s) in rest.items() if as_matrix(s) == as_matrix(shape))
        pairs.append((name, rest.pop(pick)[0]))
    return pairs


def match(ours: Sequence[Slot], theirs: Sequence[Slot]) -> dict[int, int]:
    """Slots of equal colour in order, the finest colouring first; coarser ones place what differs further away."""
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for colouring in reversed(list(colourings([*ours, *theirs], len(ours)))):
        left: dict[int, list[int]] = defaultdict(list)
        right: dict[int, list[int]] = defaultdict(list)
        for i in range(len(ours)):
            if i not in matched:
                left[colouring[i]].append(i)
        for j in range(len(theirs)):
            if j not in taken:
                right[colouring[len(ours) + j]].append(j)
        for colour, mine in left.items():
            if len(mine) == len(right[colour]):
                matched.update(zip(mine, right[colour], strict=True))
                taken.update(right[colour])
    return matched


RADIUS = (
    32  # how far two slots may have to look to find themselves different; alike further out, order tells them apart
)


def colourings(both: Sequence[Slot], ours: int) -> Iterator[list[int]]:
    """Colours of all slots: by their tensors alone, then by their neighbours' colours as well, round by round.

    `both` holds our slots, then the others, whose reads count from the first of theirs.
    """
    reads = [[(i + (ours if k >= ours else 0), at) for i, at in slot.reads.items()] for k, slot in enumerate(both)]
    readers: list[list[tuple[int, int]]] = [[] for _ in both]
    for k, pairs in enumerate(reads):
        for i, at in pairs:
            readers[i].append((k, at))

    def near(pairs: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        return tuple(sorted((now[i], at) for i, at in pairs))

    now = number_keys([tuple(sorted(as_matrix(shape) for _, shape in slot.tensors.values())) for slot in both])
    for _ in range(RADIUS):
        yield now
        finer = number_keys([(now[k], near(reads[k]), near(readers[k])) for k in range(len(both))])
        if max(finer) == max(now):
            return
        now = finer


def number_keys(keys: Sequence[Hashable]) -> list[int]:
    """Equal keys as equal numbers."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]
