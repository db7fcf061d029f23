"""The combinators: how expressions combine. Each says once, in `apply`, what it computes; every reading runs that.

`apply(run, *values)` wires children by calling `run(child, name, *values)`. A reading is a `run`: shapes and counts,
the graph, a torch forward, ONNX nodes. An empty name adds nothing to a path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from netlathe.arch.joins import Add, Cat, Crop, Mul
from netlathe.arch.leaf import need, positive
from netlathe.arch.node import Node, Run, V, node
from netlathe.errors import ShapeError, unknown


class Combinator(Node):
    """A way to combine expressions. Its children can be listed (`children`) and replaced (`rebuild`)."""

    def rebuild(self, items: tuple[Node, ...]) -> Node:
        """The same combination of other children, given in the order of `children`."""
        return self

    def apply(self, run: Run[V], *xs: V) -> V:
        """Compute the combination on values, in the reading `run`."""
        raise NotImplementedError


def only_input(who: str, xs: tuple[Any, ...]) -> None:
    if len(xs) != 1:
        raise ShapeError(f"{who} reads one value, but {len(xs)} arrive")


@node
class Identity(Combinator):
    """y = x."""

    def apply(self, run: Run[V], *xs: V) -> V:
        only_input("identity", xs)
        return xs[0]


@node
class Named(Combinator):
    """Named items: what Seq, Concat and Choice share."""

    names: tuple[str, ...]
    items: tuple[Node, ...]

    def __post_init__(self) -> None:
        check_names(self.names, self.items)

    def children(self) -> Iterator[tuple[str, Node]]:
        return iter(zip(self.names, self.items, strict=True))

    def rebuild(self, items: tuple[Node, ...]) -> Node:
        return replace(self, items=items)


@node
class Seq(Named):
    """y = last(... second(first(x)))."""

    def apply(self, run: Run[V], *xs: V) -> V:
        only_input("seq", xs)
        x = xs[0]
        for name, item in zip(self.names, self.items, strict=True):
            x = run(item, name, x)
        return x


@node
class Residual(Combinator):
    """y = x + f(x); where f changes the shape, project(x) + f(x), or f(x) alone if the skip is `optional`."""

    body: Node
    project: Node | None = None
    optional: bool = False

    def children(self) -> Iterator[tuple[str, Node]]:
        yield "", self.body
        if self.project is not None:
            yield "shortcut", self.project

    def rebuild(self, items: tuple[Node, ...]) -> Node:
        return Residual(items[0], items[1] if self.project is not None else None, self.optional)

    def apply(self, run: Run[V], *xs: V) -> V:
        only_input("residual", xs)
        x = xs[0]
        y = run(self.body, "", x)
        if x.shape != y.shape:
            if self.project is not None:
                x = run(self.project, "shortcut", x)
            elif self.optional:
                return y
        return run(Add(), "add", y, x)


@node
class Concat(Named):
    """y = [f1(x), f2(x), ...], channels one after the other; with `crop`, maps are cut to the smallest, centred."""

    crop: bool = False

    def apply(self, run: Run[V], *xs: V) -> V:
        only_input("concat", xs)
        ys = [run(item, name, xs[0]) for name, item in self.children()]
        if self.crop:
            high, wide = (min(y.shape[axis] for y in ys) for axis in (1, 2))
            cut = Crop(high, wide)
            sizes = [y.shape[1:] != (high, wide) for y in ys]
            ys = [run(cut, f"crop{i}", y) if larger else y for i, (y, larger) in enumerate(zip(ys, sizes, strict=True))]
        return run(Cat(), "cat", *ys)


@node
class Gate(Combinator):
    """y = x * f(x)."""

    body: Node

    def children(self) -> Iterator[tuple[str, Node]]:
        yield "", self.body

    def rebuild(self, items: tuple[Node, ...]) -> Node:
        return Gate(items[0])

    def apply(self, run: Run[V], *xs: V) -> V:
        only_input("gate", xs)
        return run(Mul(), "mul", xs[0], run(self.body, "", xs[0]))


@node
class Stage(Combinator):
    """y = block(... block(first(x))): `depth` blocks, of which the first may differ (stride, width)."""

    block: Node
    depth: int
    first: Node | None = None

    def __post_init__(self) -> None:
        positive(depth=self.depth)

    def children(self) -> Iterator[tuple[str, Node]]:
        for i in range(1, self.depth + 1):
            yield f"block{i}", self.first if i == 1 and self.first is not None else self.block

    def rebuild(self, items: tuple[Node, ...]) -> Node:
        if len(set(items[1:])) > 1:  # the blocks no longer repeat: the same paths, spelt out
            return Seq(tuple(name for name, _ in self.children()), items)
        block = items[-1]
        return Stage(block, self.depth, None if items[0] == block else items[0])

    def apply(self, run: Run[V], *xs: V) -> V:
        only_input("stage", xs)
        x = xs[0]
        for name, item in self.children():
            x = run(item, name, x)
        return x


@node
class Side(Combinator):
    """y = x, and in a training graph head(x) is one more output (auxiliary classifiers)."""

    head: Node

    def children(self) -> Iterator[tuple[str, Node]]:
        yield "", self.head

    def rebuild(self, items: tuple[Node, ...]) -> Node:
        return Side(items[0])

    def apply(self, run: Run[V], *xs: V) -> V:
        only_input("side", xs)
        run(self.head, "", xs[0])
        return xs[0]


@node
class Choice(Named):
    """One of several expressions, not yet decided: an expression that contains one is a search space.

    Choices of the same `id` are one decision, wherever they stand: a cell that repeats is chosen once.
    """

    id: str = ""  # empty: a decision of its own, named by its path

    def apply(self, run: Run[V], *xs: V) -> V:
        raise ShapeError(
            f"the choice of {', '.join(self.names)} is still open", hint="resolve every choice before reading"
        )


@node
class Vertex(Node):
    """One step of a Dag: an expression and the names of what it reads."""

    name: str
    body: Node
    reads: tuple[str, ...]


@node
class Dag(Combinator):
    """y = the last vertex; a vertex reads inputs (in0, in1, ...) and vertices before it, by name."""

    inputs: int
    vertices: tuple[Vertex, ...]

    def __post_init__(self) -> None:
        positive(inputs=self.inputs)
        need(bool(self.vertices), "a dag needs at least one vertex")
        earlier = {f"in{i}" for i in range(self.inputs)}
        for vertex in self.vertices:
            for name in vertex.reads:
                if name not in earlier:
                    raise unknown("vertex", name, earlier, code="arch.dag", path=vertex.name)
            need(
                vertex.name not in earlier and "." not in vertex.name, f"the name {vertex.name!r} is taken or has a dot"
            )
            need(vertex.name.isprintable(), f"the name {vertex.name!r} must be one line of text")
            earlier.add(vertex.name)

    def children(self) -> Iterator[tuple[str, Node]]:
        return ((vertex.name, vertex.body) for vertex in self.vertices)

    def rebuild(self, items: tuple[Node, ...]) -> Node:
        vertices = zip(self.vertices, items, strict=True)
        return Dag(self.inputs, tuple(Vertex(vertex.name, item, vertex.reads) for vertex, item in vertices))

    def apply(self, run: Run[V], *xs: V) -> V:
        if len(xs) != self.inputs:
            raise ShapeError(f"this dag reads {self.inputs} values, but {len(xs)} arrive")
        values = {f"in{i}": x for i, x in enumerate(xs)}
        for vertex in self.vertices:
            values[vertex.name] = run(vertex.body, vertex.name, *(values[name] for name in vertex.reads))
        return values[self.vertices[-1].name]


def check_names(names: tuple[str, ...], items: tuple[Node, ...]) -> None:
    """Names are as many as items, unique, and without the dot that separates the parts of a path."""
    need(len(names) == len(items) > 0, f"{len(names)} names for {len(items)} items: give one each, and at least one")
    given_names = [name for name in names if name]
    need(len(set(given_names)) == len(given_names), f"names must differ: {', '.join(names)}")
    need(len(names) - len(given_names) <= 1, "at most one part may go without a name")
    need(not any("." in name for name in given_names), "names must not contain a dot")
    need(all(name.isprintable() for name in given_names), "names must be one line of text")
