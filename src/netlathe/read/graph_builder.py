"""GraphBuilder: the operators of a foreign network, written down one by one, become a Graph.

What flows is `TracedValue`: a value with a number, a view of another, or a constant made of weights alone. A view
becomes an operator when somebody reads it; new shapes of the same order of elements are one together, while axes that
change places, parts and repetitions have an operator each, because a runtime without strides copies for them. Weights
count where an operator first meets them. Arithmetic between weights (a standardised kernel, a transposed matrix) is
done once before inference and is not an operator, unless it multiplies matrices: that is counted as the forward does
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Shape

RESHAPED = "view"  # the same elements in the same order
VIEW_FORMS = (RESHAPED, "permute", "slice", "expand")


@dataclass(eq=False, slots=True)
class TracedValue:
    """What a tensor holds: value `id` of the graph; a view of `base`; with neither, a constant made of `sources`.

    `type` is one of `arch.types`; empty is the precision of the network. A view is seen through another, `through`, or
    the base itself; `form` is how, one of `VIEW_FORMS`.
    """

    shape: Shape
    id: int | None = None
    base: TracedValue | None = None
    sources: tuple[str, ...] = ()
    type: str = ""
    through: TracedValue | None = None
    form: str = RESHAPED

    @property
    def root(self) -> TracedValue:
        """What owns the memory."""
        return self.base or self


class Scope:
    """Where in the foreign network an operator is: a call of a module, or a node. `alone`: it may own the path."""

    def __init__(self, path: str, alone: bool = True) -> None:
        self.path, self.alone = path, alone
        self.ops = 0


@dataclass
class GraphBuilder:
    """Operators in order of execution. `weights` and `buffers` are the shapes of all tensors by full name.

    `types` are of those tensors, by the same names, and `precision` is that of the network: tensors of it, and those
    that are not named, have no type of their own in the graph.
    """

    weights: dict[str, Shape]
    buffers: dict[str, Shape]
    types: Mapping[str, str] = field(default_factory=dict)
    precision: str = "fp32"
    ops: list[tuple[Scope, Op]] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    value_types: dict[int | str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)  # names of weights and buffers that have been counted
    viewed: dict[tuple[int, int], int] = field(default_factory=dict)  # (value, view) -> value
    views: list[TracedValue] = field(default_factory=list)  # keeps the ids of views from being used again
    inputs: int = 0

    def input(self, shape: Shape, type_: str = "") -> TracedValue:
        """One more input of the network."""
        assert not self.ops, "inputs come first"
        self.inputs += 1
        return TracedValue(without_batch(shape), self.number(without_batch(shape), type_), type=type_)

    def number(self, shape: Shape, type_: str = "") -> int:
        """The id of a new value."""
        self.shapes.append(shape)
        if type_ not in ("", self.precision):
            self.value_types[len(self.shapes) - 1] = type_
        return len(self.shapes) - 1

    def view(self, traced: TracedValue, shape: Shape, form: str = RESHAPED) -> TracedValue:
        """The same memory under another shape; `form` says whether its elements are in the same order."""
        shape, root = without_batch(shape), traced.root
        if form == RESHAPED:
            if traced.base and traced.form == RESHAPED:
                traced = traced.through or root
            if shape == traced.shape:
                return traced
        return TracedValue(shape, None, root, traced.sources, root.type, traced, form)

    def read(self, traced: TracedValue, scope: Scope) -> int | None:
        """The value that an operator reads; None for a constant."""
        root = traced.root
        if root.id is None:
            return None
        chain = []  # of views that were not read before, the last first
        while traced is not root and (root.id, id(traced)) not in self.viewed:
            chain.append(traced)
            traced = traced.through or root
        value = root.id if traced is root else self.viewed[root.id, id(traced)]
        for view in reversed(chain):
            self.views.append(view)
            self.viewed[root.id, id(view)] = number = self.number(view.shape, root.type)
            shapes = (self.shapes[value],)
            op = Op("layout", view.form, "", (value,), number, shapes, view.shape, {}, {}, 0, True)
            self.ops.append((scope, op._replace(types=self.types_of((value, number)))))
            value = number
        return value

    def emit(
        self,
        scope: Scope,
        kind: str,
        form: str,
        reads: Sequence[TracedValue],
        shape: Shape,
        macs: int = 0,
        type_: str = "",
        inner: int = 0,
    ) -> TracedValue:
        """Write an operator down; returns what it makes, of type `type_`. `inner`: see `Op`."""
        shape = without_batch(shape)
        sources = tuple(dict.fromkeys(name for traced in reads for name in (*traced.sources, *traced.root.sources)))
        read = [(value, traced.shape) for traced in reads if (value := self.read(traced, scope)) is not None]
        if not read and not macs:
            return TracedValue(shape, sources=sources, type=type_)
        number = self.number(shape, type_)
        values, in_shapes = tuple(value for value, _ in read), tuple(shape for _, shape in read)
        types = self.types_of((*values, number)) if self.value_types else {}
        weights: dict[str, Shape] = {}
        buffers: dict[str, Shape] = {}
        for source in sources:
            if source not in self.used:
                self.used.add(source)
                name, type_of_source = local_name(source, scope.path), self.types.get(source, "")
                for tensors, own in ((self.weights, weights), (self.buffers, buffers)):
                    if source in tensors:
                        own[name] = tensors[source]
                if type_of_source not in ("", self.precision):
                    types[name] = type_of_source
        op = Op(
            kind, form, "", values, number, in_shapes, shape, weights, buffers, macs, False, types=types, inner=inner
        )
        self.ops.append((scope, op))
        scope.ops += 1
        return TracedValue(shape, number, type=type_)

    def types_of(self, values: Iterable[int]) -> dict[int | str, str]:
        """Of those values which are not in the precision of the network."""
        return {value: self.value_types[value] for value in values if value in self.value_types}

    def graph(self, outputs: Iterable[TracedValue], scope: Scope) -> Graph:
        """All of it. An operator that is alone in its place has that path, others add their kind; then a number."""
        ids = tuple(value for traced in outputs if (value := self.read(traced, scope)) is not None)
        taken: dict[str, int] = {}
        ops = []
        for where, op in self.ops:
            alone = where.path and where.alone and where.ops == 1 and not op.view
            path = where.path if alone else f"{where.path}.{op.form if op.view else op.kind}".lstrip(".")
            taken[path] = taken.get(path, 0) + 1
            path = path if taken[path] == 1 else f"{path}:{taken[path]}"
            ops.append(op._replace(path=path))
        shapes = tuple(self.shapes)
        return Graph(tuple(ops), shapes[: self.inputs], ids, shapes, dict(self.value_types), self.precision)


def without_batch(shape: Shape) -> Shape:
    """A shape of one image."""
    return tuple(shape[1:]) if len(shape) > 1 and shape[0] == 1 else tuple(shape)


def local_name(name: str, path: str) -> str:
    """The name of a tensor as its module says it."""
    return name.removeprefix(f"{path}.")
