"""Tape: the operators of a foreign network, written down one by one, become a Graph.

What flows is `Held`: a value with a number, a view of another, or a constant made of weights alone. A view becomes an
operator when somebody reads it, so a chain of views is one. Weights count where an operator first meets them.
Arithmetic between weights (a standardised kernel, a transposed matrix) is done once before inference and is not an
operator, unless it multiplies matrices: that is counted as the forward does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Shape


@dataclass(eq=False, slots=True)
class Held:
    """What a tensor holds: value `id` of the graph; a view of `base`; with neither, a constant made of `sources`."""

    shape: Shape
    id: int | None = None
    base: Held | None = None
    sources: tuple[str, ...] = ()

    @property
    def root(self) -> Held:
        """What owns the memory."""
        return self.base or self


class Place:
    """Where in the foreign network an operator is: a call of a module, or a node. `alone`: it may own the path."""

    def __init__(self, path: str, alone: bool = True) -> None:
        self.path, self.alone = path, alone
        self.ops = 0


@dataclass
class Tape:
    """Operators in order of execution. `weights` and `buffers` are the shapes of all tensors by full name."""

    weights: dict[str, Shape]
    buffers: dict[str, Shape]
    ops: list[tuple[Place, Op]] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # names of weights and buffers that have been counted
    viewed: dict[tuple[int, int], int] = field(default_factory=dict)  # (value, view) -> value
    views: list[Held] = field(default_factory=list)  # keeps the ids of views from being used again
    inputs: int = 0

    def input(self, shape: Shape) -> Held:
        """One more input of the network."""
        assert not self.ops, "inputs come first"
        self.inputs += 1
        return Held(without_batch(shape), self.number(without_batch(shape)))

    def number(self, shape: Shape) -> int:
        """The id of a new value."""
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def view(self, held: Held, shape: Shape) -> Held:
        """The same memory under another shape."""
        shape, root = without_batch(shape), held.root
        return held if shape == held.shape else root if shape == root.shape else Held(shape, None, root, held.sources)

    def read(self, held: Held, place: Place) -> int | None:
        """The value that an operator reads; None for a constant."""
        root = held.root
        if held is root or root.id is None:
            return root.id
        key = (root.id, id(held))
        if key not in self.viewed:
            self.views.append(held)
            self.viewed[key] = number = self.number(held.shape)
            op = Op("layout", "view", "", (root.id,), number, (root.shape,), held.shape, {}, {}, 0, True)
            self.ops.append((place, op))
        return self.viewed[key]

    def emit(self, place: Place, kind: str, form: str, reads: Sequence[Held], shape: Shape, macs: int = 0) -> Held:
        """Write an operator down; returns what it makes."""
        shape = without_batch(shape)
        sources = tuple(dict.fromkeys(name for held in reads for name in (*held.sources, *held.root.sources)))
        read = [(value, held.shape) for held in reads if (value := self.read(held, place)) is not None]
        if not read and not macs:
            return Held(shape, sources=sources)
        new = [source for source in sources if source not in self.used]
        self.used.update(new)
        weights, buffers = (
            {local(name, place.path): known[name] for name in new if name in known}
            for known in (self.weights, self.buffers)
        )
        number = self.number(shape)
        values, in_shapes = tuple(value for value, _ in read), tuple(shape for _, shape in read)
        op = Op(kind, form, "", values, number, in_shapes, shape, weights, buffers, macs, False)
        self.ops.append((place, op))
        place.ops += 1
        return Held(shape, number)

    def graph(self, outputs: Iterable[Held], place: Place) -> Graph:
        """All of it. An operator that is alone in its place has that path, others add their kind; then a number."""
        ids = tuple(value for held in outputs if (value := self.read(held, place)) is not None)
        taken: dict[str, int] = {}
        ops = []
        for where, op in self.ops:
            alone = where.path and where.alone and where.ops == 1 and not op.view
            path = where.path if alone else f"{where.path}.{op.form if op.view else op.kind}".lstrip(".")
            taken[path] = taken.get(path, 0) + 1
            ops.append(op._replace(path=path if taken[path] == 1 else f"{path}:{taken[path]}"))
        return Graph(tuple(ops), tuple(self.shapes[: self.inputs]), ids, tuple(self.shapes))


def without_batch(shape: Shape) -> Shape:
    """A shape of one image."""
    return tuple(shape[1:]) if len(shape) > 1 and shape[0] == 1 else tuple(shape)


def local(name: str, path: str) -> str:
    """The name of a tensor as its module says it."""
    return name.removeprefix(f"{path}.")
