"""OnnxFile: a network that somebody else wrote, as the ONNX file that it is.

To run it, only its head is read: the inputs, and in which precision it computes. So a file runs whose operators nobody
has counted, and one with external data runs where it lies. Its graph is read when somebody asks for it.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import NamedTuple

import onnx

from netlathe.arch.graph import Graph
from netlathe.arch.inputs import Feed
from netlathe.arch.net import ForeignNet
from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError, unknown
from netlathe.files import read_bytes
from netlathe.read.onnx import read_onnx
from netlathe.read.onnx_inputs import OnnxInput, inputs_of
from netlathe.read.onnx_model import parse_model
from netlathe.runtimes.base import FileInput

Type = onnx.TensorProto
PRECISIONS: dict[int, str] = {Type.FLOAT: "fp32", Type.FLOAT16: "fp16", Type.BFLOAT16: "bf16", Type.DOUBLE: "fp64"}
NARROW: dict[int, str] = {Type.INT8: "int8", Type.UINT8: "int8", Type.INT4: "int4", Type.UINT4: "int4"}
# Ids below 2 are legal for every vocabulary, and 1 in a mask hides nothing.
INPUTS: dict[int, tuple[str, int | None]] = {
    Type.FLOAT: ("float32", None),
    Type.FLOAT16: ("float16", None),
    Type.DOUBLE: ("float64", None),
    Type.INT64: ("int64", 2),
    Type.INT32: ("int32", 2),
    Type.BOOL: ("bool", 2),
    Type.INT8: ("int8", 128),
    Type.UINT8: ("uint8", 256),
}


class FileHead(NamedTuple):
    """What has to be known of a file to run it."""

    entries: tuple[FileInput, ...]
    written: tuple[tuple[int | None, ...], ...]  # the shapes that are in the file, by input
    precision: str  # of most of its weights; int8+fp32 where it is quantised and the rest is fp32


class ModelFile(ForeignNet):
    """A file that a runtime loads as it is. Subclasses read its `head` and give its `key`."""

    path: Path

    @property
    @abstractmethod
    def head(self) -> FileHead:
        """What has to be known to run it."""

    @property
    def entries(self) -> tuple[FileInput, ...]:
        """The inputs with their batch axis."""
        return self.head.entries

    @property
    def precision(self) -> str:
        """What it is written in."""
        return self.head.precision

    @property
    def inputs(self) -> tuple[Shape, ...]:
        """The shapes of all inputs, without the batch."""
        return tuple(tuple(size for size in entry.shape[1:] if size is not None) for entry in self.entries)

    def feeds(self, batch: int) -> tuple[Feed, ...]:
        """The inputs for a batch. Raises NetlatheError for a type of input that nobody knows how to make, and where
        the file is fixed to another batch."""
        refuse_unrunnable(self.head, self.name)
        first = next(iter(self.entries[0].shape), None)
        if first not in (None, batch):
            raise NetlatheError(
                f"this file is fixed to a batch of {first}, not {batch}",
                code="bench.batch",
                path=self.name,
                hint=f"--batch {first}, or export it with a free batch axis",
            )
        return tuple(
            Feed(tuple(batch if size is None else size for size in entry.shape), entry.vocabulary, entry.type)
            for entry in self.entries
        )


@dataclass(frozen=True)
class OnnxFile(ModelFile):
    """A file; `shapes` are of its inputs without the batch, where it leaves axes free."""

    kind = "an ONNX file"

    name: str
    path: Path
    shapes: tuple[Shape, ...] = ()

    @cached_property
    def head(self) -> FileHead:
        """Raises NetlatheError for a file that is no ONNX, that has no inputs, or with free axes beside the batch."""
        return read_head(self.path, self.shapes)

    @cached_property
    def key(self) -> str:
        """A hash of its content and its inputs; weights in other files are left out."""
        content = hashlib.sha256(read_bytes(self.path))
        text = ", ".join(f"Entry({', '.join(f'{k}={v!r}' for k, v in e._asdict().items())})" for e in self.entries)
        content.update(f"({text}{',' * (len(self.entries) == 1)})".encode())
        return content.hexdigest()[:16]

    @cached_property
    def operators(self) -> Graph:
        """Read once."""
        return read_onnx(self.path, *self.shapes)

    def graph(self) -> Graph:
        """The operators. Raises NetlatheError for one that nobody counted."""
        return self.operators

    def renamed(self, name: str) -> OnnxFile:
        """The same under another name."""
        return replace(self, name=name)

    def onnx(self, folder: Path, *, batch: int = 1, seed: int = 0) -> Path:
        """The file itself."""
        return self.path.resolve()


def onnx_file(path: str | Path, *inputs: Shape) -> OnnxFile:
    """A file that can run; `inputs` are shapes without the batch, where it leaves axes free.

    Raises NetlatheError for a file that is no ONNX, that has no inputs or takes what nobody can make, or with free axes
    beside the batch.
    """
    file = OnnxFile(str(path), Path(path), inputs)
    refuse_unrunnable(file.head, str(path))
    return file


def read_head(path: Path, shapes: tuple[Shape, ...]) -> FileHead:
    """The inputs of a file, with these shapes where it leaves axes free, and its precision. Raises NetlatheError."""
    model = parse_model(path)
    inputs = inputs_of(model, shapes, str(path)).inputs
    if not inputs:
        raise NetlatheError("this file has no inputs to feed", code="read.inputs", path=str(path))
    return FileHead(tuple(map(entry_of, inputs)), tuple(one.written for one in inputs), precision_of(model, inputs[0]))


def entry_of(one: OnnxInput) -> FileInput:
    """An input as runtimes are fed."""
    name, vocabulary = INPUTS.get(one.type, (Type.DataType.Name(one.type).lower(), None))
    return FileInput(one.name, one.shape, vocabulary, name)


def refuse_unrunnable(head: FileHead, source: str) -> None:
    """Raise NetlatheError for an input of a type that nobody knows how to make, and of a shape that is not the file's.

    Only counting may give a file another shape than it is fixed to.
    """
    types = {name for name, _ in INPUTS.values()}
    for entry, written in zip(head.entries, head.written, strict=True):
        if entry.type not in types:
            legal = sorted(Type.DataType.Name(kind).lower() for kind in INPUTS)
            raise unknown(f"type of the input {entry.name}", entry.type, legal, code="bench.input", path=source)
        if len(entry.shape) != len(written) or any(
            a not in (None, b) for a, b in zip(written, entry.shape, strict=True)
        ):
            message = (
                f"the input {entry.name} is {'x'.join(str(size or '?') for size in written[1:])} without its batch"
            )
            asked = "x".join(map(str, entry.shape[1:]))
            raise NetlatheError(f"{message}, not {asked}", code="read.inputs", path=source)


def precision_of(model: onnx.ModelProto, first: OnnxInput) -> str:
    """The float type of most weights, else of the first input; before it the narrow type where it is quantised."""
    elements: Counter[int] = Counter()
    constants = [
        a.t for node in model.graph.node if node.op_type == "Constant" for a in node.attribute if a.HasField("t")
    ]
    for tensor in (*model.graph.initializer, *constants):
        elements[tensor.data_type] += prod(tensor.dims)
    floats = [kind for kind, _ in elements.most_common() if kind in PRECISIONS]
    kind = PRECISIONS.get(floats[0] if floats else first.type, "fp32")
    narrow = next((NARROW[kind] for kind, _ in elements.most_common() if kind in NARROW), "int8")
    return f"{narrow}+{kind}" if any(is_quantised(node.op_type) for node in model.graph.node) else kind


def is_quantised(operator: str) -> bool:
    """Whether an operator computes with, or makes, quantised integers."""
    return "QuantizeLinear" in operator or operator.startswith("QLinear") or operator.endswith("Integer")
