"""What a convolution, a matrix product and an attention of a torch module or an ONNX file are in our words.

The arithmetic is that of the leaves of `arch`: a rule makes the leaf that the shapes speak of and asks it. Shapes here
have the batch axis, or whatever the operator loops over, in front.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from netlathe.arch.layers import Conv, ConvTranspose, Linear
from netlathe.arch.leaf import Leaf
from netlathe.arch.node import Shape


class Work(NamedTuple):
    """The variety of an operator and its multiply-accumulates."""

    form: str
    macs: int


def fold_axes(sizes: Shape) -> tuple[int, int]:
    """One, two or three spatial axes as two: what is multiplied for a position stays the same."""
    return prod(sizes[:-1]), sizes[-1]


def convolution(x: Shape, weight: Shape, y: Shape) -> Work:
    """x (N, C, ...), weight (out, C / groups, ...) -> y (N, out, ...), in one, two or three dimensions."""
    leaf = Conv(weight[0], fold_axes(weight[2:]), groups=x[1] // weight[1])
    return per_map(leaf, x, y)


def transposed_convolution(x: Shape, weight: Shape, y: Shape) -> Work:
    """x (N, C, ...), weight (C, out / groups, ...) -> y (N, out, ...)."""
    return per_map(ConvTranspose(weight[1], fold_axes(weight[2:])), x, y)


def per_map(leaf: Leaf, x: Shape, y: Shape) -> Work:
    """The leaf on each of the N maps."""
    one, result = (x[1], *fold_axes(x[2:])), (y[1], *fold_axes(y[2:]))
    return Work(leaf.form(one), x[0] * leaf.macs(result, one))


def product(y: Shape, inner: int) -> Work:
    """A matrix product: every element of y sums `inner` products."""
    return Work("", Linear(y[-1] if y else 1).macs(y, (inner,)))


def attention(query: Shape, key: Shape, value: Shape) -> Work:
    """softmax(q k^T) v: query (..., T, d), key (..., S, d), value (..., S, e); both products in full."""
    pairs = (*query[:-1], key[-2])
    return Work("global", product(pairs, query[-1]).macs + product((*query[:-1], value[-1]), key[-2]).macs)


def scores(query: Shape, key: Shape) -> int:
    """The elements of q k^T, which a fused attention does not write."""
    return prod(query[:-1]) * key[-2]
