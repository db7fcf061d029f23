"""stored_tensors(): which tensors of an ONNX file are weights, which are stored beside them, and their types.

ONNX does not say which tensors are trained: weights are all tensors of numbers that enter operators as data. Means and
variances of batch norms, scales and zero points are stored like buffers.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import NamedTuple

import onnx

from netlathe.arch.node import Shape
from netlathe.arch.types import FLOATS
from netlathe.read.onnx_names import TYPES
from netlathe.read.onnx_ops import RULES
from netlathe.read.onnx_program import OnnxValue, Program, Step

Type = onnx.TensorProto
# int64 is for shapes and indices; the narrow integers are quantised weights.
WEIGHTS = frozenset({kind for kind, name in TYPES.items() if name.startswith(("fp", "bf", "int4", "uint4", "int8",
                     "uint8", "int2", "uint2"))} | {Type.INT32})  # fmt: skip


class Stored(NamedTuple):
    """Tensors by name, and the names by the identity of a value; `unread` are weights that nothing reads."""

    names: dict[int, str]
    weights: dict[str, Shape]
    buffers: dict[str, Shape]
    types: dict[str, str]
    precision: str
    unread: tuple[str, ...]


def stored_tensors(program: Program, producer: str) -> Stored:
    """What the file stores of what runs."""
    read = {id(value): value for step in program.steps for value in step.reads if value is not None and value.stored}
    read |= {id(value): value for value in program.outputs if value.stored}
    ours = producer == "netlathe"
    tensors = [value for value in read.values() if is_weight(value, ours)]
    side = parameters(program)
    names: dict[int, str] = {}
    taken: Counter[str] = Counter()
    for value in tensors:
        taken[value.name] += 1
        names[id(value)] = value.name if taken[value.name] == 1 else f"{value.name}:{taken[value.name]}"
    shapes = {names[id(value)]: value.tensor.shape or () for value in tensors}
    buffers = {names[id(value)] for value in tensors if id(value) in side}
    return Stored(
        names,
        {name: shape for name, shape in shapes.items() if name not in buffers},
        {name: shape for name, shape in shapes.items() if name in buffers},
        {names[id(value)]: TYPES.get(value.tensor.type, "") for value in tensors},
        main_precision(tensors),
        tuple(value.name for value in program.unread if is_weight(value, ours)),
    )


def is_weight(value: OnnxValue, ours: bool) -> bool:
    """Numbers with an axis; not the constants that our own lowering adds, whose names have a colon (`lower/onnx`)."""
    return bool(value.tensor.shape) and value.tensor.type in WEIGHTS and not (ours and ":" in value.name)


def main_precision(tensors: list[OnnxValue]) -> str:
    """The float type of most weights."""
    elements: Counter[str] = Counter()
    for value in tensors:
        elements[TYPES.get(value.tensor.type, "")] += prod(value.tensor.shape or ())
    floats = [name for name, _ in elements.most_common() if name in FLOATS]
    return floats[0] if floats else FLOATS[0]


def parameters(program: Program) -> set[int]:
    """Values (by identity) that are statistics of norms, scales and zero points, and nothing else."""
    alias: dict[int, int] = {}
    aside: set[int] = set()
    data: set[int] = set()
    scales: set[int] = set()  # of what was quantised while the network runs
    for step in program.steps:
        ids = [alias.get(id(value), id(value)) for value in step.reads]
        if step.operator == "Identity":
            alias[id(step.makes[0])] = ids[0]
            continue
        if step.operator == "DynamicQuantizeLinear":
            scales.update(map(id, step.makes[1:]))
        other = is_scaling(step, scales)
        for i, value in enumerate(ids):
            (aside if i in side_inputs(step) or other else data).add(value)
    return aside - data


def side_inputs(step: Step) -> range | set[int]:
    """The inputs of a node that hold no weights."""
    if step.operator == "BatchNormalization":
        return {3, 4}
    rule = RULES.get(step.operator)
    return set(range(len(step.reads))) - set(rule.data) if rule is not None and rule.quantised else set()


def is_scaling(step: Step, scales: set[int]) -> bool:
    """Whether a node multiplies scales."""
    return step.operator == "Mul" and any(id(value) in scales for value in step.reads)
