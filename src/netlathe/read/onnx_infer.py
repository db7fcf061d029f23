"""ShapeInference: types and shapes of what a node makes, by ONNX's own rules for the file's opsets.

A node is asked one at a time, with the numbers that are known, so that one pass is enough; equal questions are asked
once. Operators that ONNX has no rule for (ONNX Runtime's) have theirs in `onnx_microsoft`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

import onnx
from onnx.defs import OpSchema, SchemaError
from onnx.shape_inference import InferenceError

from netlathe.arch.node import Shape
from netlathe.read.onnx_fold import Numbers
from netlathe.read.onnx_names import STANDARD, name_of
from netlathe.read.onnx_variants import (
    BLOCK,
    SHAPES,
    STAND_INS,
    TYPED_AS,
    ShapeCall,
    Shapes,
    channels_last,
    channels_second,
)

TELLING = 16  # floats: scales of a Resize, limits of a Range; longer ones are weights, which decide no shape


class KnownTensor(NamedTuple):
    """What is known of a value: its type (0 where it is not), its shape, and its numbers where they are few."""

    type: int = 0
    shape: Shape | None = None
    numbers: Numbers | None = None


UNKNOWN = KnownTensor()
Key: TypeAlias = tuple[Any, ...]


class ShapeInference:
    """For the opsets of a file."""

    def __init__(self, opsets: Mapping[str, int], block: int = BLOCK) -> None:
        self.opsets = {"" if domain in STANDARD else domain: version for domain, version in opsets.items()}
        self.imports = [onnx.helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        self.block = block  # channels that lie together where ONNX Runtime reordered them
        self.memo: dict[Key, list[KnownTensor]] = {}

    def of(
        self, node: onnx.NodeProto, packed: bytes, attributes: Mapping[str, Any], reads: list[KnownTensor | None]
    ) -> list[KnownTensor]:
        """What a node makes, an entry an output. Raises InferenceError where shapes do not fit.

        `packed` are the attributes in one word.
        """
        key = (node.domain, node.op_type, packed, len(node.output), *map(question, reads))
        answer = self.memo.get(key)
        if answer is None:
            name = name_of(node)
            rule = SHAPES.get(name)
            answer = self.memo[key] = (
                self.ask(node, reads) if rule is None else self.work_out(name, rule, node, attributes, reads)
            )
        return answer

    def work_out(
        self,
        name: str,
        rule: Shapes,
        node: onnx.NodeProto,
        attributes: Mapping[str, Any],
        reads: list[KnownTensor | None],
    ) -> list[KnownTensor]:
        """The answer of a rule of ours."""
        if any(read is not None and read.shape is None for read in reads):
            return [UNKNOWN] * len(node.output)
        xs = [(read.shape or ()) if read is not None else () for read in reads]
        shapes = rule(ShapeCall(xs, {**attributes, "block": self.block}))
        type_ = type_like(name, reads)
        return [KnownTensor(type_, shape) for shape, _ in zip([*shapes, *[None] * 9], node.output, strict=False)]

    def ask(self, node: onnx.NodeProto, reads: list[KnownTensor | None]) -> list[KnownTensor]:
        """The answer of ONNX, or that of the operator of ONNX which this one is a variety of."""
        name = name_of(node)
        standard = STAND_INS.get(name)
        domain, operator = ("", name) if "::" not in name else (node.domain, node.op_type)
        if standard is not None:
            domain, operator = "", standard.operator
            type_ = type_like(name, reads)
            reads = [reads[i] if i < len(reads) else None for i in standard.inputs or range(len(reads))]
            if operator in FLOATING:  # whose rule refuses integers
                reads = [read and read._replace(type=onnx.TensorProto.FLOAT) for read in reads]
        schema = schema_of(operator, self.opsets.get(domain, 0), domain)
        if schema is None or any(read is not None and not read.type for read in reads):
            return [UNKNOWN] * len(node.output)
        refuse_surplus(node)
        last = any(a.name == "channels_last" and a.i for a in node.attribute)
        first = reads[0] if reads else None
        if last and first is not None and first.shape:
            reads = [first._replace(shape=channels_second(first.shape)), *reads[1:]]
        plain = onnx.NodeProto(op_type=operator, domain=domain)
        plain.attribute.extend(a for a in node.attribute if standard is None or a.name in schema.attributes)
        plain.input.extend(f"i{i}" if read is not None else "" for i, read in enumerate(reads))
        plain.output.extend(f"o{i}" if name else "" for i, name in enumerate(node.output))
        types = {f"i{i}": type_proto(read) for i, read in enumerate(reads) if read is not None}
        data = {
            f"i{i}": onnx.numpy_helper.from_array(read.numbers, f"i{i}")
            for i, read in enumerate(reads)
            if read is not None and read.numbers is not None and tells(read)
        }
        answers = onnx.shape_inference.infer_node_outputs(schema, plain, types, data, None, self.imports)
        tensors = [tensor_of(answers.get(f"o{i}")) for i in range(len(node.output))]
        if last:
            tensors = [t._replace(shape=channels_last(t.shape)) if t.shape else t for t in tensors]
        return tensors if standard is None else [t._replace(type=type_) for t in tensors]


def refuse_surplus(node: onnx.NodeProto) -> None:
    """Raise InferenceError for a Split of other outputs than it names: ONNX's inference ends the process there."""
    parts = next((a.i for a in node.attribute if a.name == "num_outputs"), len(node.output))
    if parts != len(node.output):
        raise InferenceError(f"{node.op_type} has num_outputs {parts}, and {len(node.output)} outputs")


