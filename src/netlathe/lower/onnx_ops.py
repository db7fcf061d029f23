"""One rule a leaf: how an operator is written in ONNX. Operator reference: https://onnx.ai/onnx/operators/.

Values carry the batch axis first, so axis 1 is the channel axis of a map (N, C, H, W) and the last that of tokens
(N, T, C) and grids (N, H, W, C). A rule writes nodes with its pen and returns the name of the value that leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.graph import Op
from netlathe.arch.joins import Add, Cat, Condition, Crop, Flatten, Mul, Offset, Rbf, Select, Upsample, Zero
from netlathe.arch.layers import Act, Conv, ConvTranspose, Linear, Norm, Scale
from netlathe.arch.leaf import Leaf, pads, pair
from netlathe.arch.pools import AdaptivePool, GlobalPool, LocalNorm, Pool
from netlathe.errors import NetlatheError
from netlathe.lower.onnx_tokens import TOKEN_RULES
from netlathe.lower.pen import Pen


def conv(leaf: Conv, op: Op, pen: Pen) -> str:
    return pen(
        "Conv",
        pen.xs[0],
        pen.weight("weight"),
        pen.weight("bias"),
        kernel_shape=pair(leaf.kernel),
        strides=pair(leaf.stride),
        pads=pads(op.in_shapes[0], leaf.kernel, leaf.stride, leaf.padding, leaf.dilation),
        dilations=(leaf.dilation, leaf.dilation),
        group=leaf.group_count(op.in_shapes[0]),
    )


def conv_transpose(leaf: ConvTranspose, op: Op, pen: Pen) -> str:
    tensors = pen.weight("weight"), pen.weight("bias")
    return pen("ConvTranspose", pen.xs[0], *tensors, kernel_shape=pair(leaf.kernel), strides=pair(leaf.stride))


def linear(leaf: Linear, op: Op, pen: Pen) -> str:
    if len(op.in_shapes[0]) == 1:
        if pen.batch == 1 and prod(op.weights["weight"]) >= OUT_OF_CACHE:
            return linear_as_conv(op, pen)
        return pen("Gemm", pen.xs[0], pen.weight("weight"), pen.weight("bias"), transB=1)
    y = pen("MatMul", pen.xs[0], pen("Transpose", pen.weight("weight"), perm=(1, 0)))
    return pen("Add", y, pen.weight("bias")) if leaf.bias else y


def linear_as_conv(op: Op, pen: Pen) -> str:
    """A matrix that no cache holds times a single row: ONNX Runtime reads the weights of a 1x1 convolution faster."""
    x, weight = (pen("Unsqueeze", name, pen.ints(2, 3)) for name in (pen.xs[0], pen.weight("weight")))
    return pen("Flatten", pen("Conv", x, weight, pen.weight("bias"), kernel_shape=(1, 1)), axis=1)


OUT_OF_CACHE = 2**22  # weights; AlexNet runs 10 % faster and VGG 3 %, smaller matrices gain nothing


def norm(leaf: Norm, op: Op, pen: Pen) -> str:
    axes = len(op.in_shapes[0])
    tensors = [pen.weight(name) for name in ("weight", "bias", "running_mean", "running_var")]
    if leaf.mode == "batch":  # normalises axis 1
        return moved(pen, axes == 2, (0, 2, 1), "BatchNormalization", tensors, epsilon=leaf.eps)
    if leaf.mode == "group":
        return group_norm(leaf, op, pen)
    return moved(pen, axes == 3, (0, 2, 3, 1), "LayerNormalization", tensors, axis=-1, epsilon=leaf.eps)


def group_norm(leaf: Norm, op: Op, pen: Pen) -> str:
    """Instance norm with a group as one instance: ONNX Runtime has no kernel for GroupNormalization."""
    one, zero = pen.constant(np.ones(leaf.groups)), pen.constant(np.zeros(leaf.groups))
    groups = pen.reshape(pen.xs[0], 0, leaf.groups, -1)
    y = pen.reshape(pen("InstanceNormalization", groups, one, zero, epsilon=leaf.eps), 0, *op.out_shape)
    return pen("Add", pen("Mul", y, by_channel(pen, "weight")), by_channel(pen, "bias"))


def by_channel(pen: Pen, name: str) -> str:
    """A weight (C,) as one that works on a map: (C, 1, 1)."""
    return pen("Unsqueeze", pen.weight(name), pen.ints(1, 2))


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
    read = by_channel if len(op.in_shapes[0]) == 3 else Pen.weight
    y = pen("Mul", pen.xs[0], read(pen, "weight"))
    return pen("Add", y, read(pen, "bias")) if leaf.bias else y


def pool(leaf: Pool, op: Op, pen: Pen) -> str:
    """A last window that hangs over (`ceil`) becomes padding at the end, so that no runtime has to round.

    ONNX's end padding is never counted in a mean; where torch counts its own, that part is padded with zeros before.
    """
    x, kernel, stride, size = pen.xs[0], pair(leaf.kernel), leaf.step(), op.in_shapes[0]
    top, left, bottom, right = pads(size, kernel, stride, leaf.padding)
    reach = [(y - 1) * s + k for y, s, k in zip(op.out_shape[1:], stride, kernel, strict=True)]
    held = (size[1] + top, size[2] + left)
    if leaf.mode == "avg" and leaf.count_padding and (top or left or bottom or right):
        x = pen("Pad", x, pen.ints(0, 0, top, left, 0, 0, bottom, right))
        held, top, left = (held[0] + bottom, held[1] + right), 0, 0
    end = [max(0, r - n) for r, n in zip(reach, held, strict=True)]
    kind = "MaxPool" if leaf.mode == "max" else "AveragePool"
    return pen(kind, x, kernel_shape=kernel, strides=stride, pads=(top, left, *end))


def global_pool(leaf: GlobalPool, op: Op, pen: Pen) -> str:
    axes = len(op.in_shapes[0])
    if axes == 3:
        return pen("GlobalAveragePool", pen.xs[0])
    return pen("ReduceMean", pen.xs[0], pen.ints(*range(1, axes - (axes == 4))), keepdims=0)


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
    return pen("Gather", pen.xs[0], pen.ints(*leaf.channels), axis=1)


def condition(leaf: Condition, op: Op, pen: Pen) -> str:
    return pen("Add", pen.xs[0], pen("Unsqueeze", pen.xs[1], pen.ints(2, 3)))


def crop(leaf: Crop, op: Op, pen: Pen) -> str:
    (_, high, wide), (_, height, width) = op.in_shapes[0], op.out_shape
    top, left = (high - height) // 2, (wide - width) // 2
    return pen("Slice", pen.xs[0], pen.ints(top, left), pen.ints(top + height, left + width), pen.ints(2, 3))


def offset(leaf: Offset, op: Op, pen: Pen) -> str:
    return pen("Pad", pen.xs[0], pen.ints(0, 0, -1, -1, 0, 0, 1, 1))


def zero(leaf: Zero, op: Op, pen: Pen) -> str:
    return pen("Mul", pen.xs[0], pen.constant(0.0))


def upsample(leaf: Upsample, op: Op, pen: Pen) -> str:
    factors = pen.constant((1, 1, leaf.factor, leaf.factor))
    rounding = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return pen("Resize", pen.xs[0], "", factors, mode="nearest", **rounding)


def flatten(leaf: Flatten, op: Op, pen: Pen) -> str:
    return pen("Flatten", pen.xs[0], axis=1)


def rbf(leaf: Rbf, op: Op, pen: Pen) -> str:
    difference = pen("Sub", pen("Unsqueeze", pen.xs[0], pen.ints(1)), pen.weight("codes"))
    return pen("ReduceSumSquare", difference, pen.ints(2), keepdims=0)


RULES: dict[type[Leaf], Callable[..., str]] = {
    Conv: conv,
    ConvTranspose: conv_transpose,
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
    Condition: condition,
    Crop: crop,
    Offset: offset,
    Zero: zero,
    Upsample: upsample,
    Flatten: flatten,
    Rbf: rbf,
    **TOKEN_RULES,
}
