"""What a network reads, as a runtime sees it: names, shapes with the batch axis, and which rows are token ids."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.graph import Graph
from netlathe.arch.network import Network
from netlathe.arch.node import Shape
from netlathe.arch.tokens import Embedding


class InputSpec(NamedTuple):
    """One input. Float32, or int64 ids below `vocabulary` where an embedding reads it."""

    name: str
    shape: Shape
    vocabulary: int | None = None


def inputs(of: Network | Graph) -> tuple[InputSpec, ...]:
    """The inputs in order: `input`, then `input1`, `input2` ..."""
    graph = of if isinstance(of, Graph) else of.graph()
    ids = {op.inputs[0]: op.leaf.vocabulary for op in graph.ops if isinstance(op.leaf, Embedding)}
    return tuple(
        InputSpec(f"input{i}" if i else "input", shape, ids.get(i)) for i, shape in enumerate(graph.input_shapes)
    )


def batched(shape: Shape, batch: Any) -> tuple[Any, ...]:
    """The shape of a tensor: the batch axis takes the place of a grid's leading 1, else it comes before all axes."""
    return (batch, *(shape[1:] if len(shape) == 4 else shape))


def examples(of: Network | Graph, batch: int = 1, seed: int = 0) -> tuple[NDArray[Any], ...]:
    """Random inputs: standard normal, and uniform ids."""
    random = np.random.default_rng(seed)
    return tuple(
        random.standard_normal(batched(shape, batch), np.float32)
        if vocabulary is None
        else random.integers(0, vocabulary, batched(shape, batch))
        for _, shape, vocabulary in inputs(of)
    )
