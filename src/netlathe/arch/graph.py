"""graph(): an expression as a flat list of operators, the only thing that cost, device and report know."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import prod
from typing import NamedTuple

from netlathe.arch.combinators import Combinator, Residual, Side, Stage
from netlathe.arch.leaf import Leaf
from netlathe.arch.node import Node, Shape, Size
from netlathe.arch.types import UNTYPED, Types
from netlathe.errors import NetlatheError, ShapeError

MOST_OPERATORS = 250_000  # of a network; those of the zoo have up to 2,000

LONGEST_AXIS = 2**31 - 1  # of a tensor; searches for divisors of an axis rely on it


class Ref(NamedTuple):
    """A value of the graph: its number and its shape."""

    id: int
    shape: Shape


class Op(NamedTuple):
    """One operator. Elements are of one image; `weights` and `buffers` are the shapes of its tensors by name."""

    kind: str  # conv, linear, norm, act, pool, add ...
    form: str  # depthwise, pointwise, batch, relu ...
    path: str
    inputs: tuple[int, ...]
    output: int
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    weights: dict[str, Shape]
    buffers: dict[str, Shape]
    macs: Size
    view: bool
    leaf: Leaf | None = None  # None where the graph was read from a torch module or an ONNX file
    types: Types = UNTYPED  # of its values and tensors; those that are not here are in the network's precision
    inner: Size = 0  # elements that products inside of it write, such as scores of attention

    def __repr__(self) -> str:
        return describe(self._replace(inner=0), "types", "inner")  # which follows from the rest

    @property
    def params(self) -> Size:
        """Trainable elements."""
        return sum(prod(shape) for shape in self.weights.values())

    @property
    def data_shape(self) -> Shape:
        """The shape of the first value read; () where the operator reads constants alone, as products may."""
        return self.in_shapes[0] if self.in_shapes else ()

    @property
    def in_elements(self) -> Size:
        """Elements read, without weights."""
        return sum(prod(shape) for shape in self.in_shapes)

    @property
    def out_elements(self) -> Size:
        """Elements written."""
        return prod(self.out_shape)


class Graph(NamedTuple):
    """Operators in execution order. Value ids 0, 1, ... are the inputs, then every op adds one."""

    ops: tuple[Op, ...]
    input_shapes: tuple[Shape, ...]
    outputs: tuple[int, ...]
    shapes: tuple[Shape, ...]  # by value id
    types: Types = UNTYPED  # by value id, where it is not the network's precision
    precision: str = "fp32"  # what the network is written in: that of tensors without a type

    def __repr__(self) -> str:
        return describe(self, "types", "precision")


def describe(record: Op | Graph, *further: str) -> str:
    """A record in words that stay: keys of measurements rest on them. `further` fields are named where they say
    something."""
    defaults = record._field_defaults
    fields = {n: value for n, value in record._asdict().items() if n not in further or value != defaults[n]}
    return f"{type(record).__name__}({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


def graph(expression: Node, *inputs: Shape, training: bool = False) -> Graph:
    """Read an expression for inputs of the given shapes (without the batch axis).

    With `training` the heads of `Side` are read too and become further outputs. Raises ShapeError with the path of the
    operator where shapes do not fit, NetlatheError for more operators than any network has.
    """
    refuse_endless(expression)
    ops: list[Op] = []
    sides: list[int] = []
    shapes = list(inputs)

    def read(node: Node, path: str, *xs: Ref) -> Ref:
        if isinstance(node, Leaf):
            y = Ref(len(shapes), leaf_shape(node, tuple(x.shape for x in xs), path))
            ops.append(make_op(node, path, xs, y))
            shapes.append(y.shape)
            return y
        assert isinstance(node, Combinator), f"{path}: {node!r} is neither leaf nor combinator"
        if isinstance(node, Side):
            if training:
                sides.append(read(node.head, path, *xs).id)
            return xs[0]
        prefix = f"{path}." if path else ""
        try:
            return node.apply(lambda child, name, *ys: read(child, prefix + name if name else path, *ys), *xs)
        except ShapeError as error:
            error.path = error.path or path
            raise

    result = read(expression, "", *(Ref(i, shape) for i, shape in enumerate(inputs)))
    paths = [op.path for op in ops]
    if len(set(paths)) < len(paths):
        twice, _ = Counter(paths).most_common(1)[0]
        raise ShapeError("two operators have this path", path=twice, hint="name the parts: seq(first=..., second=...)")
    return Graph(tuple(ops), inputs, (result.id, *sides), tuple(shapes))


def leaf_shape(leaf: Leaf, xs: tuple[Shape, ...], path: str) -> Shape:
    """The shape that leaves a leaf, or a ShapeError that says where."""
    if leaf.inputs is not None and len(xs) != leaf.inputs:
        raise ShapeError(f"{leaf} reads {leaf.inputs} values, but {len(xs)} arrive", path=path)
    try:
        shape = leaf.out(*xs)
    except ShapeError as error:
        error.path = error.path or path
        raise
    if any(type(size) is int and size > LONGEST_AXIS for size in shape):
        raise ShapeError(f"an axis is longer than {LONGEST_AXIS:,}, which no runtime can index", path=path)
    return shape


def make_op(leaf: Leaf, path: str, xs: tuple[Ref, ...], y: Ref) -> Op:
    """The record of one leaf on given values."""
    shapes = tuple(x.shape for x in xs)
    return Op(
        kind=leaf.kind,
        form=leaf.form(*shapes),
        path=path,
        inputs=tuple(x.id for x in xs),
        output=y.id,
        in_shapes=shapes,
        out_shape=y.shape,
        weights=leaf.weights(*shapes),
        buffers=leaf.buffers(*shapes),
        macs=leaf.macs(y.shape, *shapes),
        view=leaf.view,
        leaf=leaf,
        inner=leaf.inner(*shapes),
    )


def refuse_endless(expression: Node) -> None:
    """Raise NetlatheError for an expression with more operators than any network has: it would have no end."""
    if count_operators(expression) > MOST_OPERATORS:
        message = f"this repeats without end: more than {MOST_OPERATORS:,} operators, the most that a network may have"
        raise NetlatheError(message, code="arch.size", hint="give a stage a smaller depth")


@lru_cache(maxsize=1 << 16)
def count_operators(node: Node) -> int:
    """How many operators an expression has, about; what repeats is not walked again."""
    if isinstance(node, Stage):
        first = 0 if node.first is None else count_operators(node.first)
        return first + (node.depth - (node.first is not None)) * count_operators(node.block)
    if isinstance(node, Leaf):
        return 1
    return sum(count_operators(child) for _, child in node.children()) + isinstance(node, Residual)
