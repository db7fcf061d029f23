"""The ONNX rules of leaves that move numbers about, and of products of two values."""

from __future__ import annotations

from collections.abc import Callable

from netlathe.arch import axes
from netlathe.arch.graph import Op
from netlathe.arch.leaf import Leaf
from netlathe.lower.onnx_builder import OnnxNodeBuilder
from netlathe.lower.onnx_tokens import attend


def transpose(leaf: axes.Transpose, op: Op, build: OnnxNodeBuilder) -> str:
    grid = len(leaf.order) == 4  # whose leading 1 is the place of the batch
    order = leaf.order if grid else (0, *(axis + 1 for axis in leaf.order))
    return build("Transpose", build.xs[0], perm=order)


def chunk(leaf: axes.Chunk, op: Op, build: OnnxNodeBuilder) -> str:
    axis = axes.channel_axis(op.in_shapes[0])
    size, dim = op.out_shape[axis], axis if len(op.in_shapes[0]) == 4 else axis + 1
    start = leaf.index * size
    return build("Slice", build.xs[0], build.ints(start), build.ints(start + size), build.ints(dim))


def shuffle(leaf: axes.Shuffle, op: Op, build: OnnxNodeBuilder) -> str:
    channels, high, wide = op.out_shape
    groups = build.reshape(build.xs[0], 0, leaf.groups, channels // leaf.groups, high, wide)
    return build.reshape(build("Transpose", groups, perm=(0, 2, 1, 3, 4)), 0, *op.out_shape)


def heads(leaf: axes.Heads, op: Op, build: OnnxNodeBuilder) -> str:
    _, tokens, width = op.out_shape
    return build("Transpose", build.reshape(build.xs[0], 0, tokens, leaf.heads, width), perm=(0, 2, 1, 3))


def join(leaf: axes.Join, op: Op, build: OnnxNodeBuilder) -> str:
    return build.reshape(build("Transpose", build.xs[0], perm=(0, 2, 1, 3)), 0, *op.out_shape)


def unfold(leaf: axes.Unfold, op: Op, build: OnnxNodeBuilder) -> str:
    (channels, high, wide), p = op.in_shapes[0], leaf.patch
    cells = build.reshape(build.xs[0], 0, channels, high // p, p, wide // p, p)
    return build.reshape(build("Transpose", cells, perm=(0, 3, 5, 2, 4, 1)), 0, *op.out_shape[1:])


def fold(leaf: axes.Fold, op: Op, build: OnnxNodeBuilder) -> str:
    (channels, high, wide), p = op.out_shape, leaf.patch
    cells = build.reshape(build.xs[0], 0, p, p, high // p, wide // p, channels)
    return build.reshape(build("Transpose", cells, perm=(0, 5, 3, 1, 4, 2)), 0, *op.out_shape)


def multiply(leaf: axes.Multiply, op: Op, build: OnnxNodeBuilder) -> str:
    order = (0, 2, 1) if len(op.in_shapes[0]) == 2 else (0, 1, 3, 2)
    turned = (
        build("Transpose", x, perm=order) if leaf.transposed == which else x
        for x, which in zip(build.xs, ("first", "second"), strict=True)
    )
    return build("MatMul", *turned)


def row_attention(leaf: axes.RowAttention, op: Op, build: OnnxNodeBuilder) -> str:
    _, rows, tokens, channels = op.out_shape
    y = attend(build, build.xs[0], (rows, tokens), leaf.heads, channels // leaf.heads)
    return build.reshape(y, -1, rows, tokens, channels)


AXIS_RULES: dict[type[Leaf], Callable[..., str]] = {
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
