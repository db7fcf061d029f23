"""One rule a leaf: how an operator is written in ONNX. Operator reference: https://onnx.ai/onnx/operators/.

Values carry the batch axis first, so axis 1 is the channel axis of a map (N, C, H, W) and the last that of tokens
(N, T, C). A rule writes nodes with its pen and returns the name of the value that leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from netlathe.arch.graph import Op
from netlathe.arch.joins import Add, Cat, Flatten, Mul, Rbf, Select
from netlathe.arch.layers import Act, Conv, Linear, Norm, Scale
from netlathe.arch.leaf import Leaf, pair
from netlathe.arch.pools import AdaptivePool, GlobalPool, LocalNorm, Pool
from netlathe.errors import NetlatheError
from netlathe.lower.weights import tensor_name


class Pen:
    """Writes the nodes of one operator: `pen("Relu", x)` adds a node and gives the name of its output."""

    def __init__(self, op: Op, xs: tuple[str, ...]) -> None:
        self.op, self.xs = op, xs
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{self.op.path}:{len(self.nodes) + 1}"
        said = [x for x in inputs if x]  # an absent tensor can only be the last
        self.nodes.append(onnx.helper.make_node(kind, said, [name], name, **attributes))
        return name

    def weight(self, name: str) -> str:
        """The name of a weight or buffer, empty where the operator has none of that name."""
        known = name in self.op.weights or name in self.op.buffers
        return tensor_name(self.op.path, name) if known else ""

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        """The name of a new constant."""
        name = f"{self.op.path}:c{len(self.constants) + 1}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def finish(self, y: str, name: str) -> None:
        """Let the last node write the value `name` and carry the operator's path."""
        if not self.nodes:
            self("Identity", y)
        last = self.nodes[-1]
        last.name, last.output[0] = self.op.path, name


def conv(leaf: Conv, op: Op, pen: Pen) -> str:
    return pen(
        "Conv",
        pen.xs[0],
        pen.weight("weight"),
        pen.weight("bias"),
        kernel_shape=pair(leaf.kernel),
        strides=pair(leaf.stride),
        pads=leaf.pad() * 2,
        dilations=(leaf.dilation, leaf.dilation),
        group=leaf.group_count(op.in_shapes[0]),
    )


def linear(leaf: Linear, op: Op, pen: Pen) -> str:
    if len(op.in_shapes[0]) == 1:
        return pen("Gemm", pen.xs[0], pen.weight("weight"), pen.weight("bias"), transB=1)
    y = pen("MatMul", pen.xs[0], pen("Transpose", pen.weight("weight"), perm=(1, 0)))
    return pen("Add", y, pen.weight("bias")) if leaf.bias else y


def norm(leaf: Norm, op: Op, pen: Pen) -> str:
    axes = len(op.in_shapes[0])
    tensors = [pen.weight(name) for name in ("weight", "bias", "running_mean", "running_var")]
    if leaf.mode == "batch":  # normalises axis 1
        return moved(pen, axes == 2, (0, 2, 1), "BatchNormalization", tensors, epsilon=leaf.eps)
    return moved(pen, axes == 3, (0, 2, 3, 1), "LayerNormalization", tensors, axis=-1, epsilon=leaf.eps)


def moved(pen: Pen, move: bool, perm: tuple[int, ...], kind: str, tensors: list[str], **attributes: Any) -> str:
    """A norm on x, or between a transposition and its inverse where the channels are on another axis."""
    if not move:
        return pen(kind, pen.xs[0], *tensors, **attributes)
    y = pen(kind, pen("Transpose", pen.xs[0], perm=perm), *tensors, **attributes)
    return pen("Transpose", y, perm=tuple(np.argsort(perm)))


def act(leaf: Act, op: Op, pen: Pen) -> str:
    return ACTS[leaf.function](pen, pen.xs[0])


