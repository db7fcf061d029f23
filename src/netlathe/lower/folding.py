"""The weights of folded and merged networks, so that the output stays the same.

norm       y = g (x - m) / sqrt(v + eps) + b, by channel: a scale s = g / sqrt(v + eps) and a shift b - s m
fold       W' = s W, c' = s c + b - s m
merge      W' = sum of the branches' kernels, padded to the largest; the identity is a kernel with a one in the middle
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.layers import Norm
from netlathe.arch.network import Network
from netlathe.lower.weights import Array, checked_weights, tensor_name, tensor_shapes
from netlathe.reshape.fold import FoldedNetwork, MergedNetwork, fold, merge

Wide = NDArray[np.float64]  # sums are taken in double precision


def scale_shift(weights: Mapping[str, Array], norm: str, eps: float) -> tuple[Wide, Wide]:
    """(s, b - s m) of the batch norm at a path, in float64."""
    g, b, m, v = (
        weights[tensor_name(norm, name)].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    s = g / np.sqrt(v + eps)
    return s, b - s * m


def fold_network(network: Network, weights: Mapping[str, Any]) -> tuple[Network, dict[str, Array]]:
    """The network with its batch norms folded, and its weights. Raises NetlatheError as `fold` does."""
    old = checked_weights(network, weights)
    done = fold(network)
    return done.network, fold_weights(done, old)


def fold_weights(done: FoldedNetwork, old: Mapping[str, Array]) -> dict[str, Array]:
    """The weights of a folded network, from those before."""
    new = dict(old)
    for path, norm in done.norms.items():
        s, shift = scale_shift(old, norm, done.eps[norm])
        kernel, bias = (tensor_name(path, name) for name in ("weight", "bias"))
        new[kernel] = (old[kernel] * s.reshape(-1, *(1,) * (old[kernel].ndim - 1))).astype(np.float32)
        new[bias] = (old[bias] * s + shift if bias in old else shift).astype(np.float32)
        for name in ("weight", "bias", "running_mean", "running_var"):
            del new[tensor_name(norm, name)]
    return checked_weights(done.network, new)


def merge_network(network: Network, weights: Mapping[str, Any]) -> tuple[Network, dict[str, Array]]:
    """The network with its parallel branches merged, and its weights. Raises NetlatheError as `merge` does."""
    old = checked_weights(network, weights)
    done = merge(network)
    return done.network, merge_weights(network, done, old)


def merge_weights(network: Network, done: MergedNetwork, old: Mapping[str, Array]) -> dict[str, Array]:
    """The weights of a merged network, from those before."""
    shapes = tensor_shapes(done.network)
    eps = {op.path: op.leaf.eps for op in network.graph().ops if isinstance(op.leaf, Norm)}
    gone = tuple(f"{branch}." for branches in done.branches.values() for branch in branches)
    new = {name: array for name, array in old.items() if not name.startswith(gone)}
    for path, branches in done.branches.items():
        shape = shapes[tensor_name(path, "weight")]
        kernel, bias = np.zeros(shape), np.zeros(shape[0])
        for branch in branches:
            part, shift = branch_kernel(old, branch, eps, shape)
            kernel, bias = kernel + part, bias + shift
        new[tensor_name(path, "weight")] = kernel.astype(np.float32)
        new[tensor_name(path, "bias")] = bias.astype(np.float32)
    return checked_weights(done.network, new)


def branch_kernel(
    old: Mapping[str, Array], branch: str, eps: Mapping[str, float], shape: tuple[int, ...]
) -> tuple[Wide, Wide]:
    """The kernel and the bias of one branch, in the shape of the merged kernel."""
    alone = branch in eps
    norm = branch if alone else tensor_name(branch, "norm")
    s, shift = scale_shift(old, norm, eps[norm]) if norm in eps else (np.ones(shape[0]), np.zeros(shape[0]))
    small = identity_kernel(shape) if alone else old[tensor_name(branch, "conv.weight")].astype(np.float64)
    bias = old.get(tensor_name(branch, "conv.bias"))
    high, wide = ((want - have) // 2 for want, have in zip(shape[2:], small.shape[2:], strict=True))
    kernel = np.pad(small * s[:, None, None, None], ((0, 0), (0, 0), (high, high), (wide, wide)))
    return kernel.astype(np.float64), shift if bias is None else shift + s * bias


def identity_kernel(shape: tuple[int, ...]) -> Wide:
    """The kernel of y = x in groups: (o, i of a group, 1, 1)."""
    out, inner = shape[:2]
    kernel = np.zeros((out, inner, 1, 1))
    kernel[np.arange(out), np.arange(out) % inner] = 1
    return kernel
