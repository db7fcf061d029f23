"""The rules of leaves that move numbers about, and of products of two values.

Heads are maps (heads, T, C) in an expression, so (1, T, C, heads) among tensors; products want (1, heads, T, C). Both
are kept: a rule reads the one it needs, and what nothing reads is not written.
"""

from __future__ import annotations

from collections.abc import Callable

from netlathe.arch import axes
from netlathe.arch.graph import Op
from netlathe.arch.leaf import Leaf
from netlathe.lower.tflite.builder import TfliteBuilder, tensor_shape
from netlathe.lower.tflite.tokens import attend

PLACES = (3, 1, 2)  # of the axes of a map (C, H, W) in its tensor (1, H, W, C)


def transpose(leaf: axes.Transpose, op: Op, build: TfliteBuilder) -> int:
    x, order = build.xs[0], leaf.order
    if len(order) == 3:
        first, *others = (PLACES[axis] for axis in order)
        return build.transpose(x, 0, *others, first)
    return build.transpose(x, *(order if len(order) == 4 else (0, *(axis + 1 for axis in order))))


def chunk(leaf: axes.Chunk, op: Op, build: TfliteBuilder) -> int:
    """Channels are the last axis of every tensor."""
    shape = tensor_shape(op.out_shape)
    return build.slice(build.xs[0], (*[0] * (len(shape) - 1), leaf.index * shape[-1]), shape)


def shuffle(leaf: axes.Shuffle, op: Op, build: TfliteBuilder) -> int:
    channels, high, wide = op.out_shape
    groups = build.reshape(build.xs[0], 1, high * wide, leaf.groups, channels // leaf.groups)
    return build.reshape(build.transpose(groups, 0, 1, 3, 2), *tensor_shape(op.out_shape))


def heads(leaf: axes.Heads, op: Op, build: TfliteBuilder) -> int:
    _, tokens, width = op.out_shape
    apart = build.reshape(build.xs[0], 1, tokens, leaf.heads, width)
    return from_stack(build, build.transpose(apart, 0, 2, 1, 3))


def join(leaf: axes.Join, op: Op, build: TfliteBuilder) -> int:
    rows = build.transpose(to_stack(build, build.xs[0]), 0, 2, 1, 3)
    return build.reshape(rows, *tensor_shape(op.out_shape))


def unfold(leaf: axes.Unfold, op: Op, build: TfliteBuilder) -> int:
    (channels, high, wide), p = op.in_shapes[0], leaf.patch
    cells = build.reshape(build.xs[0], high // p, p, wide // p, p, channels)
    return build.reshape(build.transpose(cells, 1, 3, 0, 2, 4), *tensor_shape(op.out_shape))


def fold(leaf: axes.Fold, op: Op, build: TfliteBuilder) -> int:
    (channels, high, wide), p = op.out_shape, leaf.patch
    cells = build.reshape(build.xs[0], p, p, high // p, wide // p, channels)
    return build.reshape(build.transpose(cells, 2, 0, 3, 1, 4), *tensor_shape(op.out_shape))


def multiply(leaf: axes.Multiply, op: Op, build: TfliteBuilder) -> int:
    stacks = len(op.in_shapes[0]) == 3
    a, b = (to_stack(build, x) if stacks else x for x in build.xs)
    shape = (1, *op.out_shape)
    turned = {"adj_x": leaf.transposed == "first", "adj_y": leaf.transposed == "second"}
    y = build("BATCH_MATMUL", a, b, shape=shape, **turned)
    return from_stack(build, y) if stacks else y


def row_attention(leaf: axes.RowAttention, op: Op, build: TfliteBuilder) -> int:
    _, rows, tokens, channels = op.out_shape
    qkv = build.reshape(build.xs[0], rows, tokens, 3 * channels)
    return build.reshape(attend(build, qkv, rows, leaf.heads), *tensor_shape(op.out_shape))


def to_stack(build: TfliteBuilder, x: int) -> int:
    """A map (1, T, C, heads) as a stack of matrices (1, heads, T, C)."""
    if x not in build.stacks:
        build.stacks[x] = build.transpose(x, 0, 3, 1, 2)
    return build.stacks[x]


def from_stack(build: TfliteBuilder, stack: int) -> int:
    """A stack of matrices (1, heads, T, C) as a map (1, T, C, heads)."""
    x = build.transpose(stack, 0, 2, 3, 1)
    build.stacks[x] = stack
    return x


def softmax(build: TfliteBuilder, x: int) -> int:
    """Over the last axis, which is not the last one of the tensor of a map."""
    if len(build.op.in_shapes[0]) != 3:
        return build.like("SOFTMAX", x, beta=1.0)
    return from_stack(build, build.like("SOFTMAX", to_stack(build, x), beta=1.0))


AXIS_RULES: dict[type[Leaf], Callable[..., int]] = {
    axes.Transpose: transpose,
    axes.Chunk: chunk,
    axes.Shuffle: shuffle,
    axes.Heads: heads,
    axes.Join: join,
    axes.Unfold: unfold,
    axes.Fold: fold,
    axes.Multiply: multiply,
    axes.RowAttention: row_attention,
}
