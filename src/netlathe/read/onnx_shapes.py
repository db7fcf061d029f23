"""inferred(): the shapes of the values of an ONNX model, by ONNX's own inference and arithmetic on small constants.

Exporters compute the arguments of Reshape, Expand and Pad by nodes (Shape, Gather, Concat ...). Shape inference follows
some of it; what it does not follow is computed by ONNX's reference evaluator, node by node, and inference runs again.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import InferenceError

from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError
from netlathe.read.onnx_model import nodes_within

SMALL = 1024  # elements: what shapes are computed from is smaller
# Passes of inference: networks take up to 30, and one that takes very many is not worth an hour.
LEAST, EFFORT = 8, 2_000_000  # passes; nodes of all passes together
ARITHMETIC = """
    Gather Concat Unsqueeze Squeeze Cast Add Sub Mul Div Mod Neg Floor Ceil Slice Where Equal Less Greater And Or Not
    Min Max Clip Relu Abs Sign ReduceMax ReduceMin ReduceProd ReduceSum ConstantOfShape Expand Range Reshape Transpose
    Constant Identity Split Pow Sqrt
"""
# ONNX infers nothing through a GroupNormalization; another norm of the same inputs has the same shape.
STAND_INS = {"GroupNormalization": "InstanceNormalization"}

COMPUTED = frozenset(ARITHMETIC.split())
Values = dict[str, NDArray[Any]]


def infer_shapes(model: onnx.ModelProto, source: str) -> dict[str, Shape]:
    """The shapes of all values that are known; what the file itself says stands where ONNX knows no rule.

    Raises NetlatheError where shapes do not fit.
    """
    graph = model.graph
    refuse_odd_splits(graph, source)
    written = {v.name: shape for v in (*graph.value_info, *graph.output) if (shape := shape_of(v)) is not None}
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    for node in bare.graph.node:
        node.op_type = STAND_INS.get(node.op_type, node.op_type)
    values: Values = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer if has_data(t)}
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    for _ in range(max(LEAST, EFFORT // len(graph.node))):
        shapes = infer(bare, source)
        missing = any(name and name not in shapes for node in bare.graph.node for name in node.output)
        if not missing or not fold_constants(bare.graph, shapes, values, opsets):
            return written | shapes | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    raise NetlatheError("shapes depend on each other too often", code="read.shape", path=source,
                        hint="simplify the file (onnxsim), or export it with fixed axes")  # fmt: skip


def refuse_odd_splits(graph: onnx.GraphProto, source: str) -> None:
    """Raise NetlatheError for a Split of more outputs than it names: ONNX's inference ends the process there."""
    for node in nodes_within(graph.node):
        for attribute in node.attribute:
            if node.op_type == "Split" and attribute.name == "num_outputs" and attribute.i != len(node.output):
                message = f"Split has num_outputs {attribute.i}, and {len(node.output)} outputs"
                raise NetlatheError(message, code="read.shape", path=f"{source}: {node.name or node.output[0]}")


def infer(model: onnx.ModelProto, source: str) -> dict[str, Shape]:
    """One pass of ONNX's shape inference."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except (InferenceError, RuntimeError) as error:
        words = " ".join(str(error).split())[:300]
        raise NetlatheError(f"shapes do not fit: {words}", code="read.forward", path=source) from error
    every = (*inferred.input, *inferred.value_info, *inferred.output)
    return {value.name: shape for value in every if (shape := shape_of(value)) is not None}


def fold_constants(graph: onnx.GraphProto, shapes: dict[str, Shape], values: Values, opsets: dict[str, int]) -> bool:
    """Replace the nodes that compute with known numbers by their results; whether there were any."""
    left = []
    for node in graph.node:
        results = node_result(node, shapes, values, opsets)
        if results is None:
            left.append(node)
            continue
        for name, array in zip(node.output, results, strict=False):
            values[name] = array
            graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    changed = len(left) < len(graph.node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in left] if changed else []
    if changed:
        del graph.node[:]
        graph.node.extend(kept)
    return changed


def node_result(
    node: onnx.NodeProto, shapes: dict[str, Shape], values: Values, opsets: dict[str, int]
) -> list[NDArray[Any]] | None:
    """What a node computes, if that is known already."""
    if node.op_type == "Shape" and node.input[0] in shapes:
        attributes = {a.name: a.i for a in node.attribute}
        return [np.array(shapes[node.input[0]][attributes.get("start", 0) : attributes.get("end")], np.int64)]
    names = [name for name in node.input if name]
    if node.op_type not in COMPUTED or any(name not in values for name in names):
        return None
    if any(prod(shapes[name]) > SMALL for name in node.output if name in shapes):
        return None
    inputs = [values[name] for name in names]
    if elements_made(node.op_type, inputs) > SMALL:
        return None
    results = list(ReferenceEvaluator(node, opsets=opsets).run(None, dict(zip(names, inputs, strict=True))))
    return None if any(result.size > SMALL for result in results) else results


def elements_made(operator: str, inputs: list[NDArray[Any]]) -> float:
    """How much an operator makes whose result may be far larger than what it reads; 0 for the others."""
    match operator, inputs:
        case "ConstantOfShape", [shape]:
            return float(prod(shape.tolist()))
        case "Expand", [_, shape]:
            return float(prod(shape.tolist()))
        case "Range", [start, end, step]:
            return float((end - start) / step)
        case _:
            return 0


def has_data(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor is small and its numbers are here."""
    if prod(tensor.dims) > SMALL or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return False
    fields = (tensor.raw_data, tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data)
    return any(fields) or prod(tensor.dims) == 0


def shape_of(value: onnx.ValueInfoProto) -> Shape | None:
    """A shape where all axes are numbers."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    axes = value.type.tensor_type.shape.dim
    return tuple(axis.dim_value for axis in axes) if all(axis.HasField("dim_value") for axis in axes) else None
