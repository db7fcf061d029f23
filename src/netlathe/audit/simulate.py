"""Small numeric experiments, exact or seeded: which inputs an operator mixes, and which maps are the same.

Operators run in ONNX Runtime, from the files that the project itself writes; identities are computed in float64.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from netlathe.arch.build import seq
from netlathe.arch.layers import Conv, Linear
from netlathe.arch.leaf import Times
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.tokens import Attention
from netlathe.lower.onnx import to_onnx
from netlathe.zoo.blocks import mlp

Array = NDArray[Any]
STEP = 1e-2  # of a finite difference
ZERO = 1e-4  # below it an entry is rounding


class Mixing(NamedTuple):
    """Whether an output depends on other positions (or tokens), and on other channels."""

    space: bool
    channels: bool


def run_expression(expression: Node, images: Array, seed: int = 0) -> Array:
    """The outputs of an expression with random weights for a batch of inputs, under ONNX Runtime."""
    network = Network("simulated", expression, images.shape[1:])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    model = to_onnx(network, batch=len(images), seed=seed).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {session.get_inputs()[0].name: images.astype(np.float32)})[0]
    return result.astype(np.float64)


def jacobian(expression: Node, shape: tuple[int, ...], seed: int = 0) -> Array:
    """d output / d input at a random point, of shape (*output, *input), by central differences."""
    size = prod(shape)
    point = np.random.default_rng(seed).normal(size=shape)
    steps = STEP * np.eye(size).reshape(size, *shape)
    ends = run_expression(expression, np.concatenate([point + steps, point - steps]), seed)
    slope = (ends[:size] - ends[size:]) / (2 * STEP)
    moved: Array = np.moveaxis(slope, 0, -1).reshape(*slope.shape[1:], *shape)
    return moved


@cache
def find_mixing(name: str) -> Mixing:
    """What an operator mixes: a convolution (dense, depthwise, pointwise) of maps, or of tokens attention, mlp."""
    channels = 4
    convolutions = {
        "dense": Conv(channels, 3),
        "depthwise": Conv(None, 3, group_width=1),
        "pointwise": Conv(channels),
    }
    if name in convolutions:
        derivative = jacobian(convolutions[name], (channels, 5, 5))
        return read_off(np.abs(derivative).reshape(channels, 25, channels, 25).transpose(1, 0, 3, 2))
    expression = mlp() if name == "mlp" else seq(qkv=Linear(Times(3)), attend=Attention(2), out=Linear(None))
    return read_off(np.abs(jacobian(expression, (5, channels))))


def read_off(size: Array) -> Mixing:
    """From the absolute Jacobian, (position, channel, position, channel)."""
    positions, channels = size.shape[:2]
    elsewhere = size[~np.eye(positions, dtype=bool)[:, None, :, None].repeat(channels, 1).repeat(channels, 3)]
    others = size[~np.eye(channels, dtype=bool)[None, :, None, :].repeat(positions, 0).repeat(positions, 2)]
    return Mixing(bool(elsewhere.max() > ZERO), bool(others.max() > ZERO))


def permutation_error() -> float:
    """How far attention of permuted tokens is from permuted attention of tokens, over the largest output."""
    expression = seq(qkv=Linear(Times(3)), attend=Attention(2), out=Linear(None))
    random = np.random.default_rng(0)
    tokens, order = random.normal(size=(1, 7, 8)), random.permutation(7)
    plain, mixed = run_expression(expression, tokens), run_expression(expression, tokens[:, order])
    return float(np.abs(plain[:, order] - mixed).max() / np.abs(plain).max())


def convolve(x: Array, kernel: Array, groups: int = 1) -> Array:
    """Same-padded convolution in float64: x (channels, height, width), kernel (out, in / groups, k, k)."""
    k = kernel.shape[-1]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    parts = zip(np.split(windows, groups), np.split(kernel, groups), strict=True)
    result: Array = np.concatenate([np.einsum("ihwab,oiab->ohw", part, filters) for part, filters in parts])
    return result


def cardinality_error(paths: int = 32, width: int = 4, outer: int = 256, side: int = 6) -> float:
    """The largest difference between ResNeXt's three forms: paths added, paths concatenated, one grouped convolution.

    Xie et al. 2017, https://arxiv.org/abs/1611.05431, Figure 3, with relu between the convolutions; float64.
    """
    random = np.random.default_rng(0)
    x = random.normal(size=(outer, side, side))
    down = random.normal(size=(paths * width, outer, 1, 1))
    middle = random.normal(size=(paths * width, width, 3, 3))
    up = random.normal(size=(outer, paths * width, 1, 1))

    def relu(y: Array) -> Array:
        return np.maximum(y, 0)

    inner = [
        relu(convolve(relu(convolve(x, d)), m))
        for d, m in zip(np.split(down, paths), np.split(middle, paths), strict=True)
    ]
    added = sum(convolve(y, u) for y, u in zip(inner, np.split(up, paths, axis=1), strict=True))
    joined = convolve(np.concatenate(inner), up)
    grouped = convolve(relu(convolve(relu(convolve(x, down)), middle, paths)), up)
    return float(max(np.abs(added - joined).max(), np.abs(joined - grouped).max()))


def separable_as_dense(channels: int = 8, out: int = 12, side: int = 6) -> tuple[float, int]:
    """Difference of depthwise + pointwise and the dense kernel P[o,i] D[i], and the rank of a random dense kernel.

    The rank is the largest over input channels, of the (out, k k) matrix of its kernels; a separable one has rank 1.
    """
    random = np.random.default_rng(0)
    x = random.normal(size=(channels, side, side))
    spatial, point = random.normal(size=(channels, 1, 3, 3)), random.normal(size=(out, channels, 1, 1))
    apart = convolve(convolve(x, spatial, channels), point)
    together = convolve(x, point * spatial[:, 0])
    dense = random.normal(size=(out, channels, 3, 3))
    rank = max(int(np.linalg.matrix_rank(dense[:, i].reshape(out, 9))) for i in range(channels))
    return float(np.abs(apart - together).max()), rank


def patches_as_convolution(width: int = 24, patch: int = 4, grid: int = 3) -> float:
    """Difference of a linear layer on flattened patches and a convolution of as large a stride, float32 against 64."""
    from netlathe.lower.weights import random_weights

    expression, side = Conv(width, patch, patch, padding=0), patch * grid
    x = np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32)
    kernel = next(iter(random_weights(Network("p", expression, (3, side, side)).graph(), 0).values()))
    cut = x[0].reshape(3, grid, patch, grid, patch).transpose(1, 3, 0, 2, 4).reshape(grid * grid, -1).astype(np.float64)
    linear = (cut @ kernel.reshape(width, -1).T.astype(np.float64)).T.reshape(width, grid, grid)
    return float(np.abs(linear - run_expression(expression, x)[0]).max() / np.abs(linear).max())


def free_numbers(positions: int = 8, kernel: int = 3, *, shifts: bool = True) -> int:
    """The dimension of linear maps on a ring that look `kernel` wide and, with `shifts`, commute with a shift.

    By singular values of the constraints on a (positions, positions) matrix.
    """
    n = positions
    reach = np.minimum((np.arange(n)[:, None] - np.arange(n)) % n, (np.arange(n) - np.arange(n)[:, None]) % n)
    rules = [row for row, away in zip(np.eye(n * n), (reach > kernel // 2).ravel(), strict=True) if away]
    if shifts:
        shift = np.roll(np.eye(n), 1, axis=0)
        rules += list(np.kron(shift, np.eye(n)) - np.kron(np.eye(n), shift.T))
    return n * n - int(np.linalg.matrix_rank(np.array(rules)))


def invertible(width: int) -> float:
    """The share of points of a plane that a random map to `width` channels and relu keep locally invertible: exact.

    A point is kept where at least two channels are positive: 1 - (n + 1) / 2^n, as every channel is positive on half
    of the directions.
    """
    return float(1 - (width + 1) / 2**width)


def invertible_sampled(width: int, draws: int = 20_000, seed: int = 0) -> float:
    """The same, by drawing maps and points."""
    random = np.random.default_rng(seed)
    maps, points = random.normal(size=(draws, width, 2)), random.normal(size=(draws, 2))
    positive = np.einsum("dwi,di->dw", maps, points) > 0
    return float((positive.sum(1) >= 2).mean())
