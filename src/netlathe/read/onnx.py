"""read_onnx(): an ONNX file becomes a Graph. The format: https://onnx.ai/onnx/repo-docs/IR.html.

Shapes are what ONNX's own shape inference says of the nodes. Weights are never read: their shapes are in the file
itself, so one with external data is counted without its data. Which tensors are trained, ONNX does not say: params are
all tensors of numbers that enter operators, but the running statistics of batch norms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path

import onnx
import onnx.inliner

from netlathe.arch.graph import Graph
from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError, nearest
from netlathe.read.graph_builder import GraphBuilder, Scope, TracedValue
from netlathe.read.onnx_model import parse_model
from netlathe.read.onnx_ops import MAKERS, RULES, VIEWS, OnnxCall, register
from netlathe.read.onnx_shapes import has_data, infer_shapes

__all__ = ["read_onnx", "register"]

Type = onnx.TensorProto
# int64 is for shapes and indices; the narrow integers are quantised weights.
WEIGHTS = frozenset({Type.FLOAT, Type.FLOAT16, Type.BFLOAT16, Type.DOUBLE, Type.INT8, Type.UINT8, Type.INT32})


def read_onnx(path: str | Path, *inputs: Shape) -> Graph:
    """The graph of a file for one image. `inputs` are shapes without the batch axis, where the file leaves axes open.

    A free batch axis is 1. Raises NetlatheError for a file that is no ONNX or not complete, for other free axes,
    unknown operators, shapes that ONNX cannot infer, and what `parse_model` refuses.
    """
    path = Path(path)
    model = parse_model(path)
    with refuse_broken(str(path)):
        model = strip_data(model)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        sort_nodes(model.graph)
        names = fix_inputs(model, inputs, str(path))
        shapes = infer_shapes(model, str(path))
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        tensors |= {node.output[0]: constant for node in model.graph.node for constant in constants(node)}
        statistics = running_statistics(model.graph)
        trained = {name: tuple(t.dims) for name, t in tensors.items() if is_weight(model, name, t)}
        builder = GraphBuilder({name: shape for name, shape in trained.items() if name not in statistics},
                    {name: shape for name, shape in trained.items() if name in statistics})  # fmt: skip
        values = {name: builder.input(shapes[name]) for name in names}
        values |= {
            name: TracedValue(tuple(t.dims), sources=(name,) if name in trained else ()) for name, t in tensors.items()
        }
        for i, node in enumerate(model.graph.node):
            try:
                write_node(builder, node, i, values, shapes)
            except BROKEN as error:
                raise broken_file(error, path_of(node, i)) from error
        return builder.graph([values[y.name] for y in model.graph.output if y.name in values], Scope("", alone=False))


BROKEN = (  # by a damaged file
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    onnx.checker.ValidationError,
)


@contextmanager
def refuse_broken(path: str) -> Iterator[None]:
    """What breaks while a damaged file is read is a mistake of the file."""
    try:
        yield
    except BROKEN as error:
        raise broken_file(error, path) from error


def broken_file(error: Exception, path: str) -> NetlatheError:
    """The mistake that a damaged file led into, named with its place; a NetlatheError is one already."""
    if isinstance(error, NetlatheError):
        return error
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return NetlatheError(
        f"this ONNX file does not hold together here ({what})", code="read.broken", path=path,
        hint="onnx.checker.check_model says more; export it again",
    )  # fmt: skip


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put nodes behind those that they need, where they are not yet: ONNX Runtime's quantiser leaves them in any order.

    Raises ValueError for nodes that wait for each other.
    """
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    needed = {i: {makers[name] for name in node.input if name in makers} for i, node in enumerate(graph.node)}
    if all(max(before, default=-1) < i for i, before in needed.items()):
        return
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    order = list(TopologicalSorter(needed).static_order())
    del graph.node[:]
    graph.node.extend(nodes[i] for i in order)


