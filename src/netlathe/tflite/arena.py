"""The memory that TensorFlow Lite Micro needs for a file, by its own rule.

https://github.com/tensorflow/tflite-micro, micro_allocator.cc and greedy_memory_planner.cc: values that are not
constant lie in the head of the arena, from the operator that writes them to the last that reads them. The largest is
placed first, each at the lowest place where nothing lies that lives at the same time; of equal ones the last in the
file comes first, so the order of tensors in the file decides too. Nothing is computed in place.

The tail holds what stays: records of tensors and operators, and multipliers by channel. Its sizes are those of the
reference kernels on 64 bits, as the recording allocator of version 0.dev20261023 tells them (within 0.5 % over 22
files); pointers of 32 bits make it smaller.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod
from typing import NamedTuple

from netlathe.tflite.schema import TfliteModel

ALIGNMENT = 16  # bytes
FIXED_BYTES, TENSOR_BYTES = 720, 24  # of the tail
TENSOR_BYTES_32 = 12  # where pointers have 32 bits
SHARE_32 = 0.5  # of a record of an operator, at least, where pointers have 32 bits
RECORDS = {  # bytes of an operator in the tail, without its channels
    "ADD": 138,
    "AVERAGE_POOL_2D": 132,
    "CONCATENATION": 161,
    "CONV_2D": 172,
    "DEPTHWISE_CONV_2D": 172,
    "FULLY_CONNECTED": 202,
    "HARD_SWISH": 93,
    "LOGISTIC": 82,
    "MAX_POOL_2D": 133,
    "MEAN": 150,
    "MUL": 114,
    "PAD": 127,
    "RELU": 155,
    "RESHAPE": 90,
}
LARGEST_RECORD = 250  # of an operator that was not looked at
BY_CHANNEL = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
SIZES = {"float32": 4, "float16": 2, "int32": 4, "int8": 1, "uint8": 1}


class Buffer(NamedTuple):
    """A value in the arena: bytes, and the first and the last operator in whose time it is needed."""

    bytes: int
    first: int
    last: int


def head_bytes(model: TfliteModel) -> int:
    """The bytes of all values, as they are planned."""
    return planned_bytes(buffers(model))


def arranged(model: TfliteModel) -> TfliteModel:
    """The model with its tensors in the order, as they are or reversed, that needs fewer bytes."""
    last = len(model.tensors) - 1

    def turned(numbers: Iterable[int]) -> list[int]:
        return [last - i for i in numbers]

    operators = [
        replace(op, inputs=tuple(turned(op.inputs)), outputs=tuple(turned(op.outputs))) for op in model.operators
    ]
    ends = turned(model.inputs), turned(model.outputs)
    other = replace(model, tensors=model.tensors[::-1], operators=operators, inputs=ends[0], outputs=ends[1])
    return min(model, other, key=head_bytes)


def tail_bytes(model: TfliteModel, tensor: int = TENSOR_BYTES, share: float = 1.0) -> int:
    """The bytes of what stays, at most: those of a machine of 64 bits.

    `tensor` bytes a tensor, and a `share` of the record of an operator.
    """
    operators = int(share * (FIXED_BYTES + sum(RECORDS.get(op.kind, LARGEST_RECORD) for op in model.operators)))
    channels = sum(model.tensors[op.outputs[0]].shape[-1] for op in model.operators if op.kind in BY_CHANNEL)
    used = {i for op in model.operators for i in (*op.inputs, *op.outputs)}
    return tensor * len(used) + operators + 8 * channels


def least_tail_bytes(model: TfliteModel) -> int:
    """The bytes of what stays, at least: with pointers of 32 bits."""
    return tail_bytes(model, TENSOR_BYTES_32, SHARE_32)


def scratch_bytes(model: TfliteModel) -> int:
    """The most that a kernel of CMSIS-NN may work in: two patches of a convolution in 16 bits.

    https://github.com/ARM-software/CMSIS-NN, arm_convolve_get_buffer_sizes_s8.c
    """
    patches = (prod(model.tensors[op.inputs[1]].shape[1:]) for op in model.operators if op.kind == "CONV_2D")
    return max((2 * 2 * patch for patch in patches), default=0)


def buffers(model: TfliteModel) -> list[Buffer]:
    """The values of a file in the order of its tensors."""
    first: dict[int, int] = dict.fromkeys(model.inputs, 0)
    last: dict[int, int] = dict.fromkeys(model.inputs, 0)
    for number, op in enumerate(model.operators):
        for i in op.outputs:
            first.setdefault(i, number)
            last[i] = number
        for i in op.inputs:
            if i >= 0 and model.tensors[i].data is None:
                last[i] = number
    last.update(dict.fromkeys(model.outputs, len(model.operators) - 1))
    return [Buffer(aligned(tensor_bytes(model, i)), first[i], last[i]) for i in sorted(first)]


def tensor_bytes(model: TfliteModel, number: int) -> int:
    """The bytes of a value."""
    tensor = model.tensors[number]
    return prod(tensor.shape) * SIZES[tensor.type]


def aligned(size: int) -> int:
    """Rounded up to the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def planned_bytes(values: list[Buffer]) -> int:
    """The end of the highest value, when the largest are placed first, each as low as it goes."""
    placed: list[tuple[int, Buffer]] = []  # by offset
    order = values[::-1]  # of equal ones the last comes first
    order.sort(key=lambda one: -one.bytes)
    for value in order:
        offset = 0
        for start, other in placed:
            if other.first > value.last or other.last < value.first:
                continue
            if start - offset >= value.bytes:
                break
            offset = max(offset, start + other.bytes)
        placed.append((offset, value))
        placed.sort(key=lambda one: one[0])
    return max((offset + value.bytes for offset, value in placed), default=0)
