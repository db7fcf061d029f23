"""Which operators run as one under a runtime's fusion rules (`runtimes.fusion`), and what it adds to the work."""

from __future__ import annotations

from math import prod

from netlathe.arch.graph import Op
from netlathe.runtimes.fusion import PRODUCTS, Fusion

PASSES = frozenset({"act", "map", "add", "mul", "scale", "position", "norm"})  # kinds that walk over memory once
NARROW = 16  # input channels below which a blocked convolution takes maps as they are


def joins(op: Op, part: list[Op], rule: Fusion) -> bool:
    """Does the operator run in the same pass as these?"""
    first = part[0].kind
    if rule.attends and first == "matmul" and "softmax" in (op.form, part[-1].form):
        return op.form == "softmax" or op.kind == "matmul"
    if first in PRODUCTS:
        rides = op.kind in rule.rides or f"{op.kind}.{op.form}" in rule.rides
        return rides and (op.kind != "add" or first in rule.sums)
    return rule.chains and op.kind in PASSES and part[0].kind in PASSES


def patched(op: Op, of_group: int, of_map: int) -> bool:
    """Does a convolution of images miss the channel multiples of a runtime's fast kernels?"""
    if op.kind != "conv" or prod(op.out_shape[1:]) == 1 or len(op.data_shape) != 3:
        return False
    inputs, outputs = op.in_shapes[0][0], op.out_shape[0]
    if op.form == "grouped":
        groups = groups_of(op)
        return bool(inputs // groups % of_group or outputs // groups % of_group)
    return (op.form == "depthwise" or inputs >= NARROW) and bool(inputs % of_map)


def groups_of(op: Op) -> int:
    """Groups of a grouped convolution: its kernels read input channels / groups each."""
    return max(op.in_shapes[0][0] // next((shape[1] for shape in op.weights.values() if len(shape) > 2), 1), 1)


def patch(op: Op) -> int:
    """Elements that one position of the output reads, all groups together."""
    groups = {"grouped": groups_of(op), "depthwise": op.in_shapes[0][0]}.get(op.form, 1)
    return groups * (op.macs // max(op.out_elements, 1))
