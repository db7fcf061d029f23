"""Weights for a factored network: the best approximation of the trained kernels that its form can hold.

By Eckart and Young 1936 (https://doi.org/10.1007/BF02288367) the truncated singular value decomposition is the nearest
matrix of a given rank, so every layer's error below is the smallest possible for its form:

separable  W[o, i] ~ sum_j P[o, i, j] D[i, j]     rank j for each input channel, of the (outputs, k k) matrix
low_rank   W[o, (i, k, k)] ~ E[o, r] C[r, ...]    rank r, of the (outputs, inputs k k) matrix
spatial    W[o, i, y, x] ~ R[o, r, x] C[r, i, y]  rank r, of the (outputs k, inputs k) matrix

The other forms compute something else (a norm and an activation more, or fewer weights than any approximation keeps):
their networks are trained anew, or from what `kept` leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.lower.weights import Array, checked_weights, random_weights, tensor_name, tensor_shapes
from netlathe.reshape.factor import FactoredNetwork, Where, dense, factor

Split = Callable[[Array, int], tuple[Array, ...]]  # (kernel, rank) -> kernels of the factors, in order


class FactorError(NamedTuple):
    """How far the factors of an operator are from its kernel: |W - W'| / |W|, Frobenius norm; 0 is exact."""

    path: str
    relative: float


class Decomposition(NamedTuple):
    """A factored network with weights by path, and the error of every factored operator."""

    network: Network
    weights: dict[str, Array]
    errors: tuple[FactorError, ...]
    factored: FactoredNetwork


def truncated_svd(matrix: Array, rank: int) -> tuple[Array, Array]:
    """The nearest product of (..., rows, rank) and (..., rank, columns), the singular values shared out evenly.

    Zeros fill up a rank that is larger than a matrix of this shape can have.
    """
    u, s, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    root = np.sqrt(s[..., :rank])
    left, right = u[..., :rank] * root[..., None, :], root[..., :, None] * v[..., :rank, :]
    rest = (0, rank - left.shape[-1])
    flat = [(0, 0)] * (left.ndim - 2)
    return np.pad(left, [*flat, (0, 0), rest]), np.pad(right, [*flat, rest, (0, 0)])


def separable(kernel: Array, rank: int) -> tuple[Array, ...]:
    """(o, i, k, k) -> depthwise (i j, 1, k, k), pointwise (o, i j, 1, 1), j = rank / i filters of a channel."""
    o, i, kh, kw = kernel.shape
    mix, filters = truncated_svd(kernel.transpose(1, 0, 2, 3).reshape(i, o, kh * kw), rank // i)
    return filters.reshape(-1, 1, kh, kw), mix.transpose(1, 0, 2).reshape(o, -1, 1, 1)


def low_rank(kernel: Array, rank: int) -> tuple[Array, ...]:
    """(o, i, k, k) -> (r, i, k, k), (o, r, 1, 1); (o, i) -> (r, i), (o, r)."""
    o, *rest = kernel.shape
    mix, filters = truncated_svd(kernel.reshape(o, -1), rank)
    return filters.reshape(-1, *rest), mix.reshape(o, -1, *(1,) * (len(rest) - 1))


def spatial(kernel: Array, rank: int) -> tuple[Array, ...]:
    """(o, i, k, k) -> column (r, i, k, 1), row (o, r, 1, k)."""
    o, i, kh, kw = kernel.shape
    mix, filters = truncated_svd(kernel.transpose(0, 3, 1, 2).reshape(o * kw, i * kh), rank)
    return filters.reshape(-1, i, kh, 1), mix.reshape(o, kw, -1).transpose(0, 2, 1)[:, :, None, :]


SPLITS: dict[str, Split] = {"separable": separable, "low_rank": low_rank, "spatial": spatial}


def decompose(
    network: Network,
    weights: Mapping[str, Any],
    form: str = "separable",
    where: Where = dense,
    *,
    width: int | Callable[[Any], int] | None = None,
) -> Decomposition:
    """Factor a trained network and give the factors the weights nearest to what they replace, the rest its own.

    Nothing stands between the factors, so where the error is 0 the output is the same. Raises NetlatheError for
    weights that do not fit the network, and for a form that keeps no weights.
    """
    if form not in SPLITS:
        raise NetlatheError(
            f"{form} cannot hold the weights of what it replaces",
            code="decompose.form",
            hint=f"legal: {', '.join(SPLITS)}; factor() alone gives the expression, to be trained anew",
        )
    old = checked_weights(network, weights)
    done = factor(network, form, where, width=width, linear=True)
    new = {name: array for name, array in old.items() if name.rpartition(".")[0] not in done.parts}
    errors = []
    shapes = tensor_shapes(done.network)
    for path, (_, parts) in done.parts.items():
        kernel = old[tensor_name(path, "weight")]
        rank = shapes[tensor_name(parts[0], "weight")][0]
        pieces = [piece.astype(np.float32) for piece in SPLITS[form](kernel, rank)]
        new |= {tensor_name(part, "weight"): piece for part, piece in zip(parts, pieces, strict=True)}
        bias = tensor_name(path, "bias")
        if bias in old:
            new[tensor_name(parts[-1], "bias")] = old[bias]
        lost = np.linalg.norm(kernel - multiply_factors(form, pieces, kernel.shape[1])) / np.linalg.norm(kernel)
        errors.append(FactorError(path, float(lost)))
    return Decomposition(done.network, checked_weights(done.network, new), tuple(errors), done)


def multiply_factors(form: str, pieces: list[Array], inputs: int) -> Array:
    """The kernel that the factors compute together."""
    first, second = pieces
    match form:
        case "separable":
            o, _, kh, kw = (*second.shape[:2], *first.shape[2:])
            return np.asarray((second * first[:, 0][None]).reshape(o, inputs, -1, kh, kw).sum(2))
        case "spatial":
            return np.asarray(np.einsum("riyb,orcx->oiyx", first, second))
    return np.asarray(np.tensordot(second.reshape(second.shape[:2]), first, 1))


def keep_weights(network: Network, weights: Mapping[str, Any], seed: int = 0) -> dict[str, Array]:
    """Weights for a rewritten network: those of the same name and shape, random ones for the rest."""
    new = random_weights(network, seed)
    same = [name for name in new if name in weights and np.shape(weights[name]) == new[name].shape]
    return new | {name: np.asarray(weights[name], np.float32) for name in same}
