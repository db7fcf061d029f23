"""One rule a leaf: how an operator is written in torch. Modules are torch.nn's own wherever it has one.

Tensors carry the batch axis first: maps (N, C, H, W), tokens (N, T, C), grids (N, H, W, C), rows (N, C).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import fx, nn
from torch.nn import functional as F

from netlathe.arch import joins, layers, pools, tokens
from netlathe.arch.graph import Op
from netlathe.arch.leaf import Leaf, pads, pair
from netlathe.lower import torch_modules
from netlathe.lower.fx_builder import FxNodeBuilder
from netlathe.lower.onnx_tokens import frequencies
from netlathe.lower.torch_axes import AXIS_RULES

ALL = slice(None)
ONEDNN_BLOCK = 16  # input channels that its kernels with AVX-512 take at a time


def conv(leaf: layers.Conv, op: Op, build: FxNodeBuilder) -> fx.Node:
    x, (shape,) = build.xs[0], op.in_shapes
    top, left, bottom, right = pads(shape, leaf.kernel, leaf.stride, leaf.padding, leaf.dilation)
    if (top, left) != (bottom, right):
        x, top, left = build(F.pad, x, (left, right, top, bottom)), 0, 0
    kernel, stride, groups = pair(leaf.kernel), pair(leaf.stride), leaf.group_count(shape)
    if kernel == (1, 1) and stride != (1, 1) and shape[0] < ONEDNN_BLOCK and (top, left) == (0, 0):
        # oneDNN's gradient of these weights, channels last, writes beyond its workspace (uxlfoundation/oneDNN #6035, in
        # torch 2.13): the process dies, or the gradient is wrong. The positions that are read are taken here instead.
        rows, columns = (slice(None, None, step) for step in stride)
        x, stride = build(operator.getitem, x, (ALL, ALL, rows, columns)), (1, 1)
    size = shape[0], op.out_shape[0], kernel, stride, (top, left), leaf.dilation, groups, leaf.bias
    return build.module(nn.Conv2d(*size), x)


def conv_transpose(leaf: layers.ConvTranspose, op: Op, build: FxNodeBuilder) -> fx.Node:
    channels = op.in_shapes[0][0], op.out_shape[0]
    return build.module(
        nn.ConvTranspose2d(*channels, pair(leaf.kernel), pair(leaf.stride), bias=leaf.bias), build.xs[0]
    )


def linear(leaf: layers.Linear, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(nn.Linear(op.in_shapes[0][-1], op.out_shape[-1], leaf.bias), build.xs[0])


def norm(leaf: layers.Norm, op: Op, build: FxNodeBuilder) -> fx.Node:
    axes, channels = len(op.in_shapes[0]), leaf.channels(op.in_shapes[0])
    if leaf.mode == "group":
        return build.module(nn.GroupNorm(leaf.groups, channels, leaf.eps), build.xs[0])
    if leaf.mode == "layer":  # of the last axis
        return permute_around(build, axes == 3, (0, 2, 3, 1), (0, 3, 1, 2), nn.LayerNorm(channels, leaf.eps))
    if axes == 3:
        return build.module(nn.BatchNorm2d(channels, leaf.eps), build.xs[0])
    return permute_around(build, axes == 2, (0, 2, 1), (0, 2, 1), nn.BatchNorm1d(channels, leaf.eps))  # of axis 1


def permute_around(
    build: FxNodeBuilder, move: bool, there: tuple[int, ...], back: tuple[int, ...], module: nn.Module
) -> fx.Node:
    """A norm on x, or between a permutation and its inverse where the channels are on another axis."""
    if not move:
        return build.module(module, build.xs[0])
    return build.method("permute", build.module(module, build.method("permute", build.xs[0], *there)), *back)


def act(leaf: layers.Act, op: Op, build: FxNodeBuilder) -> fx.Node:
    if leaf.function == "scaled_tanh":  # LeCun et al. 1998, appendix A: A tanh(S x) with A = 1.7159 and S = 2/3
        return build(operator.mul, build(torch.tanh, build(operator.mul, build.xs[0], 2 / 3)), 1.7159)
    return build.module(ACTS[leaf.function](build.free()), build.xs[0])


# By whether the input may be overwritten.
ACTS: dict[str, Callable[[bool], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "gelu": lambda free: nn.GELU(),
    "sigmoid": lambda free: nn.Sigmoid(),
    "tanh": lambda free: nn.Tanh(),
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "softmax": lambda free: nn.Softmax(-1),
}


def scale(leaf: layers.Scale, op: Op, build: FxNodeBuilder) -> fx.Node:
    channels, is_map = op.weights["weight"][0], len(op.in_shapes[0]) == 3
    return build.module(torch_modules.ScaleModule(channels, leaf.bias, is_map), build.xs[0])


def response_norm(leaf: layers.ResponseNorm, op: Op, build: FxNodeBuilder) -> fx.Node:
    channels, is_map = op.weights["weight"][0], len(op.in_shapes[0]) == 3
    return build.module(torch_modules.ResponseNormModule(channels, leaf.eps, is_map), build.xs[0])


def pool(leaf: pools.Pool, op: Op, build: FxNodeBuilder) -> fx.Node:
    x, kernel, stride = build.xs[0], pair(leaf.kernel), leaf.step()
    top, left, bottom, right = pads(op.in_shapes[0], kernel, stride, leaf.padding)
    sides, largest = [left, right, top, bottom], leaf.mode == "max"
    if (top, left) != (bottom, right):
        if not largest and not leaf.count_padding:
            size = op.in_shapes[0][1], op.in_shapes[0][2]
            return build.module(torch_modules.MeanInside(size, kernel, stride, sides), x)
        x, top, left = build(F.pad, x, sides, value=float("-inf") if largest else 0.0), 0, 0
    if largest:
        return build.module(nn.MaxPool2d(kernel, stride, (top, left), ceil_mode=leaf.ceil), x)
    return build.module(nn.AvgPool2d(kernel, stride, (top, left), leaf.ceil, leaf.count_padding), x)


def global_pool(leaf: pools.GlobalPool, op: Op, build: FxNodeBuilder) -> fx.Node:
    axes = len(op.in_shapes[0])
    return build.method("mean", build.xs[0], (1,) if axes == 2 else (1, 2) if axes == 4 else (2, 3), keepdim=axes == 3)


def adaptive_pool(leaf: pools.AdaptivePool, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(nn.AdaptiveAvgPool2d(leaf.size), build.xs[0])


def local_norm(leaf: pools.LocalNorm, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(nn.LocalResponseNorm(leaf.size, leaf.alpha, leaf.beta, leaf.bias), build.xs[0])


def add(leaf: joins.Add, op: Op, build: FxNodeBuilder) -> fx.Node:
    first, *others = build.xs
    result = first
    for i, other in enumerate(others):
        result = build(operator.iadd if i or build.free() else operator.add, result, other)
    return result


def subtract(leaf: joins.Subtract, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build(operator.sub, *build.xs)


def mul(leaf: joins.Mul, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build(operator.mul, *build.xs)


def cat(leaf: joins.Cat, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build(torch.cat, list(build.xs), 1)


def select(leaf: joins.Select, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build(operator.getitem, build.xs[0], (slice(None), list(leaf.channels)))


def condition(leaf: joins.Condition, op: Op, build: FxNodeBuilder) -> fx.Node:
    shift = build(operator.getitem, build.xs[1], (slice(None), slice(None), None, None))
    return build(operator.iadd if build.free() else operator.add, build.xs[0], shift)


def crop(leaf: joins.Crop, op: Op, build: FxNodeBuilder) -> fx.Node:
    sizes = zip(op.in_shapes[0][1:], op.out_shape[1:], strict=True)
    middle = (slice((n - k) // 2, (n - k) // 2 + k) for n, k in sizes)
    return build(operator.getitem, build.xs[0], (slice(None), slice(None), *middle))


def offset(leaf: joins.Offset, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build(F.pad, build.xs[0], (-1, 1, -1, 1))


def zero(leaf: joins.Zero, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build(operator.mul, build.xs[0], 0.0)


def upsample(leaf: joins.Upsample, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(nn.Upsample(scale_factor=leaf.factor), build.xs[0])


def flatten(leaf: joins.Flatten, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build(torch.flatten, build.xs[0], 1)


def rbf(leaf: joins.Rbf, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(torch_modules.Codes(leaf.classes, op.in_shapes[0][0]), build.xs[0])


def permute(leaf: Leaf, op: Op, build: FxNodeBuilder, order: tuple[int, ...]) -> fx.Node:
    return build.method("permute", build.xs[0], *order)


def as_tokens(leaf: tokens.Tokens, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.method("transpose", build.method("flatten", build.xs[0], 2), 1, 2)


def merge(leaf: tokens.Merge, op: Op, build: FxNodeBuilder) -> fx.Node:
    x, (_, high, wide, _) = build.xs[0], op.in_shapes[0]
    if high % 2 or wide % 2:
        x = build(F.pad, x, (0, 0, 0, wide % 2, 0, high % 2))
    rows = build.method("unflatten", build.method("unflatten", x, 2, (-1, 2)), 1, (-1, 2))
    return build.method("flatten", build.method("permute", rows, 0, 1, 3, 4, 2, 5), 3)


def class_token(leaf: tokens.ClassToken, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(torch_modules.ClassTokenModule(op.out_shape[1]), build.xs[0])


def first_token(leaf: tokens.FirstToken, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build(torch.select, build.xs[0], 1, 0)


def position(leaf: tokens.Position, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(torch_modules.PositionModule(*op.out_shape), build.xs[0])


def embedding(leaf: tokens.Embedding, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(nn.Embedding(leaf.vocabulary, leaf.width), build.xs[0])


def sinusoid(leaf: tokens.Sinusoid, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(torch_modules.SinusoidModule(frequencies(leaf.width)), build.xs[0])


def attention(leaf: tokens.Attention, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(torch_modules.AttentionModule(leaf.heads), build.xs[0])


def window_attention(leaf: tokens.WindowAttention, op: Op, build: FxNodeBuilder) -> fx.Node:
    _, high, wide, _ = op.in_shapes[0]
    return build.module(
        torch_modules.WindowAttentionModule((high, wide), leaf.heads, *leaf.window(op.in_shapes[0])), build.xs[0]
    )


Rules: TypeAlias = Mapping[type[Leaf], Callable[..., fx.Node]]

RULES: dict[type[Leaf], Callable[..., fx.Node]] = {
    layers.Conv: conv,
    layers.ConvTranspose: conv_transpose,
    layers.Linear: linear,
    layers.Norm: norm,
    layers.Act: act,
    layers.Scale: scale,
    layers.ResponseNorm: response_norm,
    pools.Pool: pool,
    pools.GlobalPool: global_pool,
    pools.AdaptivePool: adaptive_pool,
    pools.LocalNorm: local_norm,
    joins.Add: add,
    joins.Subtract: subtract,
    joins.Mul: mul,
    joins.Cat: cat,
    joins.Select: select,
    joins.Condition: condition,
    joins.Crop: crop,
    joins.Offset: offset,
    joins.Zero: zero,
    joins.Upsample: upsample,
    joins.Flatten: flatten,
    joins.Rbf: rbf,
    tokens.Grid: partial(permute, order=(0, 2, 3, 1)),
    tokens.Map: partial(permute, order=(0, 3, 1, 2)),
    tokens.Tokens: as_tokens,
    tokens.Merge: merge,
    tokens.ClassToken: class_token,
    tokens.FirstToken: first_token,
    tokens.Position: position,
    tokens.Embedding: embedding,
    tokens.Sinusoid: sinusoid,
    tokens.Attention: attention,
    tokens.WindowAttention: window_attention,
    **AXIS_RULES,
}
