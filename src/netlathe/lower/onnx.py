"""An expression becomes an ONNX file, directly: no torch. The format: https://onnx.ai/onnx/repo-docs/IR.html.

Nodes are named by the path of their operator (`stage1.block1.process.conv`), the helpers of an operator of several
nodes by `path:1`, weights as in a torch state dict (`path.weight`). The input is `input`, further ones `input1` ...
(float32; int64 where an embedding reads it), the result `output`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import onnx

from netlathe.arch.graph import Graph, Op
from netlathe.arch.inputs import batched, input_specs
from netlathe.arch.network import Network
from netlathe.arch.node import Shape
from netlathe.arch.own_leaves import own_rule
from netlathe.errors import NetlatheError
from netlathe.files import write_bytes
from netlathe.lower.onnx_builder import OnnxNodeBuilder
from netlathe.lower.onnx_ops import RULES
from netlathe.lower.onnx_serialize import serialize
from netlathe.lower.weights import checked_weights, random_weights, tensor_shapes

OPSET = 21  # with IR 10 the newest pair whose kernels ONNX Runtime 1.22, our floor, has in full; Gelu needs 20
IR = 10
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
LIMIT = 2**31 - 1  # protobuf's bound on one message, in bytes


def to_onnx(
    network: Network, weights: Mapping[str, Any] | None = None, *, batch: int | None = 1, seed: int = 0
) -> onnx.ModelProto:
    """The network as an ONNX model, float32: (batch, channels, height, width) -> (batch, ...), see `arch.inputs`.

    `weights` by path, else random ones from `seed`; batch None leaves the batch free, as `N`. Raises ShapeError where
    shapes do not fit, and NetlatheError for weights that do not fit, an operator without a rule, and 2 GiB or more.
    """
    graph = checked_graph(network, batch)
    tensors = random_weights(graph, seed) if weights is None else checked_weights(graph, weights)
    model = build_model(network, graph, batch)
    # Written in place: a list of tensors would be copied into the graph, and the graph into the model.
    for name, array in tensors.items():
        data = array.astype("<f4", copy=False).tobytes()
        model.graph.initializer.add(name=name, data_type=FLOAT, dims=array.shape, raw_data=data)
    return model


def save_onnx(
    network: Network,
    path: str | Path,
    weights: Mapping[str, Any] | None = None,
    *,
    batch: int | None = 1,
    seed: int = 0,
) -> None:
    """Write `to_onnx(...)` to a file, atomically.

    Raises NetlatheError as `to_onnx` does, and where the file cannot be written.
    """
    graph = checked_graph(network, batch)
    tensors = random_weights(graph, seed) if weights is None else checked_weights(graph, weights)
    write_bytes(path, *serialize(build_model(network, graph, batch), tensors))


def checked_graph(network: Network, batch: int | None) -> Graph:
    """The graph, if a file can hold it and the batch is one."""
    if batch is not None and batch < 1:
        raise NetlatheError(f"the batch must be at least 1, not {batch}", code="onnx.batch")
    graph = network.graph()
    refuse_large(network.name, graph)
    return graph


def build_model(network: Network, graph: Graph, batch: int | None) -> onnx.ModelProto:
    """The model without its weights."""
    result = graph.outputs[0]
    reads = input_specs(graph)
    names = {i: x.name for i, x in enumerate(reads)}
    names |= {op.output: "output" if op.output == result else f"{op.path}:out" for op in graph.ops}
    builders = [build_nodes(op, names, batch) for op in graph.ops]
    count: int | str = "N" if batch is None else batch

    def value(name: str, shape: Shape, dtype: int = FLOAT) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, dtype, batched(shape, count))

    body = onnx.helper.make_graph(
        [node for build in builders for node in build.nodes]
        + [onnx.helper.make_node("Identity", [names[result]], ["output"])] * (result < len(reads)),
        network.name,
        [value(x.name, x.shape, FLOAT if x.vocabulary is None else INT64) for x in reads],
        [value("output", graph.shapes[result])],
        [constant for build in builders for constant in build.constants],
        value_info=[value(names[op.output], op.out_shape) for op in graph.ops if op.output != result],
    )
    model: onnx.ModelProto = onnx.helper.make_model(
        body,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="netlathe",
        producer_version=version("netlathe"),
    )
    onnx.helper.set_model_props(
        model,
        {
            "netlathe.name": network.name,
            "netlathe.version": version("netlathe"),
            "netlathe.input": "x".join(map(str, network.input)),
        },
    )
    return model


def build_nodes(op: Op, names: dict[int, str], batch: int | None) -> OnnxNodeBuilder:
    """The nodes of one operator."""
    rule = (RULES.get(type(op.leaf)) or own_rule(op.leaf, "onnx")) if op.leaf is not None else None
    if rule is None:
        raise NetlatheError(f"no ONNX rule for the operator {type(op.leaf).__name__}", code="onnx.rule", path=op.path)
    build = OnnxNodeBuilder(op, tuple(names[i] for i in op.inputs), batch)
    build.finish(rule(op.leaf, op, build), names[op.output])
    return build


def refuse_large(name: str, graph: Graph) -> None:
    """Refuse what does not fit into one protobuf message."""
    size = 4 * sum(prod(shape) for shape in tensor_shapes(graph).values())
    if size >= LIMIT:
        raise NetlatheError(
            f"{name} has {size / 1e9:.2f} GB of weights, but an ONNX file in one piece holds less than 2.15 GB",
            code="onnx.size",
            hint="choose a smaller width or depth",
        )
