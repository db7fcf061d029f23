"""The arena of a network under TensorFlow Lite Micro, before it has any weights: its int8 file, shapes alone."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netlathe.arch.network import Network
from netlathe.lower.tflite.network import build_model
from netlathe.lower.weights import tensor_shapes
from netlathe.reshape.fold import fold_norms
from netlathe.tflite.arena import arranged, head_bytes, least_tail_bytes, scratch_bytes, tail_bytes
from netlathe.tflite.c_source import missing_operators
from netlathe.tflite.int8 import int8_input, quantisable
from netlathe.tflite.pixels import with_pixels
from netlathe.tflite.schema import TfliteModel


class Arena(NamedTuple):
    """Bytes: of the values, of what stays (with pointers of 32 and of 64 bits), and of what CMSIS-NN may work in."""

    head: int
    least_tail: int
    tail: int
    scratch: int
    missing: tuple[str, ...]  # operators that TensorFlow Lite Micro lacks


def plan_arena(network: Network) -> Arena:
    """What a network needs in int8, pixels in. Raises NetlatheError for an operator that LiteRT lacks."""
    graph = fold_norms(network).graph()
    zeros = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(graph).items()}
    model = build_model(network.name, graph, zeros, grow_kernels=True)
    channels = network.input[0]
    model = arranged(as_int8(with_pixels(model, range(channels), [1.0] * channels)))
    missing = tuple(missing_operators(op.kind for op in model.operators))
    return Arena(head_bytes(model), least_tail_bytes(model), tail_bytes(model), scratch_bytes(model), missing)


def as_int8(model: TfliteModel) -> TfliteModel:
    """A model as int8 would have it, without scales: what an int8 operator writes is a byte."""
    model, tensors = int8_input(model)
    for op, integer in zip(model.operators, quantisable(model), strict=True):
        if integer:
            for i in op.outputs:
                tensors[i] = replace(tensors[i], type="int8")
    return replace(model, tensors=tensors)
