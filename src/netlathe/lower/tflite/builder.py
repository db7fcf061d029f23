"""TfliteBuilder: writes the operators of one leaf after the other.

Values are channels last: a map (C, H, W) is the tensor (1, H, W, C), tokens (T, C) are (1, T, C), features (C,) are
(1, C), and a grid (1, H, W, C) is itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from netlathe.arch.graph import Op
from netlathe.arch.node import Shape
from netlathe.lower.weights import Array, tensor_name
from netlathe.tflite.schema import Tensor, TfliteOperator

POSITIVE = ("RELU", "RELU6", "LOGISTIC", "SOFTMAX")
FROM_ZERO = ("relu", "relu6")


def tensor_shape(shape: Shape) -> tuple[int, ...]:
    """The shape of the tensor that holds a value, for one image."""
    if len(shape) == 3:
        return (1, shape[1], shape[2], shape[0])
    return tuple(shape) if len(shape) == 4 else (1, *shape)


class TfliteBuilder:
    """Tensors and operators so far, and the operator of the graph that is written now."""

    def __init__(self, weights: Mapping[str, Array], *, grow_kernels: bool = False) -> None:
        self.weights, self.grow_kernels = weights, grow_kernels
        self.tensors: list[Tensor] = []
        self.operators: list[TfliteOperator] = []
        self.channel_orders: dict[int, Shape] = {}  # of flattened maps that kept their channels last
        self.stacks: dict[int, int] = {}  # maps that are stacks of matrices too, see `axes`
        self.constants: dict[tuple[Any, ...], int] = {}
        self.op: Op
        self.xs: tuple[int, ...] = ()
        self.activation = ""  # that follows the operator and is done by it
        self.reads_any_order = False  # what reads a flattened map takes its features in any order
        self.count = 0

    def start(self, op: Op, xs: tuple[int, ...], activation: str) -> None:
        """Begin with an operator of the graph."""
        self.op, self.xs, self.activation, self.count = op, xs, activation, 0

    def __call__(self, kind: str, *inputs: int, shape: tuple[int, ...], **options: Any) -> int:
        """Write an operator; the number of its result."""
        return self.several(kind, [shape], *inputs, **options)[0]

    def several(self, kind: str, shapes: list[tuple[int, ...]], *inputs: int, **options: Any) -> list[int]:
        """An operator with several results; their numbers."""
        results = [self.add(Tensor(self.next_name(), shape)) for shape in shapes]
        self.operators.append(TfliteOperator(kind, inputs, tuple(results), options, self.op.path))
        return results

    def add(self, tensor: Tensor) -> int:
        """A new tensor; its number."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def next_name(self) -> str:
        """A name for a helper of the operator."""
        self.count += 1
        return f"{self.op.path}:{self.count}"

    def weight(self, name: str) -> Array | None:
        """A tensor of the operator by its own name; None where it has none of that name."""
        return self.weights.get(tensor_name(self.op.path, name))

    def constant(self, values: Any, dtype: str = "float32", name: str = "") -> int:
        """The number of a constant; equal whole numbers are written once."""
        array = np.asarray(values, dtype)
        key = (dtype, array.shape, array.tobytes()) if array.size <= 8 and not name else ()
        if key and key in self.constants:
            return self.constants[key]
        number = self.add(Tensor(name or self.next_name(), array.shape, dtype, array))
        if key:
            self.constants[key] = number
        return number

    def ints(self, *values: int) -> int:
        """A row of whole numbers: axes, shapes, positions."""
        return self.constant(values, "int32")

    def parameter(self, name: str, array: Array) -> int:
        """A constant made of a weight, under its name."""
        return self.constant(array, name=tensor_name(self.op.path, name))

    def shape(self, x: int) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self.tensors[x].shape

    def reshape(self, x: int, *shape: int) -> int:
        """The same numbers under another shape."""
        if self.shape(x) == shape:
            return x
        return self("RESHAPE", x, self.ints(*shape), shape=shape)

    def transpose(self, x: int, *order: int) -> int:
        """Axes in another order."""
        return self("TRANSPOSE", x, self.ints(*order), shape=tuple(self.shape(x)[i] for i in order))

    def pad(self, x: int, *sides: tuple[int, int], value: float = 0.0) -> int:
        """x with so much before and after each axis."""
        shape = tuple(n + sum(side) for n, side in zip(self.shape(x), sides, strict=True))
        amounts = self.constant(sides, "int32")
        if value:
            return self("PADV2", x, amounts, self.constant(value), shape=shape)
        return self("PAD", x, amounts, shape=shape)

    def slice(self, x: int, begin: tuple[int, ...], size: tuple[int, ...]) -> int:
        """A part of x."""
        return self("SLICE", x, self.ints(*begin), self.ints(*size), shape=size)

    def elementwise(self, kind: str, x: int, y: int, activation: str = "") -> int:
        """ADD, SUB, MUL or SQUARED_DIFFERENCE of tensors that broadcast."""
        shape = tuple(map(int, np.broadcast_shapes(self.shape(x), self.shape(y))))
        options = {} if kind == "SQUARED_DIFFERENCE" else {"activation": activation}
        return self(kind, x, y, shape=shape, **options)

    def like(self, kind: str, x: int, **options: Any) -> int:
        """An operator whose result has the shape of x."""
        return self(kind, x, shape=self.shape(x), **options)

    def mean(self, x: int, *axes: int, keep: bool = True) -> int:
        """The mean over axes."""
        sizes = self.shape(x)
        shape = tuple(1 if i in axes else n for i, n in enumerate(sizes) if keep or i not in axes)
        return self("MEAN", x, self.ints(*axes), shape=shape, keep_dims=keep)

    def is_positive(self, x: int) -> bool:
        """Whether the operator that made a tensor gives nothing below zero."""
        maker = next((op for op in self.operators if x in op.outputs), None)
        if maker is None:
            return False
        return maker.kind in POSITIVE or maker.options.get("activation", "") in FROM_ZERO

    def finish(self, y: int) -> int:
        """Give the result of the operator its path as a name, unless it is one that was there before."""
        if self.operators and y in self.operators[-1].outputs:
            self.tensors[y].name = self.op.path
        return y
