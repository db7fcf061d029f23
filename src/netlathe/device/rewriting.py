"""OpWriter: the operators of a graph, written down again with some of them left out or put in."""

from __future__ import annotations

from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Shape


class OpWriter:
    """A graph on the way: values keep their numbers, new ones come after them."""

    def __init__(self, graph: Graph) -> None:
        self.before = graph
        self.ops: list[Op] = []
        self.shapes = list(graph.shapes)
        self.same: dict[int, int] = {}  # value that is no more -> value that stands for it

    def now(self, value: int) -> int:
        """The number of a value by now."""
        return self.same.get(value, value)

    def add(self, op: Op) -> None:
        """Write an operator whose inputs are as they are by now."""
        self.ops.append(op)

    def skip(self, op: Op) -> None:
        """Leave an operator out: who reads its result reads its input."""
        self.same[op.output] = self.now(op.inputs[0])

    def becomes(self, op: Op, value: int) -> None:
        """The result of an operator that is left out is this value."""
        self.same[op.output] = value

    def one(self, op: Op, kind: str, form: str, inputs: tuple[int, ...], shape: Shape, macs: int = 0) -> int:
        """One of the operators that stand for `op`; returns its value."""
        self.shapes.append(shape)
        shapes = tuple(self.shapes[i] for i in inputs)
        self.ops.append(Op(kind, form, op.path, inputs, len(self.shapes) - 1, shapes, shape, {}, {}, macs, False))
        return len(self.shapes) - 1

    def taken(self, op: Op, form: str, x: int, shape: Shape) -> int:
        """A part of a value, of which no more is read."""
        value = self.one(op, "layout", form, (x,), shape)
        self.ops[-1] = self.ops[-1]._replace(in_shapes=(shape,))
        return value

    def graph(self) -> Graph:
        """All of it."""
        outputs = tuple(self.now(i) for i in self.before.outputs)
        return Graph(tuple(self.ops), self.before.input_shapes, outputs, tuple(self.shapes))
