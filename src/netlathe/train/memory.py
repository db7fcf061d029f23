"""Will a step fit into memory? Asked before it is tried: on Linux the kernel kills first and explains nothing."""

from __future__ import annotations

import psutil
import torch

from netlathe.arch.net import Net
from netlathe.errors import NetlatheError
from netlathe.train.recipe import Recipe
from netlathe.units import show_bytes

COPIES = 5  # of the weights: themselves, gradients, two moments, the average
HELD = 2.0  # values held for the backward pass by value that an operator writes: inputs of norms and activations


def estimate_memory(network: Net, images: int) -> int:
    """Bytes of a training step on so many images at a time, float32; an estimate to within a factor of two."""
    ops = network.graph().ops
    weights = sum(op.params for op in ops)
    values = sum(op.out_elements for op in ops if not op.view)
    return int(4 * (COPIES * weights + HELD * values * images))


def check_memory(network: Net, recipe: Recipe, batch: int, accumulate: int) -> None:
    """Raise NetlatheError where a step will not fit, with what fits."""
    cuda = torch.cuda.is_available()
    free: int = torch.cuda.mem_get_info()[0] if cuda else psutil.virtual_memory().available
    at_a_time = -(-batch // accumulate)
    if estimate_memory(network, at_a_time) <= free:
        return
    fits = at_a_time
    while fits > 2 and estimate_memory(network, fits) > free:
        fits //= 2
    enough = -(-batch // fits)
    raise NetlatheError(
        f"{at_a_time} images at a time need about {show_bytes(estimate_memory(network, at_a_time))} of memory, "
        f"{show_bytes(free)} is free",
        code="train.memory",
        path=recipe.name,
        hint=f"--accumulate {enough} gives the same batch {fits} images at a time, --batch {fits} a smaller one",
    )
