"""The ONNX rules of Transformers: layouts, tokens, positions, attention.

Tokens are (N, T, C) and a grid is (N, H, W, C): the batch axis takes the place of its leading 1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from netlathe.arch.graph import Op
from netlathe.arch.inputs import batched
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
from netlathe.lower.onnx_builder import OnnxNodeBuilder
from netlathe.lower.windows import bias_index, gather_index, scatter_index, shift_mask


def grid(leaf: Grid, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Transpose", build.xs[0], perm=(0, 2, 3, 1))


def channels_first(leaf: Map, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Transpose", build.xs[0], perm=(0, 3, 1, 2))


def tokens(leaf: Tokens, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Transpose", build.reshape(build.xs[0], 0, 0, -1), perm=(0, 2, 1))


def merge(leaf: Merge, op: Op, build: OnnxNodeBuilder) -> str:
    x, (_, high, wide, channels) = build.xs[0], op.in_shapes[0]
    if high % 2 or wide % 2:
        x = build("Pad", x, build.ints(0, 0, 0, 0, 0, high % 2, wide % 2, 0))
    (_, high, wide, _) = op.out_shape
    x = build("Transpose", build.reshape(x, 0, high, 2, wide, 2, channels), perm=(0, 1, 3, 4, 2, 5))
    return build.reshape(x, 0, high, wide, 4 * channels)


def class_token(leaf: ClassToken, op: Op, build: OnnxNodeBuilder) -> str:
    count = build("Shape", build.xs[0], start=0, end=1)
    shape = build("Concat", count, build.ints(1, op.out_shape[1]), axis=0)
    return build("Concat", build("Expand", build.weight("token"), shape), build.xs[0], axis=1)


def first_token(leaf: FirstToken, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Gather", build.xs[0], build.constant(0, np.int64), axis=1)


def position(leaf: Position, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Add", build.xs[0], build.weight("weight"))


def embedding(leaf: Embedding, op: Op, build: OnnxNodeBuilder) -> str:
    return build("Gather", build.weight("weight"), build.xs[0])


def sinusoid(leaf: Sinusoid, op: Op, build: OnnxNodeBuilder) -> str:
    angles = build("Mul", build.xs[0], build.constant([frequencies(leaf.width)]))
    return build("Concat", build("Cos", angles), build("Sin", angles), axis=1)


def frequencies(width: int) -> list[float]:
    """f_i = 10000^(-i / half)."""
    half = width // 2
    return [10000 ** (-i / half) for i in range(half)]


def attention(leaf: Attention, op: Op, build: OnnxNodeBuilder) -> str:
    *positions, channels = op.out_shape
    y = attend(build, build.xs[0], (prod(positions),), leaf.heads, channels // leaf.heads)
    return build.reshape(y, *batched(op.out_shape, -1))


def window_attention(leaf: WindowAttention, op: Op, build: OnnxNodeBuilder) -> str:
    """Roll, padding and partition are one Gather by position, and so is the way back."""
    (_, high, wide, channels), (side, shift) = op.out_shape, leaf.window(op.in_shapes[0])
    order = gather_index(high, wide, side, shift)
    windows, positions = order.shape
    x = build.reshape(build.xs[0], 0, high * wide, 3 * channels)
    if order.size > high * wide:
        x = build("Pad", x, build.ints(0, 0, 0, 0, 1, 0))
    if windows > 1:
        x = build("Gather", x, build.constant(order.ravel(), np.int64), axis=1)
    table = build("Gather", build.weight("bias"), build.constant(bias_index(side), np.int64))
    bias = build("Transpose", table, perm=(2, 0, 1))
    if shift:
        bias = build("Add", bias, build.constant(shift_mask(high, wide, side, shift)[:, None]))
    y = attend(build, x, (windows, positions), leaf.heads, channels // leaf.heads, bias)
    x = build.reshape(y, -1, windows * positions, channels)
    if windows > 1:
        x = build("Gather", x, build.constant(scatter_index(order, high * wide), np.int64), axis=1)
    return build.reshape(x, 0, high, wide, channels)


def attend(build: OnnxNodeBuilder, qkv: str, axes: tuple[int, ...], heads: int, width: int, bias: str = "") -> str:
    """softmax(q k^T / sqrt(width) + bias) v, (N, positions, 3 heads width) -> (1, N, *axes, heads, width).

    `axes` splits the positions: the last are those that see each other, (windows, positions of one) or (positions,).
    """
    t = len(axes)
    qkv = build.reshape(qkv, -1, *axes, 3, heads, width)
    q, k, v = build.several(
        "Split", 3, build("Transpose", qkv, perm=(t + 1, *range(t), t + 2, t, t + 3)), axis=0, num_outputs=3
    )
    # The new shape keeps ONNX Runtime from merging both transpositions of k into one that is slow; it folds the second
    # into the product.
    k = build("Transpose", build.reshape(k, -1, *axes[:-1], heads, axes[-1], width), perm=(*range(t + 1), t + 2, t + 1))
    scores = build("MatMul", build("Mul", q, build.constant(width**-0.5)), k)
    if bias:
        scores = build("Add", scores, bias)
    y = build("MatMul", build("Softmax", scores, axis=-1), v)
    return build("Transpose", y, perm=(*range(t + 1), t + 2, t + 1, t + 3))


TOKEN_RULES: dict[type[Leaf], Callable[..., str]] = {
    Grid: grid,
    Map: channels_first,
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
