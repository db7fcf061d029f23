"""Cells found by search: a small Dag of operations that a network repeats (NASNet, DARTS).

A cell reads two values, states 0 and 1; every step adds two operations on earlier states and is the next state; the
states in `concat` leave. As data:  ((("sep3", 0), ("skip", 1)), ...).  Operations are named as the papers do: sep, dil
(separable), conv, line (1xk then kx1) with their kernel, max, avg (pools), and skip.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from netlathe.arch.build import concat, relu, seq
from netlathe.arch.combinators import Dag, Identity, Vertex
from netlathe.arch.joins import Add, Cat, Offset
from netlathe.arch.layers import Conv, Norm
from netlathe.arch.leaf import Padding, Pair, need
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool

Operation = tuple[str, int]  # what, on which state


class Cell(NamedTuple):
    """The wiring of a cell, and what leaves."""

    steps: tuple[tuple[Operation, Operation], ...]
    concat: tuple[int, ...]


class Style(NamedTuple):
    """How a paper builds its operations."""

    norm: Norm
    padding: Padding = None


@block
def point(width: Size, style: Style) -> Node:
    """norm(1x1(relu(x)))."""
    return seq(act=relu, conv=Conv(width), norm=style.norm)


@block
def halve(width: Size, style: Style) -> Node:
    """norm([1x1 of every second position, 1x1 of those between]) of relu(x): half the side, all positions read."""
    even, odd = Conv(width // 2, 1, 2), Conv(width - width // 2, 1, 2)
    return seq(act=relu, halves=concat(even=even, odd=seq(offset=Offset(), conv=odd)), norm=style.norm)


@block
def separable(width: Size, kernel: int, stride: int, style: Style, dilation: int = 1) -> Node:
    """norm(1x1(depthwise(relu(x))))."""
    reach = Conv(None, kernel, stride, group_width=1, dilation=dilation, padding=style.padding)
    return seq(act=relu, depthwise=reach, point=Conv(width), norm=style.norm)


@block
def dense(width: Size, kernel: Pair, stride: Pair, style: Style) -> Node:
    """norm(conv(relu(x)))."""
    return seq(act=relu, conv=Conv(width, kernel, stride, padding=style.padding), norm=style.norm)


@block
def operation(name: str, width: Size, stride: int, style: Style) -> Node:
    """The operation of that name, `width` channels out of a convolution."""
    kind, kernel = name.rstrip("0123456789"), int(name.lstrip("abcdefghijklmnopqrstuvwxyz") or 1)
    kinds = ("sep", "dil", "conv", "line", "max", "avg", "skip")
    need(kind in kinds, f"an operation is one of {', '.join(kinds)}, not {name!r}")
    if kind == "sep":
        return seq(first=separable(width, kernel, stride, style), second=separable(width, kernel, 1, style))
    if kind == "dil":
        return separable(width, kernel, stride, style, 2)
    if kind == "conv":
        return dense(width, kernel, stride, style)
    if kind == "line":
        along, across = dense(width, (1, kernel), (1, stride), style), dense(width, (kernel, 1), (stride, 1), style)
        return seq(along=along, across=across)
    if kind == "skip":
        return Identity() if stride == 1 else halve(width, style)
    padding: Pair | Literal["same"] = kernel // 2 if style.padding is None else "same"
    # timm pads its strided "same" average by hand, and so counts the zeros (the weights of NASNet were trained without)
    count = padding == "same" and stride > 1
    return Pool("max" if kind == "max" else "avg", kernel, stride, padding=padding, count_padding=count)


@block
def step(left: Node, right: Node) -> Node:
    """left(a) + right(b)."""
    sides = {"left": (left, "in0"), "right": (right, "in1")}
    busy = {name: side for name, side in sides.items() if side[0] != Identity()}
    vertices = tuple(Vertex(name, body, (read,)) for name, (body, read) in busy.items())
    summed = tuple(name if name in busy else read for name, (_, read) in sides.items())
    return Dag(2, (*vertices, Vertex("add", Add(), summed)))


@block
def cell(genotype: Cell, width: Size, stride: int, style: Style, prepare: tuple[tuple[int, Node], ...]) -> Node:
    """The Dag of a cell on states 0 and 1, which `prepare` first brings to its width, in that order.

    Only operations that read states 0 and 1 have the stride.
    """
    names = ["in0", "in1"]
    vertices: list[Vertex] = []
    for state, body in prepare:
        names[state] = f"state{state}"
        vertices.append(Vertex(f"state{state}", body, (f"in{state}",)))
    for i, pair in enumerate(genotype.steps, 1):
        left, right = (operation(name, width, stride if state < 2 else 1, style) for name, state in pair)
        vertices.append(Vertex(f"step{i}", step(left, right), tuple(names[state] for _, state in pair)))
        names.append(f"step{i}")
    return Dag(2, (*vertices, Vertex("cat", Cat(), tuple(names[state] for state in genotype.concat))))


def wiring(dag: Node, width: Size, stride: int, style: Style, names: tuple[str, ...]) -> Cell | None:
    """The cell that a Dag of `cell` was built from, with operations of these names; None if it is none."""
    if not isinstance(dag, Dag):
        return None
    prepared = {vertex.name for vertex in dag.vertices}
    states = [f"state{i}" if f"state{i}" in prepared else f"in{i}" for i in (0, 1)]
    steps: list[tuple[Operation, Operation]] = []
    for vertex in dag.vertices:
        if vertex.name.startswith("step") and isinstance(vertex.body, Dag) and set(vertex.reads) <= set(states):
            sides = dict(vertex.body.children())
            read = [states.index(name) for name in vertex.reads]
            operations = [
                next((name for name in names if operation(name, width, stride if i < 2 else 1, style) == body), "")
                for i, body in zip(read, (sides.get(side, Identity()) for side in ("left", "right")), strict=True)
            ]
            if not all(operations):
                return None
            left, right = zip(operations, read, strict=True)
            steps.append((left, right))
            states.append(vertex.name)
    last = dag.vertices[-1]
    if not set(last.reads) <= set(states):
        return None
    return Cell(tuple(steps), tuple(states.index(name) for name in last.reads))
