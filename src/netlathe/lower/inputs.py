"""Examples of what a network reads, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.graph import Graph
from netlathe.arch.inputs import batched, input_specs
from netlathe.arch.network import Network


def examples(of: Network | Graph, batch: int = 1, seed: int = 0) -> tuple[NDArray[Any], ...]:
    """Random inputs: standard normal, and uniform ids."""
    random = np.random.default_rng(seed)
    return tuple(
        random.standard_normal(batched(shape, batch), np.float32)
        if vocabulary is None
        else random.integers(0, vocabulary, batched(shape, batch))
        for _, shape, vocabulary in input_specs(of if isinstance(of, Graph) else of.graph())
    )
