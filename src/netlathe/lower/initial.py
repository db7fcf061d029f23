"""The weights that a training starts from, by recipe name, as a dictionary by path like any other weights."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, prod, sqrt
from typing import NamedTuple

import numpy as np

from netlathe.arch.graph import Graph, Op
from netlathe.arch.layers import Conv, ConvTranspose, Norm
from netlathe.arch.network import Network
from netlathe.arch.own_leaves import own_rule
from netlathe.errors import unknown
from netlathe.lower.branches import branches
from netlathe.lower.weights import DRAWS, Array, generator, tensor_name


class InitialScheme(NamedTuple):
    """Standard deviations of kernels (by operator) and of every other table of weights; factors of scales."""

    conv: Callable[[Op], float]
    linear: float
    scale: float
    bound: float  # of a kernel's values, in standard deviations
    zero_last: bool  # the last norm of a residual branch starts at 0, so a block starts as the identity


def fan_out(op: Op) -> float:
    """He et al. 2015, https://arxiv.org/abs/1502.01852, section 2.2: sqrt(2 / fan-out), here by group."""
    wide, _, *kernel = op.weights["weight"]
    groups = op.leaf.group_count(op.in_shapes[0]) if isinstance(op.leaf, Conv) else 1
    return sqrt(2 * groups / (wide * prod(kernel)))


def fixed_deviation(op: Op) -> float:
    """One width for all."""
    return 0.02


# he: ResNet and what followed it. he_zero: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 5.1.
# truncated: ViT, Swin and ConvNeXt, with ConvNeXt's layer scale (https://arxiv.org/abs/2201.03545, appendix A).
SCHEMES = {
    "he": InitialScheme(fan_out, 0.01, 1.0, inf, zero_last=False),
    "he_zero": InitialScheme(fan_out, 0.01, 1.0, inf, zero_last=True),
    "truncated": InitialScheme(fixed_deviation, 0.02, 1e-6, 2.0, zero_last=False),
}


def initial_weights(network: Network, recipe: str, seed: int = 0, *, aux: bool = False) -> dict[str, Array]:
    """Every weight and buffer by path, with `aux` those of auxiliary heads too.

    Raises NetlatheError for an unknown recipe.
    """
    if recipe not in SCHEMES:
        raise unknown("initialisation", recipe, SCHEMES, code="torch.init")
    start, graph = SCHEMES[recipe], network.graph(training=aux)
    zero = last_norms(network, graph) if start.zero_last else set()
    return {
        tensor_name(op.path, name): np.full(shape, 0, np.float32)
        if op.path in zero and name == "weight"
        else draw_tensor(op, name, start, seed)
        for op in graph.ops
        for name, shape in (op.weights | op.buffers).items()
    }


def draw_tensor(op: Op, name: str, start: InitialScheme, seed: int) -> Array:
    """The first value of one tensor."""
    shape, random = (op.weights | op.buffers)[name], generator(seed, tensor_name(op.path, name))
    if (own := own_rule(op.leaf, "init")) is not None:
        return np.asarray(own(op.leaf, name, shape), np.float32)
    if name == "codes":
        return DRAWS[name](random, shape)
    if name == "running_var" or (isinstance(op.leaf, Norm) and name == "weight"):
        return np.ones(shape, np.float32)
    if len(shape) > 1 or name == "token":
        width = start.conv(op) if isinstance(op.leaf, Conv | ConvTranspose) else start.linear
        return truncated_normal(random, shape, start.bound) * np.float32(width)
    return np.full(shape, start.scale if name == "weight" else 0, np.float32)


def truncated_normal(random: np.random.Generator, shape: tuple[int, ...], bound: float) -> Array:
    """Standard normal values, drawn again where they are further out than the bound."""
    values = random.standard_normal(shape, np.float32)
    while (far := np.abs(values) > bound).any():
        values[far] = random.standard_normal(int(far.sum()), np.float32)
    return values


def last_norms(network: Network, graph: Graph) -> set[str]:
    """The paths of the norms that end a residual branch."""
    sums = branches(network.body)
    wrote = {op.output: op for op in graph.ops}
    ends = [wrote[op.inputs[0]] for op in graph.ops if op.path in sums and op.inputs[0] in wrote]
    return {op.path for op in ends if isinstance(op.leaf, Norm)}
