"""OnnxRule: what an operator of ONNX is in our words, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple, TypeAlias

from netlathe.arch.node import Shape
from netlathe.read.onnx_variants import channels_second
from netlathe.read.rules import Work, attention, convolution, product, scores, transposed_convolution


class OnnxCall(NamedTuple):
    """A node: the shapes that it reads and the one it makes, with the batch axis, and its attributes."""

    xs: tuple[Shape, ...]
    y: Shape
    attributes: Mapping[str, Any]


Count: TypeAlias = Callable[[OnnxCall], Work]


class OnnxRule(NamedTuple):
    """What an operator is; without `work` it multiplies no matrices.

    `data` are the inputs that hold data: of the others, tensors in the file are no weights; empty: all. With
    `quantised` those others are scales and zero points, which are stored like running statistics.
    """

    kind: str
    form: str = ""
    work: Count | None = None
    data: tuple[int, ...] = ()
    quantised: bool = False
    inner: Callable[[OnnxCall], int] | None = None  # elements that products inside of it write


def conv(weight: int = 1) -> Count:
    """A convolution with its kernel in that input."""

    def work(call: OnnxCall) -> Work:
        x, y = call.xs[0], call.y
        if call.attributes.get("channels_last"):
            x, y = channels_second(x), channels_second(y)
        return convolution(x, call.xs[weight], y)

    return work


def conv_transpose(call: OnnxCall) -> Work:
    return transposed_convolution(call.xs[0], call.xs[1], call.y)


def matmul(call: OnnxCall) -> Work:
    """Every element of y sums over the last axis of x."""
    return product(call.y, call.xs[0][-1])


def fused_matmul(call: OnnxCall) -> Work:
    return product(call.y, call.xs[0][-2 if call.attributes.get("transA") else -1])


def gemm(call: OnnxCall) -> Work:
    return product(call.y, call.xs[0][0 if call.attributes.get("transA") else 1])


def heads_of(call: OnnxCall) -> tuple[Shape, Shape, Shape]:
    """Query, key and value of ONNX's Attention, (B, heads, L, size) each, with what is remembered of the past.

    They come so, or as (B, L, heads x size) with the number of heads as an attribute. Fewer heads of keys are repeated.
    """
    query, key, value = call.xs[:3]
    if len(query) == 3:
        heads, others = call.attributes["q_num_heads"], call.attributes["kv_num_heads"]
        query, key, value = ((x[0], n, x[1], x[2] // n) for x, n in ((query, heads), (key, others), (value, others)))
    past = call.xs[4][-2] if len(call.xs) > 4 and call.xs[4] else 0
    keys = (*query[:-2], key[-2] + past)
    return query, (*keys, key[-1]), (*keys, value[-1])


def fused_attention(call: OnnxCall) -> Work:
    return attention(*heads_of(call))


def fused_scores(call: OnnxCall) -> int:
    query, key, _ = heads_of(call)
    return scores(query, key)


def recurrent(gates: int, weight: int = 1) -> Count:
    """An RNN: each step of each direction multiplies its input and its state by matrices of `gates` x hidden rows.

    x (length, batch, in), W (directions, gates x hidden, in), R (directions, gates x hidden, hidden).
    """

    def work(call: OnnxCall) -> Work:
        x, (directions, rows, hidden) = call.xs[0], call.xs[2]
        if rows != gates * hidden:  # transposed, as ONNX Runtime's quantiser has it
            hidden, rows = rows, hidden
        return Work("", product((prod(x[:2]), directions * rows), x[2] + hidden).macs)

    return work
