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
from netlathe.lower.onnx_tokens import frequencies
from netlathe.lower.torch_pen import Pen

ALL = slice(None)
ONEDNN_BLOCK = 16  # input channels that its kernels with AVX-512 take at a time


def conv(leaf: layers.Conv, op: Op, pen: Pen) -> fx.Node:
    x, (shape,) = pen.xs[0], op.in_shapes
    top, left, bottom, right = pads(shape, leaf.kernel, leaf.stride, leaf.padding, leaf.dilation)
    if (top, left) != (bottom, right):
        x, top, left = pen(F.pad, x, (left, right, top, bottom)), 0, 0
    kernel, stride, groups = pair(leaf.kernel), pair(leaf.stride), leaf.group_count(shape)
    if kernel == (1, 1) and stride != (1, 1) and shape[0] < ONEDNN_BLOCK and (top, left) == (0, 0):
        # oneDNN's gradient of these weights, channels last, writes beyond its workspace (uxlfoundation/oneDNN #6035, in
        # torch 2.13): the process dies, or the gradient is wrong. The positions that are read are taken here instead.
        rows, columns = (slice(None, None, step) for step in stride)
        x, stride = pen(operator.getitem, x, (ALL, ALL, rows, columns)), (1, 1)
    size = shape[0], op.out_shape[0], kernel, stride, (top, left), leaf.dilation, groups, leaf.bias
    return pen.module(nn.Conv2d(*size), x)


def conv_transpose(leaf: layers.ConvTranspose, op: Op, pen: Pen) -> fx.Node:
    channels = op.in_shapes[0][0], op.out_shape[0]
    return pen.module(nn.ConvTranspose2d(*channels, pair(leaf.kernel), pair(leaf.stride), bias=leaf.bias), pen.xs[0])


def linear(leaf: layers.Linear, op: Op, pen: Pen) -> fx.Node:
    return pen.module(nn.Linear(op.in_shapes[0][-1], op.out_shape[-1], leaf.bias), pen.xs[0])


def norm(leaf: layers.Norm, op: Op, pen: Pen) -> fx.Node:
    axes, channels = len(op.in_shapes[0]), leaf.channels(op.in_shapes[0])
    if leaf.mode == "group":
        return pen.module(nn.GroupNorm(leaf.groups, channels, leaf.eps), pen.xs[0])
    if leaf.mode == "layer":  # of the last axis
        return moved(pen, axes == 3, (0, 2, 3, 1), (0, 3, 1, 2), nn.LayerNorm(channels, leaf.eps))
    if axes == 3:
        return pen.module(nn.BatchNorm2d(channels, leaf.eps), pen.xs[0])
    return moved(pen, axes == 2, (0, 2, 1), (0, 2, 1), nn.BatchNorm1d(channels, leaf.eps))  # of axis 1


def moved(pen: Pen, move: bool, there: tuple[int, ...], back: tuple[int, ...], module: nn.Module) -> fx.Node:
    """A norm on x, or between a permutation and its inverse where the channels are on another axis."""
    if not move:
        return pen.module(module, pen.xs[0])
    return pen.method("permute", pen.module(module, pen.method("permute", pen.xs[0], *there)), *back)


def act(leaf: layers.Act, op: Op, pen: Pen) -> fx.Node:
    if leaf.function == "scaled_tanh":  # LeCun et al. 1998, appendix A: A tanh(S x) with A = 1.7159 and S = 2/3
        return pen(operator.mul, pen(torch.tanh, pen(operator.mul, pen.xs[0], 2 / 3)), 1.7159)
    return pen.module(ACTS[leaf.function](pen.free()), pen.xs[0])


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


def scale(leaf: layers.Scale, op: Op, pen: Pen) -> fx.Node:
    channels, is_map = op.weights["weight"][0], len(op.in_shapes[0]) == 3
    return pen.module(torch_modules.Scale(channels, leaf.bias, is_map), pen.xs[0])


def pool(leaf: pools.Pool, op: Op, pen: Pen) -> fx.Node:
    x, kernel, stride = pen.xs[0], pair(leaf.kernel), leaf.step()
    top, left, bottom, right = pads(op.in_shapes[0], kernel, stride, leaf.padding)
    sides, largest = [left, right, top, bottom], leaf.mode == "max"
    if (top, left) != (bottom, right):
        if not largest and not leaf.count_padding:
            size = op.in_shapes[0][1], op.in_shapes[0][2]
            return pen.module(torch_modules.MeanInside(size, kernel, stride, sides), x)
        x, top, left = pen(F.pad, x, sides, value=float("-inf") if largest else 0.0), 0, 0
    if largest:
        return pen.module(nn.MaxPool2d(kernel, stride, (top, left), ceil_mode=leaf.ceil), x)
    return pen.module(nn.AvgPool2d(kernel, stride, (top, left), leaf.ceil, leaf.count_padding), x)


def global_pool(leaf: pools.GlobalPool, op: Op, pen: Pen) -> fx.Node:
    axes = len(op.in_shapes[0])
    return pen.method("mean", pen.xs[0], (1,) if axes == 2 else (1, 2) if axes == 4 else (2, 3), keepdim=axes == 3)


def adaptive_pool(leaf: pools.AdaptivePool, op: Op, pen: Pen) -> fx.Node:
    return pen.module(nn.AdaptiveAvgPool2d(leaf.size), pen.xs[0])


def local_norm(leaf: pools.LocalNorm, op: Op, pen: Pen) -> fx.Node:
    return pen.module(nn.LocalResponseNorm(leaf.size, leaf.alpha, leaf.beta, leaf.bias), pen.xs[0])


