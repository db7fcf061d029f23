"""The file format of LiteRT as data, and its bytes.

https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs (version 3): numbers of operators,
of the tables of their options and of the fields in those. An operator has a version, the first release of its kernel
that has what is used of it: one for floats and one for int8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import NetlatheError

IDENTIFIER, VERSION = b"TFL3", 3
ALIGNMENT = 16  # of the data of a buffer, in bytes
LIMIT = 2**31 - 1  # of a flatbuffer, in bytes
TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int8": 9}
ACTIVATIONS = {"": 0, "relu": 1, "relu6": 3}
PADDINGS = {"SAME": 0, "VALID": 1}


class OperatorSchema(NamedTuple):
    """An operator: its number, its versions, the number of its table of options and their fields, in order."""

    code: int
    versions: tuple[int, int]  # for floats, for int8
    options: int = 0
    fields: tuple[str, ...] = ()


WINDOW = ("padding", "stride_w", "stride_h")
OPERATORS: Mapping[str, OperatorSchema] = {
    "ADD": OperatorSchema(0, (1, 2), 11, ("activation",)),
    "AVERAGE_POOL_2D": OperatorSchema(1, (1, 2), 5, (*WINDOW, "filter_width", "filter_height", "activation")),
    "BATCH_MATMUL": OperatorSchema(126, (1, 2), 101, ("?adj_x", "?adj_y")),
    "CONCATENATION": OperatorSchema(2, (1, 2), 10, ("axis", "activation")),
    "CONV_2D": OperatorSchema(3, (1, 3), 1, (*WINDOW, "activation", "dilation_w_factor", "dilation_h_factor")),
    "COS": OperatorSchema(108, (1, 1)),
    "DEPTHWISE_CONV_2D": OperatorSchema(
        4, (2, 3), 2, (*WINDOW, "depth_multiplier", "activation", "dilation_w_factor", "dilation_h_factor")
    ),
    "DEQUANTIZE": OperatorSchema(6, (3, 2)),
    "DIV": OperatorSchema(42, (1, 2), 29, ("activation",)),
    "FULLY_CONNECTED": OperatorSchema(9, (5, 5), 8, ("activation", "weights_format", "?keep_num_dims")),
    "GATHER": OperatorSchema(36, (1, 2), 23, ("axis",)),
    "GELU": OperatorSchema(150, (1, 2), 116, ("?approximate",)),
    "HARD_SWISH": OperatorSchema(117, (1, 1)),
    "LOCAL_RESPONSE_NORMALIZATION": OperatorSchema(13, (1, 1), 13, ("radius", ".bias", ".alpha", ".beta")),
    "LOGISTIC": OperatorSchema(14, (1, 2)),
    "MAX_POOL_2D": OperatorSchema(17, (1, 2), 5, (*WINDOW, "filter_width", "filter_height", "activation")),
    "MEAN": OperatorSchema(40, (1, 2), 27, ("?keep_dims",)),
    "MUL": OperatorSchema(18, (1, 2), 21, ("activation",)),
    "PAD": OperatorSchema(34, (1, 2), 22),
    "PADV2": OperatorSchema(60, (1, 2), 43),
    "QUANTIZE": OperatorSchema(114, (1, 2)),
    "RELU": OperatorSchema(19, (1, 2)),
    "RELU6": OperatorSchema(21, (1, 2)),
    "RESHAPE": OperatorSchema(22, (1, 1), 17),
    "RESIZE_NEAREST_NEIGHBOR": OperatorSchema(97, (1, 2), 74, ("?align_corners", "?half_pixel_centers")),
    "RSQRT": OperatorSchema(76, (1, 2)),
    "SIN": OperatorSchema(66, (1, 1)),
    "SLICE": OperatorSchema(65, (1, 2), 48),
    "SOFTMAX": OperatorSchema(25, (1, 2), 9, (".beta",)),
    "SPLIT": OperatorSchema(49, (1, 2), 35, ("num_splits",)),
    "SQRT": OperatorSchema(75, (1, 1)),
    "SQUARED_DIFFERENCE": OperatorSchema(99, (1, 2), 76),
    "STRIDED_SLICE": OperatorSchema(45, (1, 2), 32, ("begin_mask", "end_mask")),
    "SUB": OperatorSchema(41, (1, 3), 28, ("activation",)),
    "SUM": OperatorSchema(74, (1, 2), 27, ("?keep_dims",)),
    "TANH": OperatorSchema(28, (1, 2)),
    "TRANSPOSE": OperatorSchema(39, (1, 2), 26),
    "TRANSPOSE_CONV": OperatorSchema(67, (3, 3), 49, WINDOW),
}
WORDS: Mapping[str, Mapping[str, int]] = {"padding": PADDINGS, "activation": ACTIVATIONS}
BYTES = (*WORDS, "weights_format")  # fields of one byte


class Quantisation(NamedTuple):
    """real = scale (q - zero point); more than one scale are those along an axis."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