def strip_data(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes of large tensors alone."""
    for tensor in model.graph.initializer:
        if not has_data(tensor):
            stripped = Type(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            tensor.CopyFrom(stripped)
    return model


def fix_inputs(model: onnx.ModelProto, shapes: tuple[Shape, ...], source: str) -> list[str]:
    """Give every input a whole shape with a batch of 1; returns their names."""
    weights = {tensor.name for tensor in model.graph.initializer}
    free = [value for value in model.graph.input if value.name not in weights]
    batches = {value.type.tensor_type.shape.dim[0].dim_param for value in free if value.type.tensor_type.shape.dim} - {
        ""
    }
    for value in (*model.graph.value_info, *model.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in batches:
                axis.dim_value = 1
    if len(shapes) > len(free):
        raise NetlatheError(f"{len(shapes)} shapes for {len(free)} inputs", code="read.inputs", path=source)
    for value, wanted in zip(free, [*shapes, *[None] * (len(free) - len(shapes))], strict=True):
        axes = value.type.tensor_type.shape.dim
        if wanted is not None and len(wanted) != len(axes) - 1:
            sizes = "x".join(axis.dim_param or str(axis.dim_value) for axis in axes[1:])
            message = f"the input {value.name} is {sizes}, not {'x'.join(map(str, wanted))}"
            raise NetlatheError(message, code="read.inputs", path=source)
        for i, axis in enumerate(axes):
            if i and wanted is not None:
                axis.dim_value = wanted[i - 1]
            elif i == 0 and (wanted is not None or not axis.dim_value):
                axis.dim_value = 1
            elif not axis.dim_value:
                raise NetlatheError(
                    f"axis {i} of the input {value.name} is free" + f" ({axis.dim_param})" * bool(axis.dim_param),
                    code="read.free_axis",
                    path=source,
                    hint="give a shape without the batch axis: --input 3x224x224, or read_onnx(path, (3, 224, 224))",
                )
        if axes and axes[0].dim_value != 1 and len(axes) > 1:
            raise NetlatheError(
                f"the input {value.name} has a batch of {axes[0].dim_value}, but counts are of one image",
                code="read.batch",
                path=source,
                hint="export it with a batch of 1 or a free one, or try --input with the shape of one image",
            )
    return [value.name for value in free]


def running_statistics(graph: onnx.GraphProto) -> set[str]:
    """The tensors that are means and variances of batch norms and nothing else."""
    alias = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    statistics: set[str] = set()
    others: set[str] = set()
    for node in (node for node in graph.node if node.output[0] not in alias):
        norm = node.op_type == "BatchNormalization"
        statistics.update(alias.get(name, name) for name in node.input[3:5] if norm)
        others.update(alias.get(name, name) for name in (node.input[:3] if norm else node.input))
    return statistics - others


def constants(node: onnx.NodeProto) -> list[onnx.TensorProto]:
    """The tensor of a Constant node."""
    return [a.t for a in node.attribute if a.name == "value"] if node.op_type == "Constant" else []


def is_weight(model: onnx.ModelProto, name: str, tensor: onnx.TensorProto) -> bool:
    """Numbers with an axis; not the constants that our own lowering adds, whose names have a colon (`lower/onnx`)."""
    ours = model.producer_name == "netlathe" and ":" in name
    return len(tensor.dims) > 0 and tensor.data_type in WEIGHTS and not ours


def write_node(
    builder: GraphBuilder, node: onnx.NodeProto, i: int, values: dict[str, TracedValue], shapes: dict[str, Shape]
) -> None:
    """One node."""
    path = path_of(node, i)
    xs = [values.get(name) or TracedValue(shapes.get(name, ())) for name in node.input if name]
    name = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"
    y = shapes.get(node.output[0])
    still = all(x.root.id is None for x in xs)
    if name in MAKERS or (y is None and still):
        for output in node.output:
            values.setdefault(
                output, TracedValue(shapes.get(output, ()), sources=tuple(s for x in xs for s in x.sources))
            )
        return
    rule = RULES.get(name)
    if name not in VIEWS and rule is None:
        raise unknown_operator(name, path)
    if y is None:
        raise NetlatheError(
            f"the shape that {name} makes is not known", code="read.shape", path=path,
            hint="give the shape of the input, or simplify the file (onnxsim), or export it with fixed axes",
        )  # fmt: skip
    if rule is None:
        values[node.output[0]] = builder.view(xs[0], y)
        return
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    call = OnnxCall(tuple(shapes.get(name, ()) for name in node.input), y, attributes)
    form, macs = rule.work(call) if rule.work else (rule.form, 0)
    weighted = rule.kind == "matmul" and any(x.root.id is None and x.sources for x in xs)
    result = builder.emit(Scope(path), "linear" if weighted else rule.kind, form, xs[:1] if rule.first else xs, y, macs)
    values[node.output[0]] = result
    for output in node.output[1:]:
        values[output] = builder.view(result, shapes.get(output, y))


def path_of(node: onnx.NodeProto, i: int) -> str:
    """The name of a node; torch's `/layer1/layer1.0/conv1/Conv` is layer1.0.conv1."""
    if not node.name.startswith("/"):
        return node.name or f"{node.op_type.lower()}{i}"
    parts: list[str] = []
    for part in node.name.strip("/").split("/"):
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts[:-1]) if len(parts) > 1 and parts[-1] == node.op_type else ".".join(parts)


def unknown_operator(name: str, path: str) -> NetlatheError:
    close = nearest(name, RULES, 1)
    like = f", for example as {close[0]} is" if close else ""
    if name in ("If", "Loop", "Scan"):
        return NetlatheError(f"{name} decides at run time what is executed, so the network has no one cost",
                             code="read.values", path=path, hint="export it for one branch")  # fmt: skip
    return NetlatheError(
        f"unknown operator {name}: nothing is assumed to be free",
        code="read.unknown_operator",
        path=path,
        hint=f'say what it is{like}: netlathe.read.onnx.register("{name}", kind, work=macs)',
    )
