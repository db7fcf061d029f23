"""One rule a leaf: how an operator is written for LiteRT, channels last.

Operators: https://ai.google.dev/edge/litert/models/ops_compatibility. A rule returns the number of the tensor that
leaves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.graph import Op
from netlathe.arch.joins import Add, Cat, Condition, Crop, Flatten, Mul, Offset, Rbf, Select, Subtract, Upsample, Zero
from netlathe.arch.layers import Act, Conv, ConvTranspose, Linear, Norm, ResponseNorm, Scale
from netlathe.arch.leaf import Leaf, pads, pair
from netlathe.arch.pools import AdaptivePool, GlobalPool, LocalNorm, Pool
from netlathe.lower.onnx_ops import windows
from netlathe.lower.tflite.axes import AXIS_RULES, from_stack, softmax
from netlathe.lower.tflite.builder import TfliteBuilder, tensor_shape
from netlathe.lower.tflite.padding import WindowPadding, find_padding
from netlathe.lower.tflite.tokens import TOKEN_RULES
from netlathe.lower.weights import Array

LOWEST = float(np.finfo(np.float32).min)


def conv(leaf: Conv, op: Op, build: TfliteBuilder) -> int:
    x, weight = op.in_shapes[0], build.weight("weight")
    assert weight is not None
    geometry = x, op.out_shape, leaf.kernel, leaf.stride, leaf.padding, leaf.dilation
    where = find_padding(*geometry, may_grow=build.grow_kernels)
    weight = np.pad(weight, ((0, 0), (0, 0), *where.grown))
    groups = leaf.group_count(x)
    high, wide = pair(leaf.stride)
    options = {
        "padding": where.rule,
        "stride_w": wide,
        "stride_h": high,
        "activation": build.activation,
        "dilation_w_factor": leaf.dilation,
        "dilation_h_factor": leaf.dilation,
    }
    tensors = [padded(build, build.xs[0], where)]
    if groups == x[0] and groups > 1:
        kind, options["depth_multiplier"] = "DEPTHWISE_CONV_2D", op.out_shape[0] // x[0]
        tensors.append(build.parameter("weight", weight.transpose(1, 2, 3, 0)))
    else:
        kind = "CONV_2D"
        tensors.append(build.parameter("weight", weight.transpose(0, 2, 3, 1)))
    tensors.append(bias_of(build, op.out_shape[0]))
    return build(kind, *tensors, shape=tensor_shape(op.out_shape), **options)


def bias_of(build: TfliteBuilder, width: int) -> int:
    """The bias of an operator, zeros where it has none: not every kernel can do without."""
    bias = build.weight("bias")
    return build.parameter("bias", np.zeros(width, np.float32) if bias is None else bias)


def padded(build: TfliteBuilder, x: int, where: WindowPadding, value: float = 0.0) -> int:
    """x with what the rule does not pad."""
    if not any(map(sum, where.padded)):
        return x
    return build.pad(x, (0, 0), *where.padded, (0, 0), value=value)


def conv_transpose(leaf: ConvTranspose, op: Op, build: TfliteBuilder) -> int:
    weight = build.weight("weight")
    assert weight is not None
    high, wide = pair(leaf.stride)
    shape = tensor_shape(op.out_shape)
    tensors = build.ints(*shape), build.parameter("weight", weight.transpose(1, 2, 3, 0)), build.xs[0]
    y = build("TRANSPOSE_CONV", *tensors, shape=shape, padding="VALID", stride_w=wide, stride_h=high)
    bias = build.weight("bias")
    return y if bias is None else build.elementwise("ADD", y, build.parameter("bias", bias))


def linear(leaf: Linear, op: Op, build: TfliteBuilder) -> int:
    weight, x = build.weight("weight"), build.xs[0]
    assert weight is not None
    shape = tensor_shape(op.out_shape)
    if len(op.out_shape) == 4:  # a grid: a 1x1 convolution, which every delegate has
        tensors = x, build.parameter("weight", weight[:, None, None]), bias_of(build, shape[-1])
        options = {"padding": "VALID", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
        return build("CONV_2D", *tensors, shape=shape, activation=build.activation, **options)
    if x in build.channel_orders:  # the features are those of a map, channels last
        channels, high, wide = build.channel_orders[x]
        weight = weight.reshape(-1, channels, high, wide).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    tensors = x, build.parameter("weight", weight), bias_of(build, shape[-1])
    keep = len(op.out_shape) > 1
    return build("FULLY_CONNECTED", *tensors, shape=shape, activation=build.activation, keep_num_dims=keep)


def norm(leaf: Norm, op: Op, build: TfliteBuilder) -> int:
    x, weight, bias = build.xs[0], build.weight("weight"), build.weight("bias")
    assert weight is not None
    assert bias is not None
    if leaf.mode == "batch":
        if len(op.in_shapes[0]) == 2:  # over tokens the channels are the rows
            weight, bias = weight[:, None], bias[:, None]
        mean, variance = build.weight("running_mean"), build.weight("running_var")
        assert mean is not None
        assert variance is not None
        factor = weight / np.sqrt(variance.reshape(weight.shape).astype(np.float64) + leaf.eps)
        shift = bias - mean.reshape(weight.shape) * factor
        return scale_and_shift(build, x, factor.astype(np.float32), shift.astype(np.float32))
    if leaf.mode == "group":
        _, high, wide, channels = shape = build.shape(x)
        parts = build.reshape(x, 1, high * wide, leaf.groups, channels // leaf.groups)
        return scale_and_shift(build, build.reshape(standardise(build, parts, leaf.eps, 1, 3), *shape), weight, bias)
    return scale_and_shift(build, standardise(build, x, leaf.eps, len(build.shape(x)) - 1), weight, bias)


def response_norm(leaf: ResponseNorm, op: Op, build: TfliteBuilder) -> int:
    """x (1 + w n) + b, n the length of a channel over the mean of all lengths."""
    x, weight, bias = build.xs[0], build.weight("weight"), build.weight("bias")
    assert weight is not None
    assert bias is not None
    lengths = (1, 1, 1, build.shape(x)[3])
    squares = build.elementwise("MUL", x, x)
    length = build.like("SQRT", build("SUM", squares, build.ints(1, 2), shape=lengths, keep_dims=True))
    n = build.elementwise("DIV", length, build.elementwise("ADD", build.mean(length, 3), build.constant(leaf.eps)))
    factor = build.elementwise(
        "ADD", build.elementwise("MUL", n, build.parameter("weight", weight)), build.constant(1.0)
    )
    y = build.elementwise("MUL", x, factor)
    return build.elementwise("ADD", y, build.parameter("bias", bias))


def standardise(build: TfliteBuilder, x: int, eps: float, *axes: int) -> int:
    """(x - mean) / sqrt(var + eps) over axes."""
    centred = build.elementwise("SUB", x, build.mean(x, *axes))
    variance = build.mean(build.elementwise("MUL", centred, centred), *axes)
    factor = build.like("RSQRT", build.elementwise("ADD", variance, build.constant(eps)))
    return build.elementwise("MUL", centred, factor)


def scale_and_shift(build: TfliteBuilder, x: int, factor: Array, shift: Array | None) -> int:
    """factor x + shift, by channel."""
    y = build.elementwise("MUL", x, build.parameter("weight", factor), "" if shift is not None else build.activation)
    return y if shift is None else build.elementwise("ADD", y, build.parameter("bias", shift), build.activation)


def scale(leaf: Scale, op: Op, build: TfliteBuilder) -> int:
    weight = build.weight("weight")
    assert weight is not None
    return scale_and_shift(build, build.xs[0], weight, build.weight("bias"))


def act(leaf: Act, op: Op, build: TfliteBuilder) -> int:
    if leaf.function == "softmax":
        return softmax(build, build.xs[0])
    if build.xs[0] in build.stacks:
        return from_stack(build, ACTS[leaf.function](build, build.stacks[build.xs[0]]))
    y = ACTS[leaf.function](build, build.xs[0])
    if build.xs[0] in build.channel_orders:
        build.channel_orders[y] = build.channel_orders[build.xs[0]]
    return y


ACTS: dict[str, Callable[[TfliteBuilder, int], int]] = {
    "relu": lambda build, x: build.like("RELU", x),
    "relu6": lambda build, x: build.like("RELU6", x),
    "silu": lambda build, x: build.elementwise("MUL", x, build.like("LOGISTIC", x)),
    "gelu": lambda build, x: build.like("GELU", x, approximate=False),
    "sigmoid": lambda build, x: build.like("LOGISTIC", x),
    "tanh": lambda build, x: build.like("TANH", x),
    # LeCun et al. 1998, appendix A: A tanh(S x) with A = 1.7159 and S = 2/3.
    "scaled_tanh": lambda build, x: build.elementwise(
        "MUL", build.like("TANH", build.elementwise("MUL", x, build.constant(2 / 3))), build.constant(1.7159)
    ),
    "hardswish": lambda build, x: build.like("HARD_SWISH", x),
    "hardsigmoid": lambda build, x: build.elementwise(
        "MUL", build.elementwise("ADD", x, build.constant(3.0), "relu6"), build.constant(1 / 6)
    ),
}


def pool(leaf: Pool, op: Op, build: TfliteBuilder) -> int:
    """SAME leaves out what it pads; an operator that pads counts it, which a mean has to undo unless it wants that."""
    kind = "MAX_POOL_2D" if leaf.mode == "max" else "AVERAGE_POOL_2D"
    counts = leaf.mode == "avg" and leaf.count_padding
    rules = ("VALID",) if counts else ("VALID", "SAME")
    geometry = op.in_shapes[0], op.out_shape, leaf.kernel, leaf.step(), leaf.padding
    where = find_padding(*geometry, may_grow=False, rules=rules)
    lowest = 0.0 if leaf.mode == "avg" or build.is_positive(build.xs[0]) else LOWEST
    x = padded(build, build.xs[0], where, lowest)
    shares = None if leaf.mode == "max" or where.rule == "SAME" else divisors(leaf, op, where)
    (high, wide), (kh, kw) = leaf.step(), pair(leaf.kernel)
    options = {"stride_w": wide, "stride_h": high, "filter_width": kw, "filter_height": kh}
    activation = build.activation if shares is None else ""
    y = build(kind, x, shape=tensor_shape(op.out_shape), padding=where.rule, activation=activation, **options)
    if shares is None:
        return y
    return build.elementwise("MUL", y, build.constant(shares.astype(np.float32)), build.activation)


def divisors(leaf: Pool, op: Op, where: WindowPadding) -> NDArray[np.float64] | None:
    """What a mean over whole windows is multiplied by, (1, H, W, 1), so that it divides by what torch does; or None.

    Torch divides by the inner positions, or with `count_padding` by those of the padded map, never by what hangs over.
    """
    before = pads(op.in_shapes[0], leaf.kernel, leaf.step(), leaf.padding)
    factors = []
    for axis, (k, s) in enumerate(zip(pair(leaf.kernel), leaf.step(), strict=True)):
        n, top, bottom = op.in_shapes[0][1 + axis], before[axis], before[2 + axis]
        first, last = (-top, n + bottom) if leaf.count_padding else (0, n)
        starts = np.arange(op.out_shape[1 + axis]) * s - top
        factors.append(k / (np.minimum(starts + k, last) - np.maximum(starts, first)))
    shares = np.outer(*factors)[None, :, :, None]
    return None if np.all(shares == 1) else shares


def global_pool(leaf: GlobalPool, op: Op, build: TfliteBuilder) -> int:
    axes = len(op.in_shapes[0])
    if axes == 2:
        return build.mean(build.xs[0], 1, keep=False)
    return build.mean(build.xs[0], 1, 2, keep=axes == 3)


def adaptive_pool(leaf: AdaptivePool, op: Op, build: TfliteBuilder) -> int:
    """A plain pool where the windows are equal; else rows, then columns, are averaged by a matrix."""
    x, (channels, high, wide) = build.xs[0], op.in_shapes[0]
    if (high, wide) == (leaf.size, leaf.size):
        return x
    if high % leaf.size == wide % leaf.size == 0:
        kh, kw = high // leaf.size, wide // leaf.size
        options = {"stride_w": kw, "stride_h": kh, "filter_width": kw, "filter_height": kh}
        shape = tensor_shape(op.out_shape)
        return build("AVERAGE_POOL_2D", x, shape=shape, padding="VALID", activation="", **options)
    rows = build.constant(windows(high, leaf.size)[None])
    y = build.reshape(x, 1, high, wide * channels)
    y = build("BATCH_MATMUL", rows, y, shape=(1, leaf.size, wide * channels))
    y = build.reshape(y, leaf.size, wide, channels)
    columns = build.constant(np.repeat(windows(wide, leaf.size)[None], leaf.size, 0))
    y = build("BATCH_MATMUL", columns, y, shape=(leaf.size, leaf.size, channels))
    return build.reshape(y, *tensor_shape(op.out_shape))


def local_norm(leaf: LocalNorm, op: Op, build: TfliteBuilder) -> int:
    options = {"radius": leaf.size // 2, "bias": leaf.bias, "alpha": leaf.alpha / leaf.size, "beta": leaf.beta}
    return build.like("LOCAL_RESPONSE_NORMALIZATION", build.xs[0], **options)


def add(leaf: Add, op: Op, build: TfliteBuilder) -> int:
    y, *others = build.xs
    for i, x in enumerate(others):
        y = build.elementwise("ADD", y, x, build.activation if i == len(others) - 1 else "")
    return y


def subtract(leaf: Subtract, op: Op, build: TfliteBuilder) -> int:
    x, y = build.xs
    return build.elementwise("SUB", x, y)


def mul(leaf: Mul, op: Op, build: TfliteBuilder) -> int:
    x, gate = build.xs
    return build.elementwise("MUL", x, gate, build.activation)


def cat(leaf: Cat, op: Op, build: TfliteBuilder) -> int:
    axis = len(tensor_shape(op.out_shape)) - 1 if len(op.out_shape) == 3 else 1
    return build("CONCATENATION", *build.xs, shape=tensor_shape(op.out_shape), axis=axis, activation="")


def select(leaf: Select, op: Op, build: TfliteBuilder) -> int:
    first, count, shape = leaf.channels[0], len(leaf.channels), tensor_shape(op.out_shape)
    if leaf.channels == tuple(range(first, first + count)):
        return build.slice(build.xs[0], (0, 0, 0, first), shape)
    return build("GATHER", build.xs[0], build.ints(*leaf.channels), shape=shape, axis=3)


def condition(leaf: Condition, op: Op, build: TfliteBuilder) -> int:
    return build.elementwise("ADD", build.xs[0], build.reshape(build.xs[1], 1, 1, 1, op.out_shape[0]))


def crop(leaf: Crop, op: Op, build: TfliteBuilder) -> int:
    (_, high, wide), (_, height, width) = op.in_shapes[0], op.out_shape
    return build.slice(build.xs[0], (0, (high - height) // 2, (wide - width) // 2, 0), tensor_shape(op.out_shape))


def offset(leaf: Offset, op: Op, build: TfliteBuilder) -> int:
    _, high, wide, channels = tensor_shape(op.out_shape)
    rest = build.slice(build.xs[0], (0, 1, 1, 0), (1, high - 1, wide - 1, channels))
    return build.pad(rest, (0, 0), (0, 1), (0, 1), (0, 0))


def zero(leaf: Zero, op: Op, build: TfliteBuilder) -> int:
    return build.elementwise("MUL", build.xs[0], build.constant(0.0))


def upsample(leaf: Upsample, op: Op, build: TfliteBuilder) -> int:
    shape = tensor_shape(op.out_shape)
    size = build.ints(*shape[1:3])
    options = {"align_corners": False, "half_pixel_centers": False}
    return build("RESIZE_NEAREST_NEIGHBOR", build.xs[0], size, shape=shape, **options)


def flatten(leaf: Flatten, op: Op, build: TfliteBuilder) -> int:
    """A map of several positions keeps its channels last where linear layers read it; their weights follow."""
    x, shape = build.xs[0], op.in_shapes[0]
    many = len(shape) == 3 and shape[1] * shape[2] > 1 and shape[0] > 1
    if many and not build.reads_any_order:
        x = build.transpose(x, 0, 3, 1, 2)
    y = build.reshape(x, *tensor_shape(op.out_shape))
    if many and build.reads_any_order:
        build.channel_orders[y] = shape
    return y


def rbf(leaf: Rbf, op: Op, build: TfliteBuilder) -> int:
    codes = build.weight("codes")
    assert codes is not None
    squares = build.elementwise("SQUARED_DIFFERENCE", build.xs[0], build.parameter("codes", codes))
    total = build("SUM", squares, build.ints(1), shape=(len(codes),), keep_dims=False)
    return build.reshape(total, 1, len(codes))


RULES: dict[type[Leaf], Callable[..., int]] = {
    Conv: conv,
    ConvTranspose: conv_transpose,
    Linear: linear,
    Norm: norm,
    Act: act,
    ResponseNorm: response_norm,
    Scale: scale,
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