ACTS: dict[str, Callable[[Pen, str], str]] = {
    "relu": lambda pen, x: pen("Relu", x),
    "relu6": lambda pen, x: pen("Clip", x, pen.constant(0), pen.constant(6)),
    "silu": lambda pen, x: pen("Mul", x, pen("Sigmoid", x)),
    "gelu": lambda pen, x: pen("Gelu", x),
    "sigmoid": lambda pen, x: pen("Sigmoid", x),
    "tanh": lambda pen, x: pen("Tanh", x),
    # LeCun et al. 1998, appendix A: A tanh(S x) with A = 1.7159 and S = 2/3.
    "scaled_tanh": lambda pen, x: pen("Mul", pen.constant(1.7159), pen("Tanh", pen("Mul", pen.constant(2 / 3), x))),
    "hardswish": lambda pen, x: pen("HardSwish", x),
    "hardsigmoid": lambda pen, x: pen("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "softmax": lambda pen, x: pen("Softmax", x, axis=-1),
}


def scale(leaf: Scale, op: Op, pen: Pen) -> str:
    def by_channel(name: str) -> str:
        tensor = pen.weight(name)
        return pen("Unsqueeze", tensor, pen.constant([1, 2], np.int64)) if len(op.in_shapes[0]) == 3 else tensor

    y = pen("Mul", pen.xs[0], by_channel("weight"))
    return pen("Add", y, by_channel("bias")) if leaf.bias else y


def pool(leaf: Pool, op: Op, pen: Pen) -> str:
    """A last window that hangs over (`ceil`) becomes padding at the end, so that no runtime has to round.

    ONNX's end padding is never counted in a mean; where torch counts its own, that part is padded with zeros before.
    """
    x, kernel, stride, start = pen.xs[0], pair(leaf.kernel), leaf.step(), pair(leaf.padding)
    reach = [(y - 1) * s + k for y, s, k in zip(op.out_shape[1:], stride, kernel, strict=True)]
    if leaf.mode == "avg" and leaf.count_padding and any(start):
        x = pen("Pad", x, pen.constant((0, 0, *start) * 2, np.int64))
        size, start = [n + 2 * p for n, p in zip(op.in_shapes[0][1:], start, strict=True)], (0, 0)
    else:
        size = [n + p for n, p in zip(op.in_shapes[0][1:], start, strict=True)]
    end = [max(0, r - n) for r, n in zip(reach, size, strict=True)]
    kind = "MaxPool" if leaf.mode == "max" else "AveragePool"
    return pen(kind, x, kernel_shape=kernel, strides=stride, pads=(*start, *end))


def global_pool(leaf: GlobalPool, op: Op, pen: Pen) -> str:
    return pen("GlobalAveragePool", pen.xs[0])


def adaptive_pool(leaf: AdaptivePool, op: Op, pen: Pen) -> str:
    """y = A x B': rows of A and B average the window of one output; a plain pool where the windows are equal."""
    high, wide = op.in_shapes[0][1:]
    if (high, wide) == (leaf.size, leaf.size):
        return pen.xs[0]
    if high % leaf.size == wide % leaf.size == 0:
        kernel = (high // leaf.size, wide // leaf.size)
        return pen("AveragePool", pen.xs[0], kernel_shape=kernel, strides=kernel)
    rows = pen("MatMul", pen.constant(windows(high, leaf.size)), pen.xs[0])
    return pen("MatMul", rows, pen.constant(windows(wide, leaf.size).T))


def windows(size: int, count: int) -> NDArray[np.float64]:
    """Row i averages the positions from floor(i size / count) up to ceil((i + 1) size / count)."""
    matrix = np.zeros((count, size))
    for i in range(count):
        start, stop = i * size // count, -(-(i + 1) * size // count)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


def local_norm(leaf: LocalNorm, op: Op, pen: Pen) -> str:
    if leaf.size % 2 == 0:
        raise NetlatheError(
            f"a local norm over {leaf.size} channels has no middle: ONNX Runtime needs an odd number",
            code="onnx.local_norm",
            path=op.path,
            hint=f"use {leaf.size - 1} or {leaf.size + 1}",
        )
    return pen("LRN", pen.xs[0], size=leaf.size, alpha=leaf.alpha, beta=leaf.beta, bias=leaf.bias)


def add(leaf: Add, op: Op, pen: Pen) -> str:
    return pen("Add" if len(pen.xs) == 2 else "Sum", *pen.xs)


def mul(leaf: Mul, op: Op, pen: Pen) -> str:
    return pen("Mul", *pen.xs)


def cat(leaf: Cat, op: Op, pen: Pen) -> str:
    return pen("Concat", *pen.xs, axis=1)


def select(leaf: Select, op: Op, pen: Pen) -> str:
    return pen("Gather", pen.xs[0], pen.constant(leaf.channels, np.int64), axis=1)


def flatten(leaf: Flatten, op: Op, pen: Pen) -> str:
    return pen("Flatten", pen.xs[0], axis=1)


def rbf(leaf: Rbf, op: Op, pen: Pen) -> str:
    difference = pen("Sub", pen("Unsqueeze", pen.xs[0], pen.constant([1], np.int64)), pen.weight("codes"))
    return pen("ReduceSumSquare", difference, pen.constant([2], np.int64), keepdims=0)


RULES: dict[type[Leaf], Callable[..., str]] = {
    Conv: conv,
    Linear: linear,
    Norm: norm,
    Act: act,
    Scale: scale,
    Pool: pool,
    GlobalPool: global_pool,
    AdaptivePool: adaptive_pool,
    LocalNorm: local_norm,
    Add: add,
    Mul: mul,
    Cat: cat,
    Select: select,
    Flatten: flatten,
    Rbf: rbf,
}
