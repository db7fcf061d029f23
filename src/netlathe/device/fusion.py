"""What runtimes make of a graph, as data: which operators run as one, and what each adds to the work.

The rules are what decides a latency and can be read from the runtimes themselves; how fast a runtime is, is measured.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from netlathe.arch.graph import Op
from netlathe.errors import unknown


class Fusion(NamedTuple):
    """What a runtime computes in one pass over memory.

    `rides`: after a convolution or matrix product, by kind or kind.form. `chains`: element-wise operators and norms in
    one pass of their own as well. `reorders`: maps are held in a layout of the runtime's own, so that they are copied
    where they become tokens and back, and where they enter or leave the graph. `blocks`: (input and output channels a
    group, channels of anything else) must be multiples of these, or the convolution is an explicit matrix of patches
    and a product.
    """

    rides: frozenset[str]
    chains: bool = False
    source: str = ""
    reorders: bool = False
    blocks: tuple[int, int] | None = None


def fusion(
    rides: str, chains: bool, source: str, reorders: bool = False, blocks: tuple[int, int] | None = None
) -> Fusion:
    return Fusion(frozenset(rides.split()), chains, source, reorders, blocks)


RUNTIMES: dict[str, Fusion] = {
    "torch": fusion("", False, "eager: every operator is a call"),
    "torch-compile": fusion("", True, "Inductor fuses element-wise operators and norms, beside library products"),
    "onnxruntime": fusion(
        "norm.batch scale act.relu act.relu6 act.hardtanh act.leaky_relu act.sigmoid act.tanh act.hardsigmoid add",
        False,
        "https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html; blocks: what is left "
        "as Conv in the optimised graphs of version 1.32 on AVX-512 (session.optimized_model_filepath)",
        reorders=True,
        blocks=(16, 4),
    ),
    "openvino": fusion(
        "norm.batch scale act add mul map position",
        True,
        "https://docs.openvino.ai/2024/documentation/openvino-extensibility.html",
        reorders=True,
    ),
    "tensorrt": fusion(
        "norm.batch scale act add mul map position",
        True,
        "https://docs.nvidia.com/deeplearning/tensorrt/latest/performance/best-practices.html",
    ),
    "tflite": fusion(
        "norm.batch scale act.relu act.relu6 act.hardtanh",
        False,
        "https://ai.google.dev/edge/litert/models/ops_compatibility",
    ),
}
ALIASES = {"ort": "onnxruntime", "eager": "torch", "compiled": "torch-compile", "litert": "tflite"}
PRODUCTS = frozenset({"conv", "linear", "attention", "matmul"})
PASSES = frozenset({"act", "map", "add", "mul", "scale", "position", "norm"})  # kinds that walk over memory once
NARROW = 16  # input channels below which a blocked convolution takes maps as they are


def rule_of(runtime: str) -> Fusion:
    """The fusion rule of a runtime. Raises NetlatheError with the legal names."""
    name = ALIASES.get(runtime, runtime)
    if name not in RUNTIMES:
        raise unknown("runtime", runtime, RUNTIMES, code="device.runtime")
    return RUNTIMES[name]


def joins(op: Op, part: list[Op], rule: Fusion) -> bool:
    """Does the operator run in the same pass as these?"""
    if part[0].kind in PRODUCTS:
        return op.kind in rule.rides or f"{op.kind}.{op.form}" in rule.rides
    return rule.chains and op.kind in PASSES and part[0].kind in PASSES


def patched(op: Op, of_group: int, of_map: int) -> bool:
    """Does a convolution of images miss the channel multiples of a runtime's fast kernels?"""
    if op.kind != "conv" or prod(op.out_shape[1:]) == 1 or len(op.data_shape) != 3:
        return False
    given, made = op.in_shapes[0][0], op.out_shape[0]
    if op.form == "grouped":
        groups = groups_of(op)
        return bool(given // groups % of_group or made // groups % of_group)
    return (op.form == "depthwise" or given >= NARROW) and bool(given % of_map)


def groups_of(op: Op) -> int:
    """Groups of a grouped convolution: its kernels read input channels / groups each."""
    return max(op.in_shapes[0][0] // next((shape[1] for shape in op.weights.values() if len(shape) > 2), 1), 1)


def patch(op: Op) -> int:
    """Elements that one position of the output reads, all groups together."""
    groups = {"grouped": groups_of(op), "depthwise": op.in_shapes[0][0]}.get(op.form, 1)
    return groups * (op.macs // max(op.out_elements, 1))
