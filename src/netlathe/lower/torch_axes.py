"""The torch rules of leaves that move numbers about, and of products of two values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from netlathe.arch import axes
from netlathe.arch.graph import Op
from netlathe.arch.leaf import Leaf
from netlathe.lower.fx_builder import FxNodeBuilder


def transpose(leaf: axes.Transpose, op: Op, build: FxNodeBuilder) -> fx.Node:
    grid = len(leaf.order) == 4  # whose leading 1 is the place of the batch
    order = leaf.order if grid else (0, *(axis + 1 for axis in leaf.order))
    return build.method("permute", build.xs[0], *order)


def chunk(leaf: axes.Chunk, op: Op, build: FxNodeBuilder) -> fx.Node:
    axis = axes.channel_axis(op.in_shapes[0])
    size = op.out_shape[axis]
    dim = axis if len(op.in_shapes[0]) == 4 else axis + 1
    return build.method("narrow", build.xs[0], dim, leaf.index * size, size)


def shuffle(leaf: axes.Shuffle, op: Op, build: FxNodeBuilder) -> fx.Node:
    groups = build.method("unflatten", build.xs[0], 1, (leaf.groups, -1))
    return build.method("flatten", build.method("transpose", groups, 1, 2), 1, 2)


def heads(leaf: axes.Heads, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.method("transpose", build.method("unflatten", build.xs[0], 2, (leaf.heads, -1)), 1, 2)


def join(leaf: axes.Join, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.method("flatten", build.method("transpose", build.xs[0], 1, 2), 2)


def unfold(leaf: axes.Unfold, op: Op, build: FxNodeBuilder) -> fx.Node:
    rows = build.method("unflatten", build.xs[0], 3, (-1, leaf.patch))
    cells = build.method("unflatten", rows, 2, (-1, leaf.patch))  # N, C, H / p, p, W / p, p
    cells = build.method("permute", cells, 0, 3, 5, 2, 4, 1)
    return build.method("flatten", build.method("flatten", cells, 3, 4), 1, 2)


def fold(leaf: axes.Fold, op: Op, build: FxNodeBuilder) -> fx.Node:
    _, high, wide = op.out_shape
    places = build.method("unflatten", build.xs[0], 1, (leaf.patch, leaf.patch))
    cells = build.method("unflatten", places, 3, (high // leaf.patch, wide // leaf.patch))
    cells = build.method("permute", cells, 0, 5, 3, 1, 4, 2)  # N, C, H / p, p, W / p, p
    return build.method("flatten", build.method("flatten", cells, 4, 5), 2, 3)


def multiply(leaf: axes.Multiply, op: Op, build: FxNodeBuilder) -> fx.Node:
    turned: list[Any] = [
        build.method("transpose", x, -1, -2) if leaf.transposed == which else x
        for x, which in zip(build.xs, ("first", "second"), strict=True)
    ]
    return build(torch.matmul, *turned)


def row_attention(leaf: axes.RowAttention, op: Op, build: FxNodeBuilder) -> fx.Node:
    return build.module(RowAttentionModule(leaf.heads), build.xs[0])


class RowAttentionModule(nn.Module):
    """(N, R, T, 3C) -> (N, R, T, C), within each of the R rows."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Query, key and value lie side by side."""
        n, rows, tokens, channels = x.shape
        q, k, v = x.view(n, rows, tokens, 3, self.heads, channels // (3 * self.heads)).permute(3, 0, 1, 4, 2, 5)
        return F.scaled_dot_product_attention(q, k, v).transpose(2, 3).flatten(3)


AXIS_RULES: dict[type[Leaf], Callable[..., fx.Node]] = {
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
