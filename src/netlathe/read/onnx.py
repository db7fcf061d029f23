"""read_onnx(): an ONNX file becomes a Graph. The format: https://onnx.ai/onnx/repo-docs/IR.html.

Shapes are what ONNX's own shape inference says of the nodes. Weights are never read: their shapes are in the file
itself, so one with external data is counted without its data. Which tensors are trained, ONNX does not say: params are
all tensors of numbers that enter operators, but the running statistics of batch norms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path

import onnx
import onnx.inliner

from netlathe.arch.graph import Graph
from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError, nearest
from netlathe.read.graph_builder import GraphBuilder, Scope, TracedValue
from netlathe.read.onnx_fold import number_of
from netlathe.read.onnx_infer import KnownTensor, tensor_of
from netlathe.read.onnx_inputs import inputs_of
from netlathe.read.onnx_model import parse_model
from netlathe.read.onnx_names import TYPES
from netlathe.read.onnx_ops import MAKERS, RULES, VIEWS, register
from netlathe.read.onnx_program import DECIDED, OnnxValue, Program, Step, is_known, resolve
from netlathe.read.onnx_quantised import narrow
from netlathe.read.onnx_rule import OnnxCall
from netlathe.read.onnx_weights import Stored, stored_tensors
from netlathe.read.views import is_moved

__all__ = ["read_onnx", "register"]


def read_onnx(path: str | Path, *inputs: Shape) -> Graph:
    """The graph of a file for one image. `inputs` are shapes without the batch axis, where the file leaves axes open.

    A free batch axis is 1. Raises NetlatheError for a file that is no ONNX or not complete, for other free axes,
    unknown operators, shapes that ONNX cannot infer, outputs and weights that nothing reaches, and what `parse_model`
    refuses.
    """
    path = Path(path)
    model = parse_model(path)
    with refuse_broken(str(path), model):
        if model.functions:
            model = onnx.inliner.inline_local_functions(strip_data(model))
        sort_nodes(model.graph)
        program = resolve(model, *known_values(model, inputs, str(path)), str(path))
        stored = stored_tensors(program, model.producer_name)
        if stored.unread:
            raise unreached_weight(stored.unread, str(path))
        return write_graph(program, stored)


def write_graph(program: Program, stored: Stored) -> Graph:
    """The operators of what runs."""
    types = narrow(program)
    builder = GraphBuilder(stored.weights, stored.buffers, stored.types, stored.precision)
    for value in program.inputs:
        assert value.tensor.shape is not None
        value.traced = builder.input(value.tensor.shape, TYPES.get(value.tensor.type, ""))
    for step in program.steps:
        write_step(builder, step, stored, types)
    return builder.graph([traced_of(output, stored) for output in program.outputs], Scope("", alone=False))


def known_values(
    model: onnx.ModelProto, shapes: tuple[Shape, ...], source: str
) -> tuple[dict[str, KnownTensor], dict[str, KnownTensor]]:
    """The inputs by name, for a batch of 1; and what the file itself says of other values.

    Nothing of the latter where an input has another size than the file fixes. Raises NetlatheError for a batch.
    """
    inputs, sizes, fixed = inputs_of(model, shapes, source)
    tensors = {}
    for i, one in enumerate(inputs):
        batch = one.written[0] if one.batched and len(one.written) > 1 else None
        if batch not in (None, 1) and i >= len(shapes):
            raise NetlatheError(
                f"the input {one.name} has a batch of {batch}, but counts are of one image",
                code="read.batch",
                path=source,
                hint="export it with a batch of 1 or a free one, or try --input with the shape of one image",
            )
        tensors[one.name] = KnownTensor(one.type, one.one if batch is None else (1, *one.one[1:]))
        fixed &= batch in (None, 1)
    infos = (*model.graph.value_info, *model.graph.output) if fixed else ()
    return tensors, {info.name: tensor_of(info.type, sizes) for info in infos}


BROKEN = (  # by a damaged file
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    onnx.checker.ValidationError,
)


@contextmanager
def refuse_broken(path: str, model: onnx.ModelProto) -> Iterator[None]:
    """What breaks while a damaged file is read is a mistake of the file."""
    try:
        yield
    except BROKEN as error:
        raise broken_file(error, path, model) from error


def broken_file(error: Exception, path: str, model: onnx.ModelProto) -> NetlatheError:
    """What reading a file led into, with its place; a NetlatheError is one already.

    The file is called broken where onnx's own checker says so too.
    """
    if isinstance(error, NetlatheError):
        return error
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    try:
        onnx.checker.check_model(model)
    except Exception:
        return NetlatheError(
            f"this ONNX file does not hold together here ({what})", code="read.broken", path=path,
            hint="onnx.checker.check_model says more; export it again",
        )  # fmt: skip
    return NetlatheError(f"this ONNX file cannot be read here ({what})", code="read.unreadable", path=path,
                         hint="it is valid: simplify it (onnxsim), or export it with another opset")  # fmt: skip


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
        if number_of(tensor) is None:
            stripped = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            tensor.CopyFrom(stripped)
    return model


def write_step(builder: GraphBuilder, step: Step, stored: Stored, narrowed: frozenset[int]) -> None:
    """One node."""
    name, path = step.operator, step.path
    rule = RULES.get(name)
    if name not in VIEWS and name not in MAKERS and rule is None:
        raise unknown_operator(name, path)
    xs = [None if value is None else traced_of(value, stored) for value in step.reads]
    reads = [x for x in xs if x is not None]
    first, y = step.makes[0], step.makes[0].tensor.shape
    still = all(x.root.id is None for x in reads)
    if name in MAKERS or (still and (y is None or is_known(step))):
        sources = tuple(s for x in reads for s in x.sources)
        for value in step.makes:
            value.traced = TracedValue(value.tensor.shape or (), sources=sources, type=TYPES.get(value.tensor.type, ""))
        return
    if is_known(step):  # from shapes, whatever the network computes
        for value in step.makes:
            value.traced = TracedValue(value.tensor.shape or (), type=TYPES.get(value.tensor.type, ""))
        return
    if y is None or any(value is not None and value.tensor.shape is None for value in step.reads):
        raise unknown_shape(name, path)
    call = OnnxCall(tuple((value.tensor.shape or ()) if value else () for value in step.reads), y, step.attributes)
    moves = name != "Transpose" or is_moved(call.xs[0], step.attributes.get("perm"))
    if rule is None or not moves or (id(step) in narrowed and not still):
        assert xs[0] is not None
        first.traced = builder.view(xs[0], y)
        return
    form, macs = rule.work(call) if rule.work else (rule.form, 0)
    weighted = rule.kind == "matmul" and any(x.root.id is None and x.sources for x in reads)
    data = [x for i, x in enumerate(xs) if x is not None and (rule.quantised or not rule.data or i in rule.data
                                                               or x.root.id is not None)]  # fmt: skip
    kind = "linear" if weighted else rule.kind
    inner = rule.inner(call) if rule.inner else 0
    result = builder.emit(Scope(path), kind, form, data, y, macs, TYPES.get(first.tensor.type, ""), inner)
    first.traced = result
    for value in step.makes[1:]:
        shape = value.tensor.shape or y
        parts = name == "Split"  # each is copied
        value.traced = builder.emit(Scope(path), kind, form, data, shape) if parts else builder.view(result, shape)


def traced_of(value: OnnxValue, stored: Stored) -> TracedValue:
    """What a value is in the graph; a tensor of the file is a constant."""
    if value.traced is None:
        name = stored.names.get(id(value))
        kind = TYPES.get(value.tensor.type, "")
        value.traced = TracedValue(value.tensor.shape or (), sources=(name,) if name else (), type=kind)
    return value.traced


def unknown_shape(name: str, path: str) -> NetlatheError:
    """That of what a node makes is not known."""
    if name in VALUES:
        return NetlatheError(f"what {name} makes has a shape that depends on values, so the network has no one cost",
                             code="read.values", path=path, hint="export it up to the last layer")  # fmt: skip
    return NetlatheError(
        f"the shape that {name} makes is not known", code="read.shape", path=path,
        hint="give the shape of the input, or simplify the file (onnxsim), or export it with fixed axes",
    )  # fmt: skip


VALUES = frozenset({"NonZero", "NonMaxSuppression", "Unique", "Compress"})


def unreached_weight(names: Iterable[str], path: str) -> NetlatheError:
    """A tensor that no operator of the network reads: part of it would be missing from the count."""
    first, *more = names
    others = f" and {len(more)} more" * bool(more)
    return NetlatheError(f"nothing that an output needs reads the weight {first}{others}", code="read.unreached",
                         path=path, hint="simplify the file (onnxsim), or export it again")  # fmt: skip


def unknown_operator(name: str, path: str) -> NetlatheError:
    close = nearest(name, RULES, 1)
    like = f", for example as {close[0]} is" if close else ""
    if name in DECIDED:
        return NetlatheError(f"{name} decides at run time what is executed, so the network has no one cost", path=path,
                             code="read.values", hint="export it for one branch, or with fixed axes")  # fmt: skip
    return NetlatheError(
        f"unknown operator {name}: nothing is assumed to be free",
        code="read.unknown_operator",
        path=path,
        hint=f'say what it is{like}: netlathe.read.onnx.register("{name}", kind, work=macs)',
    )
