"""A .tflite file read back: what `schema.serialize` writes, and of other files what inputs and types they have."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.tflite.schema import (
    ACTIVATIONS,
    IDENTIFIER,
    OPERATORS,
    PADDINGS,
    TYPES,
    Quantisation,
    Tensor,
    TfliteModel,
    TfliteOperator,
)

KINDS = {schema.code: kind for kind, schema in OPERATORS.items()}
NAMES = {number: name for name, number in TYPES.items()}
DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "int8": "i1"}
WORDS = {"padding": {v: k for k, v in PADDINGS.items()}, "activation": {v: k for k, v in ACTIVATIONS.items()}}
OTHER = "OTHER"  # an operator that is never written here


def parse(content: bytes, source: str = "") -> TfliteModel:
    """The model in the bytes of a file. Raises NetlatheError for bytes that are none."""
    try:
        return parse_model(content)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, UnicodeDecodeError) as error:
        message = f"this is no .tflite file that can be read: {error}"
        raise NetlatheError(message, code="tflite.parse", path=source) from None


class TableReader:
    """A table of a flatbuffer: fields by number, each with a default for one that is left out."""

    def __init__(self, content: bytes, position: int) -> None:
        if not 0 < position < len(content):
            raise ValueError("a table lies outside the file")
        self.content, self.position = content, position
        self.fields = position - self.number("<i", position)
        self.size = self.number("<H", self.fields)

    def number(self, kind: str, at: int) -> Any:
        """A number at a place."""
        if at < 0:
            raise ValueError("a place lies before the file")
        return struct.unpack_from(kind, self.content, at)[0]

    def place(self, field: int) -> int:
        """Where a field lies; 0 where it is left out."""
        at = 4 + 2 * field
        offset = self.number("<H", self.fields + at) if at < self.size else 0
        return self.position + offset if offset else 0

    def value(self, field: int, kind: str, default: Any) -> Any:
        """A number in a field."""
        at = self.place(field)
        return self.number(kind, at) if at else default

    def target(self, field: int) -> int:
        """Where an offset in a field leads; 0 where it is left out."""
        at = self.place(field)
        return at + self.number("<I", at) if at else 0

    def table(self, field: int) -> TableReader | None:
        """A table in a field."""
        at = self.target(field)
        return TableReader(self.content, at) if at else None

    def tables(self, field: int) -> list[TableReader]:
        """A row of tables."""
        start, count = self.row(field, 4)
        places = [start + 4 * i for i in range(count)]
        return [TableReader(self.content, at + self.number("<I", at)) for at in places]

    def numbers(self, field: int, dtype: str) -> tuple[Any, ...]:
        """A row of numbers."""
        start, count = self.row(field, np.dtype(dtype).itemsize)
        return tuple(np.frombuffer(self.content, dtype, count, start).tolist()) if count else ()

    def bytes(self, field: int) -> bytes:
        """A row of bytes, or a text."""
        start, count = self.row(field, 1)
        return self.content[start : start + count]

    def row(self, field: int, size: int) -> tuple[int, int]:
        """Where a row begins and how many items of a size it has."""
        at = self.target(field)
        count = self.number("<I", at) if at else 0
        if at + count * size > len(self.content):
            raise ValueError("a row is longer than the file")
        return at + 4, count


def parse_model(content: bytes) -> TfliteModel:
    """The first graph of a file."""
    if content[4:8] != IDENTIFIER:
        raise ValueError("it does not begin as one")
    root = TableReader(content, struct.unpack_from("<I", content)[0])
    codes = [read_code(table) for table in root.tables(1)]
    buffers = [table.bytes(0) for table in root.tables(4)]
    graph = root.tables(2)[0]
    tensors = [read_tensor(table, buffers) for table in graph.tables(0)]
    operators = [read_operator(table, codes) for table in graph.tables(3)]
    inputs, outputs = list(graph.numbers(1, "<i4")), list(graph.numbers(2, "<i4"))
    if any(not 0 <= i < len(tensors) for i in (*inputs, *outputs, *(i for op in operators for i in op.outputs))):
        raise ValueError("an operator writes a tensor that is not there")
    for op in operators:
        op.path = tensors[op.outputs[0]].name.partition(":")[0] if op.outputs else ""
    metadata = {table.bytes(0).decode(): buffers[table.value(1, "<I", 0)] for table in root.tables(6)}
    return TfliteModel(graph.bytes(4).decode(), tensors, operators, inputs, outputs, metadata)


def read_code(table: TableReader) -> str:
    """The kind of operator that a code names."""
    return KINDS.get(max(table.value(0, "<b", 0), table.value(3, "<i", 0)), OTHER)


def read_tensor(table: TableReader, buffers: list[bytes]) -> Tensor:
    """A tensor; its data where it is a constant."""
    shape, kind = table.numbers(0, "<i4"), NAMES.get(table.value(1, "<b", 0), "")
    content = buffers[table.value(2, "<I", 0)]
    data = np.frombuffer(content, DTYPES[kind]).reshape(shape) if content and kind else None
    scales = table.table(4)
    quantisation = None
    if scales is not None and (values := scales.numbers(2, "<f4")):
        quantisation = Quantisation(values, scales.numbers(3, "<i8"), scales.value(6, "<i", 0))
    return Tensor(table.bytes(3).decode(), shape, kind, data, quantisation)


def read_operator(table: TableReader, codes: list[str]) -> TfliteOperator:
    """An operator with the options that are written here."""
    kind = codes[table.value(0, "<I", 0)]
    options, fields = table.table(4), OPERATORS[kind].fields if kind in OPERATORS else ()
    values = {name.strip("?."): read_option(options, i, name) for i, name in enumerate(fields) if options is not None}
    return TfliteOperator(kind, table.numbers(1, "<i4"), table.numbers(2, "<i4"), values)


def read_option(options: TableReader, field: int, name: str) -> Any:
    """An option as `schema` takes it."""
    if name[0] == "?":
        return bool(options.value(field, "<b", 0))
    if name[0] == ".":
        return float(options.value(field, "<f", 0.0))
    if name == "weights_format":
        return options.value(field, "<b", 0)
    if words := WORDS.get(name):
        return words.get(options.value(field, "<b", 0), "")
    default = 1 if name.startswith("dilation") else 0
    return options.value(field, "<i", default)
