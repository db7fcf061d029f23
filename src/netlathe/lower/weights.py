"""Weights by path: the tensors that a network needs, random values for them, and the check of given ones.

A tensor is named as in a torch state dict: the path of its operator, a dot, its own name (`stem.conv.weight`). Every
tensor is drawn from a seed and its name alone, so editing one layer leaves the weights of all others as they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.graph import Graph
from netlathe.arch.network import Network
from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError, nearest

Array: TypeAlias = NDArray[np.float32]
Draw: TypeAlias = Callable[[np.random.Generator, Shape], Array]


def tensor_name(path: str, name: str) -> str:
    """path.name; the lone operator of a network has the empty path."""
    return f"{path}.{name}" if path else name


def tensor_shapes(of: Network | Graph) -> dict[str, Shape]:
    """The shape of every weight and buffer by path, in execution order."""
    ops = (of if isinstance(of, Graph) else of.graph()).ops
    return {tensor_name(op.path, name): shape for op in ops for name, shape in (op.weights | op.buffers).items()}


def random_weights(of: Network | Graph, seed: int = 0) -> dict[str, Array]:
    """Random float32 tensors by path that keep activations of order one at any depth, at inference.

    Kernels have variance 1 / fan-in, half of He's (https://arxiv.org/abs/1502.01852): a ReLU stack then contracts, and
    biases and shifts are the floor it settles on. He's own gain keeps the scale only while nothing else adds to it:
    residual sums and statistics that no training has fitted would make it grow with depth. Norm statistics and
    factors are far from 0 and 1, so folding them wrongly shows.
    """
    shapes = tensor_shapes(of)
    return {
        name: drawing_rule(name.rpartition(".")[2], shape)(generator(seed, name), shape)
        for name, shape in shapes.items()
    }


def checked_weights(of: Network | Graph, weights: Mapping[str, Any]) -> dict[str, Array]:
    """The given tensors as float32 by path; raises NetlatheError with everything missing, unexpected or misshapen."""
    shapes = tensor_shapes(of)
    if faults := weight_faults(shapes, weights):
        raise weights_error("the network", faults)
    return {name: np.asarray(weights[name], dtype=np.float32) for name in shapes}


def weight_faults(shapes: Mapping[str, Shape], weights: Mapping[str, Any]) -> list[str]:
    """Every tensor that is missing, unexpected or misshapen, a line each."""
    faults = [f"missing: {name} {shape}" for name, shape in shapes.items() if name not in weights]
    for name, array in weights.items():
        if name not in shapes:
            close = nearest(name, shapes, 1)
            faults.append(f"unexpected: {name}" + (f" (did you mean {close[0]}?)" if close else ""))
        elif np.shape(array) != shapes[name]:
            faults.append(f"wrong shape: {name} is {np.shape(array)}, the network needs {shapes[name]}")
    return faults


def weights_error(name: str, faults: list[str]) -> NetlatheError:
    """Faults of weights for a network, as many as fit on a screen."""
    shown = faults[:SHOWN] + [f"and {len(faults) - SHOWN} more"] * (len(faults) > SHOWN)
    return NetlatheError(
        f"the weights do not fit {name}:\n  " + "\n  ".join(shown),
        code="weights.mismatch",
        hint="tensors are named by the path of their operator, such as stem.conv.weight",
    )


SHOWN = 20  # faults that fit on one screen


def generator(seed: int, name: str) -> np.random.Generator:
    """A random stream for one tensor."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest[:16])))


def uniform(low: float, high: float) -> Draw:
    """Values between two bounds, in place: a large network is drawn in a second."""

    def values(random: np.random.Generator, shape: Shape) -> Array:
        array = random.random(shape, dtype=np.float32)
        array *= np.float32(high - low)
        array += np.float32(low)
        return array

    return values


def random_signs(random: np.random.Generator, shape: Shape) -> Array:
    """Plus or minus one: the bits of LeNet-5's fixed codes."""
    return np.where(random.random(shape) < 0.5, np.float32(-1), np.float32(1))


def drawing_rule(name: str, shape: Shape) -> Draw:
    """How a tensor of that name and shape is drawn."""
    if len(shape) > 1 and (name == "weight" or name not in DRAWS):
        bound = sqrt(3 / np.prod(shape[1:]))
        return uniform(-bound, bound)
    return DRAWS.get(name, DRAWS["weight"])


DRAWS: dict[str, Draw] = {
    "weight": uniform(0.5, 1.5),
    "bias": uniform(-0.5, 0.5),
    "token": uniform(-0.5, 0.5),
    "running_mean": uniform(-0.3, 0.3),
    "running_var": uniform(0.5, 1.5),
    "codes": random_signs,
}
