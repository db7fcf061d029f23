"""One rule a leaf: how an operator is written in ONNX. Operator reference: https://onnx.ai/onnx/operators/.

Values carry the batch axis first, so axis 1 is the channel axis of a map (N, C, H, W) and the last that of tokens
(N, T, C) and grids (N, H, W, C). A rule writes nodes with its build and returns the name of the value that leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.graph import Op
from netlathe.arch.joins import Add, Cat, Condition, Crop, Flatten, Mul, Offset, Rbf, Select, Subtract, Upsample, Zero
from netlathe.arch.layers import Act, Conv, ConvTranspose, Linear, Norm, ResponseNorm, Scale
from netlathe.arch.leaf import Leaf, pads, pair
from netlathe.arch.pools import AdaptivePool, GlobalPool, LocalNorm, Pool
from netlathe.errors import NetlatheError
from netlathe.lower.onnx_axes import AXIS_RULES
from netlathe.lower.onnx_builder import OnnxNodeBuilder
from netlathe.lower.onnx_tokens import TOKEN_RULES


def conv(leaf: Conv, op: Op, build: OnnxNodeBuilder) -> str:
    return build(
        "Conv",
        build.xs[0],
        build.weight("weight"),
        build.weight("bias"),
        kernel_shape=pair(leaf.kernel),
        strides=pair(leaf.stride),
        pads=pads(op.in_shapes[0], leaf.kernel, leaf.stride, leaf.padding, leaf.dilation),
        dilations=(leaf.dilation, leaf.dilation),
        group=leaf.group_count(op.in_shapes[0]),
    )


def conv_transpose(leaf: ConvTranspose, op: Op, build: OnnxNodeBuilder) -> str:
    tensors = build.weight("weight"), build.weight("bias")
    return build("ConvTranspose", build.xs[0], *tensors, kernel_shape=pair(leaf.kernel), strides=pair(leaf.stride))


def linear(leaf: Linear, op: Op, build: OnnxNodeBuilder) -> str:
    if len(op.in_shapes[0]) == 1:
        if build.batch == 1 and prod(op.weights["weight"]) >= OUT_OF_CACHE:
            return linear_as_conv(op, build)
        return build("Gemm", build.xs[0], build.weight("weight"), build.weight("bias"), transB=1)
    y = build("MatMul", build.xs[0], build("Transpose", build.weight("weight"), perm=(1, 0)))
    return build("Add", y, build.weight("bias")) if leaf.bias else y


def linear_as_conv(op: Op, build: OnnxNodeBuilder) -> str:
    """A matrix that no cache holds times a single row: ONNX Runtime reads the weights of a 1x1 convolution faster."""
    x, weight = (build("Unsqueeze", name, build.ints(2, 3)) for name in (build.xs[0], build.weight("weight")))
    return build("Flatten", build("Conv", x, weight, build.weight("bias"), kernel_shape=(1, 1)), axis=1)


OUT_OF_CACHE = 2**22  # weights; AlexNet runs 10 % faster and VGG 3 %, smaller matrices gain nothing


def norm(leaf: Norm, op: Op, build: OnnxNodeBuilder) -> str:
    axes = len(op.in_shapes[0])
    tensors = [build.weight(name) for name in ("weight", "bias", "running_mean", "running_var")]
    if leaf.mode == "batch":  # normalises axis 1
        return transpose_around(build, axes == 2, (0, 2, 1), "BatchNormalization", tensors, epsilon=leaf.eps)
    if leaf.mode == "group":
        return group_norm(leaf, op, build)
    return transpose_around(build, axes == 3, (0, 2, 3, 1), "LayerNormalization", tensors, axis=-1, epsilon=leaf.eps)


def group_norm(leaf: Norm, op: Op, build: OnnxNodeBuilder) -> str:
    """Instance norm with a group as one instance: ONNX Runtime has no kernel for GroupNormalization."""
    one, zero = build.constant(np.ones(leaf.groups)), build.constant(np.zeros(leaf.groups))
    groups = build.reshape(build.xs[0], 0, leaf.groups, -1)
    y = build.reshape(build("InstanceNormalization", groups, one, zero, epsilon=leaf.eps), 0, *op.out_shape)
    return build("Add", build("Mul", y, by_channel(build, "weight")), by_channel(build, "bias"))


def by_channel(build: OnnxNodeBuilder, name: str) -> str:
    """A weight (C,) as one that works on a map: (C, 1, 1)."""
    return build("Unsqueeze", build.weight(name), build.ints(1, 2))


def transpose_around(
    build: OnnxNodeBuilder, move: bool, perm: tuple[int, ...], kind: str, tensors: list[str], **attributes: Any
) -> str:
    """A norm on x, or between a transposition and its inverse where the channels are on another axis."""
    if not move:
        return build(kind, build.xs[0], *tensors, **attributes)
    y = build(kind, build("Transpose", build.xs[0], perm=perm), *tensors, **attributes)
    return build("Transpose", y, perm=tuple(np.argsort(perm)))


def act(leaf: Act, op: Op, build: OnnxNodeBuilder) -> str:
    return ACTS[leaf.function](build, build.xs[0])


ACTS: dict[str, Callable[[OnnxNodeBuilder, str], str]] = {
    "relu": lambda build, x: build("Relu", x),
    "relu6": lambda build, x: build("Clip", x, build.constant(0), build.constant(6)),
    "silu": lambda build, x: build("Mul", x, build("Sigmoid", x)),
    "gelu": lambda build, x: build("Gelu", x),
    "sigmoid": lambda build, x: build("Sigmoid", x),
    "tanh": lambda build, x: build("Tanh", x),
    # LeCun et al. 1998, appendix A: A tanh(S x) with A = 1.7159 and S = 2/3.
    "scaled_tanh": lambda build, x: build(
        "Mul", build.constant(1.7159), build("Tanh", build("Mul", build.constant(2 / 3), x))
    ),
    "hardswish": lambda build, x: build("HardSwish", x),
    "hardsigmoid": lambda build, x: build("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "softmax": lambda build, x: build("Softmax", x, axis=-1),
}


def scale(leaf: Scale, op: Op, build: OnnxNodeBuilder) -> str:
    read = by_channel if len(op.in_shapes[0]) == 3 else OnnxNodeBuilder.weight
    y = build("Mul", build.xs[0], read(build, "weight"))
    return build("Add", y, read(build, "bias")) if leaf.bias else y


def response_norm(leaf: ResponseNorm, op: Op, build: OnnxNodeBuilder) -> str:
    x, is_map = build.xs[0], len(op.in_shapes[0]) == 3
    read = by_channel if is_map else OnnxNodeBuilder.weight
    length = build("ReduceL2", x, build.ints(*((2, 3) if is_map else (1, 2))), keepdims=1)
    mean = build("ReduceMean", length, build.ints(1 if is_map else 3), keepdims=1)
    n = build("Div", length, build("Add", mean, build.constant(leaf.eps)))
    scaled = build("Add", build("Mul", build("Mul", x, n), read(build, "weight")), read(build, "bias"))
    return build("Add", x, scaled)


def pool(leaf: Pool, op: Op, build: OnnxNodeBuilder) -> str:
    """A last window that hangs over (`ceil`) becomes padding at the end, so that no runtime has to round.

    ONNX's end padding is never counted in a mean; where torch counts its own, that part is padded with zeros before.
    """
    x, kernel, stride, size = build.xs[0], pair(leaf.kernel), leaf.step(), op.in_shapes[0]
    top, left, bottom, right = pads(size, kernel, stride, leaf.padding)
    reach = [(y - 1) * s + k for y, s, k in zip(op.out_shape[1:], stride, kernel, strict=True)]
    held = (size[1] + top, size[2] + left)
    if leaf.mode == "avg" and leaf.count_padding and (top or left or bottom or right):
        x = build("Pad", x, build.ints(0, 0, top, left, 0, 0, bottom, right))
        held, top, left = (held[0] + bottom, held[1] + right), 0, 0
    end = [max(0, r - n) for r, n in zip(reach, held, strict=True)]
    kind = "MaxPool" if leaf.mode == "max" else "AveragePool"
    return build(kind, x, kernel_shape=kernel, strides=stride, pads=(top, left, *end))


def global_pool(leaf: GlobalPool, op: Op, build: OnnxNodeBuilder) -> str:
    axes = len(op.in_shapes[0])
    if axes == 3:
        return build("GlobalAveragePool", build.xs[0])
    return build("ReduceMean", build.xs[0], build.ints(*range(1, axes - (axes == 4))), keepdims=0)


def adaptive_pool(leaf: AdaptivePool, op: Op, build: OnnxNodeBuilder) -> str:
    """y = A x B': rows of A and B average the window of one output; a plain pool where the windows are equal."""
    high, wide = op.in_shapes[0][1:]
    if (high, wide) == (leaf.size, leaf.size):
        return build.xs[0]
    if high % leaf.size == wide % leaf.size == 0:
        kernel = (high // leaf.size, wide // leaf.size)
        return build("AveragePool", build.xs[0], kernel_shape=kernel, strides=kernel)
    rows = build("MatMul", build.constant(windows(high, leaf.size)), build.xs[0])
    return build("MatMul", rows, build.constant(windows(wide, leaf.size).T))


def windows(size: int, count: int) -> NDArray[np.float64]:
    """Row i averages the positions from floor(i size / count) up to ceil((i + 1) size / count)."""
    matrix = np.zeros((count, size))
    for i in range(count):
        start, stop = i * size // count, -(-(i + 1) * size // count)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


def local_norm(leaf: LocalNorm, op: Op, build: OnnxNodeBuilder) -> str:
    if leaf.size % 2 == 0:
        raise NetlatheError(
            f"a local norm over {leaf.size} channels has no middle: ONNX Runtime needs an odd number",
            code="onnx.local_norm",
            path=op.path,
            hint=f"use {leaf.size - 1} or {leaf.size + 1}",
        )
    return build("LRN", build.xs[0], size=leaf.size, alpha=leaf.alpha, beta=leaf.beta, bias=leaf.bias)


def add(leaf: Add, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Add" if len(build.xs) == 2 else "Sum", *build.xs)


def subtract(leaf: Subtract, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Sub", *build.xs)


def mul(leaf: Mul, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Mul", *build.xs)


def cat(leaf: Cat, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Concat", *build.xs, axis=1)


def select(leaf: Select, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Gather", build.xs[0], build.ints(*leaf.channels), axis=1)


def condition(leaf: Condition, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Add", build.xs[0], build("Unsqueeze", build.xs[1], build.ints(2, 3)))


def crop(leaf: Crop, op: Op, build: OnnxNodeBuilder) -> str:
    (_, high, wide), (_, height, width) = op.in_shapes[0], op.out_shape
    top, left = (high - height) // 2, (wide - width) // 2
    return build("Slice", build.xs[0], build.ints(top, left), build.ints(top + height, left + width), build.ints(2, 3))


def offset(leaf: Offset, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Pad", build.xs[0], build.ints(0, 0, -1, -1, 0, 0, 1, 1))


def zero(leaf: Zero, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Mul", build.xs[0], build.constant(0.0))


def upsample(leaf: Upsample, op: Op, build: OnnxNodeBuilder) -> str:
    factors = build.constant((1, 1, leaf.factor, leaf.factor))
    rounding = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return build("Resize", build.xs[0], "", factors, mode="nearest", **rounding)


def flatten(leaf: Flatten, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Flatten", build.xs[0], axis=1)


def rbf(leaf: Rbf, op: Op, build: OnnxNodeBuilder) -> str:
    difference = build("Sub", build("Unsqueeze", build.xs[0], build.ints(1)), build.weight("codes"))
    return build("ReduceSumSquare", difference, build.ints(2), keepdims=0)


RULES: dict[type[Leaf], Callable[..., str]] = {
    Conv: conv,
    ConvTranspose: conv_transpose,
    Linear: linear,
    Norm: norm,
    Act: act,
    Scale: scale,
    ResponseNorm: response_norm,
    Pool: pool,
    GlobalPool: global_pool,
    AdaptivePool: adaptive_pool,
    LocalNorm: local_norm,
    Add: add,
    Subtract: subtract,
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
    **AXIS_RULES,
}
