"""OnnxFile: a network that somebody else wrote, measured as it is.

Nothing of its graph is read but what a worker must know: the inputs, and in which precision it computes. So a file runs
whose operators nobody has counted, and one with external data runs where it lies.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

import onnx

from netlathe.arch.node import Shape
from netlathe.bench import runtimes
from netlathe.bench.worker import InputSpec
from netlathe.errors import NetlatheError, unknown
from netlathe.read.onnx import constants, parse_model

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


class Entry(NamedTuple):
    """One input of the file: the batch is its first axis, None where the file leaves it free."""

    name: str
    shape: tuple[int | None, ...]
    vocabulary: int | None
    type: str


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A file with what is known of it; `key` is a hash of its content, weights in other files left out."""

    name: str
    path: Path
    entries: tuple[Entry, ...]
    precision: str  # of most of its weights; int8+fp32 where it is quantised and the rest is fp32
    key: str

    @property
    def input(self) -> Shape:
        """The first input without the batch."""
        return tuple(size for size in self.entries[0].shape[1:] if size is not None)

    def given(self, batch: int) -> list[InputSpec]:
        """The inputs for a batch. Raises NetlatheError where the file is fixed to another one."""
        first = next(iter(self.entries[0].shape), None)
        if first not in (None, batch):
            raise NetlatheError(
                f"this file is fixed to a batch of {first}, not {batch}",
                code="bench.batch",
                path=self.name,
                hint=f"--batch {first}, or export it with a free batch axis",
            )
        return [
            InputSpec(tuple(batch if size is None else size for size in entry.shape), entry.vocabulary, entry.type)
            for entry in self.entries
        ]

    def precisions(self, runtime: str, precision: str | None) -> tuple[str, str]:
        """What is recorded, and what the runtime is pinned to: OpenVINO converts floats, ONNX Runtime runs what is
        written. Raises NetlatheError for a runtime that reads no ONNX file, or a precision that it would not run."""
        if runtimes.runtime(runtime).form != "onnx":
            able = [name for name, found in runtimes.RUNTIMES.items() if found.form == "onnx"]
            hint = f"give one of --runtime {', '.join(name for name in able if name not in runtimes.CUDA)}"
            message = f"{runtime} runs expressions and cannot run an ONNX file"
            raise NetlatheError(message, code="bench.form", path=self.name, hint=hint)
        integers, plus, floats = self.precision.rpartition("+")
        asked = precision.removeprefix(integers + plus) if precision else None
        if not runtime.startswith("onnxruntime"):
            told = runtimes.precision_of(runtime, asked)
            return integers + plus + told, told
        if asked not in (None, floats):
            raise NetlatheError(
                f"ONNX Runtime computes in what is written, {self.precision}, not in {precision}",
                code="bench.precision",
                path=self.name,
                hint="--runtime openvino pins fp32 or bf16 whatever the file holds; or convert the file",
            )
        return self.precision, self.precision


def onnx_file(path: str | Path, *inputs: Shape) -> OnnxFile:
    """What has to be known of a file to run it; `inputs` are shapes without the batch, where it leaves axes free.

    Raises NetlatheError for a file that is no ONNX, that has no inputs, or with free axes beside the batch.
    """
    model = parse_model(Path(path))
    weights = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in weights]
    if not values or len(inputs) > len(values):
        message = f"{len(inputs)} shapes for {len(values)} inputs" if inputs else "this file has no inputs to feed"
        raise NetlatheError(message, code="read.inputs", path=str(path))
    given = [*inputs, *[None] * (len(values) - len(inputs))]
    entries = tuple(entry(value, shape, str(path)) for value, shape in zip(values, given, strict=True))
    content = hashlib.sha256(Path(path).read_bytes())
    content.update(repr(entries).encode())
    return OnnxFile(str(path), Path(path).resolve(), entries, precision_of(model, values[0]), content.hexdigest()[:16])


def entry(value: onnx.ValueInfoProto, given: Shape | None, source: str) -> Entry:
    """An input with its free axes filled, but that of the batch."""
    tensor = value.type.tensor_type
    if tensor.elem_type not in INPUTS:
        legal = sorted(Type.DataType.Name(known).lower() for known in INPUTS)
        kind = Type.DataType.Name(tensor.elem_type).lower()
        raise unknown(f"type of the input {value.name}", kind, legal, code="bench.input", path=source)
    shape = [axis.dim_value or None for axis in tensor.shape.dim]
    rest = shape[1:]
    if given is not None:
        fits = len(given) == len(rest) and all(a in (None, b) for a, b in zip(rest, given, strict=True))
        if not fits:
            message = f"the input {value.name} is {'x'.join(str(a or '?') for a in rest)} without its batch"
            raise NetlatheError(f"{message}, not {'x'.join(map(str, given))}", code="read.inputs", path=source)
        rest = list(given)
    if None in rest:
        raise NetlatheError(
            f"axis {rest.index(None) + 1} of the input {value.name} is free",
            code="read.free_axis",
            path=source,
            hint="give its shape without the batch: --input 3x224x224, or --resolution 224",
        )
    name, vocabulary = INPUTS[tensor.elem_type]
    return Entry(value.name, (*shape[:1], *rest), vocabulary, name)


def precision_of(model: onnx.ModelProto, first: onnx.ValueInfoProto) -> str:
    """The float type of most weights, else of the first input; before it the narrow type where it is quantised."""
    elements: Counter[int] = Counter()
    for tensor in (*model.graph.initializer, *(t for node in model.graph.node for t in constants(node))):
        elements[tensor.data_type] += prod(tensor.dims)
    floats = [kind for kind, _ in elements.most_common() if kind in PRECISIONS]
    kind = PRECISIONS.get(floats[0] if floats else first.type.tensor_type.elem_type, "fp32")
    narrow = next((NARROW[found] for found, _ in elements.most_common() if found in NARROW), "int8")
    return f"{narrow}+{kind}" if any(is_quantised(node.op_type) for node in model.graph.node) else kind


def is_quantised(operator: str) -> bool:
    """Whether an operator computes with, or makes, quantised integers."""
    return "QuantizeLinear" in operator or operator.startswith("QLinear") or operator.endswith("Integer")
