"""narrow(): the types of values around QuantizeLinear and DequantizeLinear, as a runtime fuses them.

A runtime computes an operator between the two in integers: what it reads is the quantised value, what it writes is
quantised when it is written. So a DequantizeLinear is the value before it under another name, and a QuantizeLinear
gives its type to the operator before it, where nobody else reads what that makes.
"""

from __future__ import annotations

from collections import Counter

from netlathe.read.onnx_ops import RULES, VIEWS
from netlathe.read.onnx_program import OnnxValue, Program, Step

QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"


def narrow(program: Program) -> frozenset[int]:
    """Narrow the types of what is quantised as it is written; the steps (by identity) that then do nothing."""
    makers = {id(value): step for step in program.steps for value in step.makes}
    readers = Counter(id(value) for step in program.steps for value in step.reads)
    readers.update(id(value) for value in program.outputs)
    outputs = {id(value) for value in program.outputs}
    nothing = set()
    for step in program.steps:
        if step.operator == DEQUANTISE and id(step.makes[0]) not in outputs:
            nothing.add(id(step))
        if step.operator == QUANTISE:
            chain = written_before(step, makers, readers)
            for value in chain:
                value.tensor = value.tensor._replace(type=step.makes[0].tensor.type)
            if chain:
                nothing.add(id(step))
    return frozenset(nothing)


def written_before(step: Step, makers: dict[int, Step], readers: Counter[int]) -> list[OnnxValue]:
    """The values on the way to a QuantizeLinear that only it needs: of the operator before it, through activations."""
    chain: list[OnnxValue] = []
    value = step.reads[0]
    while value is not None and readers[id(value)] == 1 and id(value) in makers:
        maker = makers[id(value)]
        if maker.operator == DEQUANTISE or value is not maker.makes[0]:
            break
        chain.append(value)
        rule = RULES.get(maker.operator)
        if maker.operator not in VIEWS and (rule is None or rule.kind != "act"):
            break
        value = maker.reads[0]
    return chain
