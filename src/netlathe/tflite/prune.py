"""A model without what nothing reads, its tensors numbered from 0."""

from __future__ import annotations

from dataclasses import replace

from netlathe.tflite.schema import TfliteModel, TfliteOperator


def prune(model: TfliteModel) -> TfliteModel:
    """The operators and tensors that the outputs depend on, in the order in which they were; inputs stay."""
    needed, operators = {*model.inputs, *model.outputs}, list[TfliteOperator]()
    for op in reversed(model.operators):
        if needed.intersection(op.outputs):
            operators.append(op)
            needed |= {*op.inputs, *op.outputs}
    numbers = {old: new for new, old in enumerate(sorted(needed))}
    renumbered = [
        replace(op, inputs=tuple(numbers[i] for i in op.inputs), outputs=tuple(numbers[i] for i in op.outputs))
        for op in reversed(operators)
    ]
    tensors = [model.tensors[i] for i in sorted(needed)]
    inputs, outputs = ([numbers[i] for i in ends] for ends in (model.inputs, model.outputs))
    return replace(model, tensors=tensors, operators=renumbered, inputs=inputs, outputs=outputs)