FLOATING = frozenset(
    {"Conv", "Gemm", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "Add", "Mul", "MatMul"}
)


def type_like(name: str, reads: list[KnownTensor | None]) -> int:
    """The type of what an operator of ONNX Runtime makes: that of one of its inputs."""
    i = TYPED_AS.get(name, 0)
    model = reads[i] if i < len(reads) else None
    return 0 if model is None else model.type


@cache
def schema_of(operator: str, version: int, domain: str) -> OpSchema | None:
    """The operator as that opset has it."""
    try:
        schema = onnx.defs.get_schema(operator, version, domain)
    except SchemaError:
        return None
    infers = schema.has_type_and_shape_inference_function
    return schema if infers and not schema.deprecated else None


def tells(read: KnownTensor) -> bool:
    """Whether the numbers of a value may decide a shape."""
    return read.numbers is not None and (read.numbers.dtype.kind in "iub" or read.numbers.size <= TELLING)


def question(read: KnownTensor | None) -> Key:
    """All of an input that decides the answer."""
    if read is None:
        return ()
    numbers = read.numbers if tells(read) else None
    return (read.type, read.shape, None if numbers is None else sha256(numbers.tobytes()).digest())


def type_proto(read: KnownTensor) -> onnx.TypeProto:
    """As ONNX says it."""
    return onnx.helper.make_tensor_type_proto(read.type, read.shape)


def tensor_of(answer: onnx.TypeProto | None, sizes: Mapping[str, int] | None = None) -> KnownTensor:
    """A type as we say it: its shape where all axes are numbers, or names with `sizes`."""
    if answer is None or not answer.HasField("tensor_type"):
        return UNKNOWN
    kind = answer.tensor_type
    if not kind.HasField("shape"):
        return KnownTensor(kind.elem_type)
    axes = [
        axis.dim_value if axis.HasField("dim_value") and axis.dim_value >= 0 else (sizes or {}).get(axis.dim_param)
        for axis in kind.shape.dim
    ]
    return KnownTensor(kind.elem_type, None if None in axes else tuple(axis for axis in axes if axis is not None))


def tensor_of_numbers(numbers: Numbers) -> KnownTensor:
    """Known numbers."""
    return KnownTensor(onnx.helper.np_dtype_to_tensor_dtype(numbers.dtype), numbers.shape, numbers)
