"""An ONNX file as bytes, without a copy of the weights: https://protobuf.dev/programming-guides/encoding/.

A message is a row of fields: a tag (number and wire type), then for wire type 2 the length and the content. Serialising
the whole model in memory costs several copies of its weights; here they go from the arrays to the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
import onnx

from netlathe.lower.weights import Array

Piece: TypeAlias = bytes | memoryview

# Numbers of fields, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9  # of a model, of a graph, of a tensor


def serialize(model: onnx.ModelProto, tensors: Mapping[str, Array]) -> Iterator[Piece]:
    """The pieces of a file with `model` and `tensors` as its initializers, float32."""
    outer = onnx.ModelProto()
    outer.CopyFrom(model)
    outer.ClearField("graph")
    inner: list[Piece] = [model.graph.SerializeToString()]
    for name, array in tensors.items():
        head = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=array.shape).SerializeToString()
        data = np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8).data
        head += field(RAW_DATA, len(data))
        inner += [field(INITIALIZER, len(head) + len(data)), head, data]
    yield outer.SerializeToString()
    yield field(GRAPH, sum(map(len, inner)))
    yield from inner


def field(number: int, length: int) -> bytes:
    """What stands before content of that length."""
    return varint(number << 3 | 2) + varint(length)


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    bytes_ = bytearray()
    while value > 127:
        bytes_.append(value & 127 | 128)
        value >>= 7
    return bytes([*bytes_, value])