def add(leaf: joins.Add, op: Op, pen: Pen) -> fx.Node:
    first, *others = pen.xs
    result = first
    for i, other in enumerate(others):
        result = pen(operator.iadd if i or pen.free() else operator.add, result, other)
    return result


def mul(leaf: joins.Mul, op: Op, pen: Pen) -> fx.Node:
    return pen(operator.mul, *pen.xs)


def cat(leaf: joins.Cat, op: Op, pen: Pen) -> fx.Node:
    return pen(torch.cat, list(pen.xs), 1)


def select(leaf: joins.Select, op: Op, pen: Pen) -> fx.Node:
    return pen(operator.getitem, pen.xs[0], (slice(None), list(leaf.channels)))


def condition(leaf: joins.Condition, op: Op, pen: Pen) -> fx.Node:
    shift = pen(operator.getitem, pen.xs[1], (slice(None), slice(None), None, None))
    return pen(operator.iadd if pen.free() else operator.add, pen.xs[0], shift)


def crop(leaf: joins.Crop, op: Op, pen: Pen) -> fx.Node:
    sizes = zip(op.in_shapes[0][1:], op.out_shape[1:], strict=True)
    middle = (slice((n - k) // 2, (n - k) // 2 + k) for n, k in sizes)
    return pen(operator.getitem, pen.xs[0], (slice(None), slice(None), *middle))


def offset(leaf: joins.Offset, op: Op, pen: Pen) -> fx.Node:
    return pen(F.pad, pen.xs[0], (-1, 1, -1, 1))


def zero(leaf: joins.Zero, op: Op, pen: Pen) -> fx.Node:
    return pen(operator.mul, pen.xs[0], 0.0)


def upsample(leaf: joins.Upsample, op: Op, pen: Pen) -> fx.Node:
    return pen.module(nn.Upsample(scale_factor=leaf.factor), pen.xs[0])


def flatten(leaf: joins.Flatten, op: Op, pen: Pen) -> fx.Node:
    return pen(torch.flatten, pen.xs[0], 1)


def rbf(leaf: joins.Rbf, op: Op, pen: Pen) -> fx.Node:
    return pen.module(torch_modules.Codes(leaf.classes, op.in_shapes[0][0]), pen.xs[0])


def permuted(leaf: Leaf, op: Op, pen: Pen, order: tuple[int, ...]) -> fx.Node:
    return pen.method("permute", pen.xs[0], *order)


def as_tokens(leaf: tokens.Tokens, op: Op, pen: Pen) -> fx.Node:
    return pen.method("transpose", pen.method("flatten", pen.xs[0], 2), 1, 2)


def merge(leaf: tokens.Merge, op: Op, pen: Pen) -> fx.Node:
    x, (_, high, wide, _) = pen.xs[0], op.in_shapes[0]
    if high % 2 or wide % 2:
        x = pen(F.pad, x, (0, 0, 0, wide % 2, 0, high % 2))
    rows = pen.method("unflatten", pen.method("unflatten", x, 2, (-1, 2)), 1, (-1, 2))
    return pen.method("flatten", pen.method("permute", rows, 0, 1, 3, 4, 2, 5), 3)


def class_token(leaf: tokens.ClassToken, op: Op, pen: Pen) -> fx.Node:
    return pen.module(torch_modules.ClassToken(op.out_shape[1]), pen.xs[0])


def first_token(leaf: tokens.FirstToken, op: Op, pen: Pen) -> fx.Node:
    return pen(torch.select, pen.xs[0], 1, 0)


def position(leaf: tokens.Position, op: Op, pen: Pen) -> fx.Node:
    return pen.module(torch_modules.Position(*op.out_shape), pen.xs[0])


def embedding(leaf: tokens.Embedding, op: Op, pen: Pen) -> fx.Node:
    return pen.module(nn.Embedding(leaf.vocabulary, leaf.width), pen.xs[0])


def sinusoid(leaf: tokens.Sinusoid, op: Op, pen: Pen) -> fx.Node:
    return pen.module(torch_modules.Sinusoid(frequencies(leaf.width)), pen.xs[0])


def attention(leaf: tokens.Attention, op: Op, pen: Pen) -> fx.Node:
    return pen.module(torch_modules.Attention(leaf.heads), pen.xs[0])


def window_attention(leaf: tokens.WindowAttention, op: Op, pen: Pen) -> fx.Node:
    _, high, wide, _ = op.in_shapes[0]
    return pen.module(torch_modules.WindowAttention((high, wide), leaf.heads, *leaf.window(op.in_shapes[0])), pen.xs[0])


Rules: TypeAlias = Mapping[type[Leaf], Callable[..., fx.Node]]

RULES: dict[type[Leaf], Callable[..., fx.Node]] = {
    layers.Conv: conv,
    layers.ConvTranspose: conv_transpose,
    layers.Linear: linear,
    layers.Norm: norm,
    layers.Act: act,
    layers.Scale: scale,
    pools.Pool: pool,
    pools.GlobalPool: global_pool,
    pools.AdaptivePool: adaptive_pool,
    pools.LocalNorm: local_norm,
    joins.Add: add,
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
    tokens.Grid: partial(permuted, order=(0, 2, 3, 1)),
    tokens.Map: partial(permuted, order=(0, 3, 1, 2)),
    tokens.Tokens: as_tokens,
    tokens.Merge: merge,
    tokens.ClassToken: class_token,
    tokens.FirstToken: first_token,
    tokens.Position: position,
    tokens.Embedding: embedding,
    tokens.Sinusoid: sinusoid,
    tokens.Attention: attention,
    tokens.WindowAttention: window_attention,
}
