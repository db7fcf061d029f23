"""The rules of Transformers: layouts, tokens, positions, attention. Grids and maps are the same tensor here."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from netlathe.arch.graph import Op
from netlathe.arch.leaf import Leaf
from netlathe.arch.tokens import (
    Attention,
    ClassToken,
    Embedding,
    FirstToken,
    Grid,
    Map,
    Merge,
    Position,
    Sinusoid,
    Tokens,
    WindowAttention,
)
from netlathe.lower.onnx_tokens import frequencies
from netlathe.lower.tflite.builder import TfliteBuilder, tensor_shape
from netlathe.lower.weights import Array
from netlathe.lower.windows import bias_index, gather_index, scatter_index, shift_mask


def unchanged(leaf: Leaf, op: Op, build: TfliteBuilder) -> int:
    return build.xs[0]


def tokens(leaf: Tokens, op: Op, build: TfliteBuilder) -> int:
    return build.reshape(build.xs[0], *tensor_shape(op.out_shape))


def merge(leaf: Merge, op: Op, build: TfliteBuilder) -> int:
    """The four neighbours are four strided slices."""
    x, (_, high, wide, channels) = build.xs[0], op.in_shapes[0]
    if high % 2 or wide % 2:
        x = build.pad(x, (0, 0), (0, high % 2), (0, wide % 2), (0, 0))
    size = build.shape(x)
    shape = (1, size[1] // 2, size[2] // 2, channels)
    ends = build.ints(*size), build.ints(1, 2, 2, 1)
    parts = [
        build("STRIDED_SLICE", x, build.ints(0, row, column, 0), *ends, shape=shape)
        for column in (0, 1)
        for row in (0, 1)
    ]
    return build("CONCATENATION", *parts, shape=tensor_shape(op.out_shape), axis=3, activation="")


def class_token(leaf: ClassToken, op: Op, build: TfliteBuilder) -> int:
    token = build.weight("token")
    assert token is not None
    first = build.parameter("token", token[None, None])
    return build("CONCATENATION", first, build.xs[0], shape=tensor_shape(op.out_shape), axis=1, activation="")


def first_token(leaf: FirstToken, op: Op, build: TfliteBuilder) -> int:
    width = op.out_shape[0]
    return build.reshape(build.slice(build.xs[0], (0, 0, 0), (1, 1, width)), 1, width)


def position(leaf: Position, op: Op, build: TfliteBuilder) -> int:
    weight = build.weight("weight")
    assert weight is not None
    return build.elementwise("ADD", build.xs[0], build.parameter("weight", weight[None]))


def embedding(leaf: Embedding, op: Op, build: TfliteBuilder) -> int:
    weight = build.weight("weight")
    assert weight is not None
    table = build.parameter("weight", weight)
    return build("GATHER", table, build.xs[0], shape=tensor_shape(op.out_shape), axis=0)


def sinusoid(leaf: Sinusoid, op: Op, build: TfliteBuilder) -> int:
    angles = build.elementwise("MUL", build.xs[0], build.constant([frequencies(leaf.width)]))
    parts = build.like("COS", angles), build.like("SIN", angles)
    return build("CONCATENATION", *parts, shape=tensor_shape(op.out_shape), axis=1, activation="")


def attention(leaf: Attention, op: Op, build: TfliteBuilder) -> int:
    *positions, channels = op.out_shape
    count = prod(positions)
    qkv = build.reshape(build.xs[0], 1, count, 3 * channels)
    return build.reshape(attend(build, qkv, 1, leaf.heads), *tensor_shape(op.out_shape))


def window_attention(leaf: WindowAttention, op: Op, build: TfliteBuilder) -> int:
    """Roll, padding and partition are one GATHER by position, and so is the way back."""
    (_, high, wide, channels), (side, shift) = op.out_shape, leaf.window(op.in_shapes[0])
    table = build.weight("bias")
    assert table is not None
    order = gather_index(high, wide, side, shift)
    windows, positions = order.shape
    x = build.reshape(build.xs[0], 1, high * wide, 3 * channels)
    if order.size > high * wide:
        x = build.pad(x, (0, 0), (0, 1), (0, 0))
    if windows > 1:
        x = build("GATHER", x, build.ints(*order.ravel()), shape=(1, order.size, 3 * channels), axis=1)
    bias = table[bias_index(side)].transpose(2, 0, 1)[None]
    if shift:
        bias = bias + shift_mask(high, wide, side, shift)[:, None]
    y = attend(build, build.reshape(x, windows, positions, 3 * channels), windows, leaf.heads, bias)
    y = build.reshape(y, 1, windows * positions, channels)
    if windows > 1:
        index = build.ints(*scatter_index(order, high * wide))
        y = build("GATHER", y, index, shape=(1, high * wide, channels), axis=1)
    return build.reshape(y, *tensor_shape(op.out_shape))


def attend(build: TfliteBuilder, qkv: int, count: int, heads: int, bias: Array | None = None) -> int:
    """softmax(q k^T / sqrt(width) + bias) v, (count, positions, 3 heads width) -> (count, positions, heads width)."""
    _, positions, tripled = build.shape(qkv)
    width = tripled // 3 // heads
    apart = build.reshape(qkv, count, positions, 3 * heads, width)
    parts = build.transpose(apart, 0, 2, 1, 3)
    shape = (count, heads, positions, width)
    q, k, v = build.several("SPLIT", [shape] * 3, build.constant(1, "int32"), parts, num_splits=3)
    q = build.elementwise("MUL", q, build.constant(width**-0.5))
    scores = build("BATCH_MATMUL", q, k, shape=(count, heads, positions, positions), adj_x=False, adj_y=True)
    if bias is not None:
        scores = build.elementwise("ADD", scores, build.parameter("bias", bias.astype(np.float32)))
    y = build("BATCH_MATMUL", build.like("SOFTMAX", scores, beta=1.0), v, shape=shape, adj_x=False, adj_y=False)
    return build.reshape(build.transpose(y, 0, 2, 1, 3), count, positions, heads * width)


TOKEN_RULES: dict[type[Leaf], Callable[..., int]] = {
    Grid: unchanged,
    Map: unchanged,
    Tokens: tokens,
    Merge: merge,
    ClassToken: class_token,
    FirstToken: first_token,
    Position: position,
    Embedding: embedding,
    Sinusoid: sinusoid,
    Attention: attention,
    WindowAttention: window_attention,
}