@dataclass(slots=True)
class Tensor:
    """A value of the file; one with data is a constant."""

    name: str
    shape: tuple[int, ...]
    type: str = "float32"
    data: NDArray[Any] | None = None
    quantisation: Quantisation | None = None


@dataclass(slots=True)
class TfliteOperator:
    """One operator: its kind in `OPERATORS`, the numbers of its tensors, its options by name, and whose part it is."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    path: str = ""  # of the operator of the network


@dataclass(slots=True)
class TfliteModel:
    """What a file holds: tensors, operators in order of execution, inputs and outputs by number, and metadata."""

    name: str
    tensors: list[Tensor]
    operators: list[TfliteOperator]
    inputs: list[int]
    outputs: list[int]
    metadata: dict[str, bytes] = field(default_factory=dict)

    def serialize(self) -> bytes:
        """The file. Raises NetlatheError where it would be 2 GiB or larger."""
        return serialize(self)


def serialize(model: TfliteModel) -> bytes:
    """The bytes of a file: tables are written before those that point to them."""
    import flatbuffers

    size = sum(tensor.data.nbytes for tensor in model.tensors if tensor.data is not None)
    if size >= LIMIT:
        raise NetlatheError(
            f"{model.name} has {size / 1e9:.2f} GB of weights, but a .tflite file holds less than 2.15 GB",
            code="tflite.size",
            hint="choose a smaller width or depth",
        )
    b = flatbuffers.Builder(size + 2**16)
    contents = [b"", *(t.data.tobytes() for t in model.tensors if t.data is not None), *model.metadata.values()]
    buffers = [table(b, {0: TableOffset(aligned_bytes(b, data))} if data else {}) for data in contents]
    numbers = iter(range(1, len(contents)))
    tensors = [write_tensor(b, tensor, 0 if tensor.data is None else next(numbers)) for tensor in model.tensors]
    metadata = [table(b, {0: text(b, name), 1: UInt(next(numbers))}) for name in model.metadata]
    quantised = {i for i, tensor in enumerate(model.tensors) if tensor.type == "int8"}
    kinds = [
        (op.kind, OPERATORS[op.kind].versions[bool(quantised & {*op.inputs, *op.outputs})]) for op in model.operators
    ]
    codes = list(dict.fromkeys(kinds))
    operators = [write_operator(b, op, codes.index(kind)) for op, kind in zip(model.operators, kinds, strict=True)]
    graph = table(
        b,
        {
            0: offsets(b, tensors),
            1: numbers_vector(b, model.inputs, "<i4"),
            2: numbers_vector(b, model.outputs, "<i4"),
            3: offsets(b, operators),
            4: text(b, model.name),
        },
    )
    ends = [offsets(b, [tensor_map(b, model, i) for i in some]) for some in (model.inputs, model.outputs)]
    signature = table(b, {0: ends[0], 1: ends[1], 2: text(b, "serving_default"), 4: UInt(0)})
    written = [
        table(b, {0: Byte(min(OPERATORS[kind].code, 127)), 2: Int(version), 3: Int(OPERATORS[kind].code)})
        for kind, version in codes
    ]
    root = table(
        b,
        {
            0: UInt(VERSION),
            1: offsets(b, written),
            2: offsets(b, [graph]),
            3: text(b, "netlathe"),
            4: offsets(b, buffers),
            6: offsets(b, metadata),
            7: offsets(b, [signature]),
        },
    )
    b.Finish(root, file_identifier=IDENTIFIER)
    return bytes(b.Output())


class Int(int):
    """A field of four bytes."""


class UInt(int):
    """A field of four bytes without sign."""


class Byte(int):
    """A field of one byte."""


class UByte(int):
    """A field of one byte without sign: the kind of a union."""


class TableOffset(int):
    """A field that points to something written before."""


def table(b: Any, fields: Mapping[int, Any]) -> int:
    """Write a table with these fields by number."""
    b.StartObject(max(fields, default=-1) + 1)
    for number, value in fields.items():
        WRITERS[type(value)](b)(number, value, 0)
    return int(b.EndObject())


WRITERS: Mapping[type, Callable[[Any], Callable[[int, Any, Any], None]]] = {
    Int: lambda b: b.PrependInt32Slot,
    UInt: lambda b: b.PrependUint32Slot,
    Byte: lambda b: b.PrependInt8Slot,
    UByte: lambda b: b.PrependUint8Slot,
    bool: lambda b: b.PrependBoolSlot,
    float: lambda b: b.PrependFloat32Slot,
    TableOffset: lambda b: b.PrependUOffsetTRelativeSlot,
}


def text(b: Any, value: str) -> TableOffset:
    """Write a text."""
    return TableOffset(b.CreateString(value))


def offsets(b: Any, items: Sequence[int]) -> TableOffset:
    """Write a row of what was written before."""
    b.StartVector(4, len(items), 4)
    for item in reversed(items):
        b.PrependUOffsetTRelative(item)
    return TableOffset(b.EndVector())


def numbers_vector(b: Any, values: Sequence[float], dtype: str) -> TableOffset:
    """Write a row of numbers."""
    return TableOffset(b.CreateNumpyVector(np.asarray(values, dtype)))


def aligned_bytes(b: Any, data: bytes) -> int:
    """Write the content of a buffer where kernels can read it in place."""
    b.StartVector(1, len(data), ALIGNMENT)
    b.head = b.head - len(data)
    b.Bytes[b.head : b.head + len(data)] = data
    return int(b.EndVector())


def write_tensor(b: Any, tensor: Tensor, buffer: int) -> int:
    """Write a tensor."""
    fields = {
        0: numbers_vector(b, tensor.shape, "<i4"),
        1: Byte(TYPES[tensor.type]),
        2: UInt(buffer),
        3: text(b, tensor.name),
        8: True,
    }
    if tensor.quantisation is not None:
        q = tensor.quantisation
        scales, zeros = numbers_vector(b, q.scales, "<f4"), numbers_vector(b, q.zero_points, "<i8")
        fields[4] = TableOffset(table(b, {2: scales, 3: zeros, 6: Int(q.axis)}))
    return table(b, fields)


def write_operator(b: Any, op: TfliteOperator, code: int) -> int:
    """Write an operator."""
    schema = OPERATORS[op.kind]
    fields: dict[int, Any] = {
        0: UInt(code),
        1: numbers_vector(b, op.inputs, "<i4"),
        2: numbers_vector(b, op.outputs, "<i4"),
    }
    if schema.options:
        fields |= {3: UByte(schema.options), 4: TableOffset(table(b, option_fields(op)))}
    return table(b, fields)


def option_fields(op: TfliteOperator) -> dict[int, Any]:
    """The options of an operator by number of their field: `?` before a name is a truth, `.` a real number."""
    names = OPERATORS[op.kind].fields
    plain = {name.strip("?."): (number, name) for number, name in enumerate(names)}
    fields = dict[int, Any]()
    for option, value in op.options.items():
        number, name = plain[option]
        if option in BYTES:
            fields[number] = Byte(WORDS[option][value] if option in WORDS else value)
        else:
            fields[number] = bool(value) if name[0] == "?" else float(value) if name[0] == "." else Int(value)
    return fields


def tensor_map(b: Any, model: TfliteModel, number: int) -> int:
    """Write under which name a caller finds an input or output."""
    return table(b, {0: text(b, model.tensors[number].name), 1: UInt(number)})
