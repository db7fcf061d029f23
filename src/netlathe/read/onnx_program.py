"""resolve(): an ONNX model as the list of nodes that run, with what is known of every value.

Shapes, types and known numbers are worked out node by node. An If whose condition follows from shapes is replaced by
the branch that it takes. Others, a Loop and a Scan stay, and are refused by name where the network needs what they
make. Nodes that no output needs do not run.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx.shape_inference import InferenceError

from netlathe.errors import NetlatheError
from netlathe.read.graph_builder import TracedValue
from netlathe.read.onnx_fold import FOLDS, SMALL, FoldCall, fold, number_of
from netlathe.read.onnx_infer import UNKNOWN, KnownTensor, ShapeInference, tensor_of, tensor_of_numbers
from netlathe.read.onnx_model import graphs_of, nodes_within
from netlathe.read.onnx_names import STANDARD, name_of, path_of
from netlathe.read.onnx_variants import BLOCK, NCHWC

DECIDED = frozenset({"If", "Loop", "Scan"})  # at run time, unless the condition is answer


@dataclass(eq=False, slots=True)
class OnnxValue:
    """A value of the model; `stored`: its tensor is in the file. `traced` is what it became in the graph."""

    name: str
    tensor: KnownTensor
    stored: bool = False
    traced: TracedValue | None = None


class Step(NamedTuple):
    """A node that runs."""

    node: onnx.NodeProto
    operator: str  # with its domain, but ONNX's own
    path: str
    attributes: Mapping[str, Any]
    reads: tuple[OnnxValue | None, ...]
    makes: tuple[OnnxValue, ...]


class Program(NamedTuple):
    """What runs, in order. `unread` are the tensors of the file that nothing reads."""

    steps: tuple[Step, ...]
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    unread: tuple[OnnxValue, ...]


def resolve(
    model: onnx.ModelProto, inputs: Mapping[str, KnownTensor], written: Mapping[str, KnownTensor], source: str
) -> Program:
    """The program of a model, whose nodes are in order, for these inputs.

    `written` is what the file says of values for which ONNX has no rule. Raises NetlatheError where shapes do not fit,
    and for an output of the graph that nothing makes.
    """
    values: dict[str, OnnxValue] = {}
    store_tensors(model.graph, values)
    inference = ShapeInference({o.domain: o.version for o in model.opset_import}, block_of(model.graph, values))
    resolver = Resolver(inference, dict(written), source)
    values |= {name: OnnxValue(name, tensor) for name, tensor in inputs.items()}
    stored = tuple(values.values())
    resolver.run(model.graph, values)
    missing = [output.name for output in model.graph.output if output.name not in values]
    if missing:
        raise NetlatheError(f"nothing in this file makes the output {missing[0]}", code="read.unreached", path=source,
                            hint="export it again; onnx.checker.check_model says more")  # fmt: skip
    outputs = tuple(values[output.name] for output in model.graph.output)
    steps = live_steps(resolver.steps, outputs)
    reached = {id(value) for value in outputs} | {id(value) for step in steps for value in step.reads}
    unread = tuple(value for value in (*stored, *resolver.stored)
                   if value.stored and id(value) not in reached and value.name not in resolver.skipped)  # fmt: skip
    return Program(steps, tuple(values[name] for name in inputs), outputs, unread)


@dataclass
class Resolver:
    """Walks the nodes of a graph, and of the branches that are taken."""

    inference: ShapeInference
    written: dict[str, KnownTensor]
    source: str
    steps: list[Step] = field(default_factory=list)
    stored: list[OnnxValue] = field(default_factory=list)  # constants of nodes
    skipped: set[str] = field(default_factory=set)  # what branches that are not taken name
    attributes: dict[bytes, Mapping[str, Any]] = field(default_factory=dict)

    def run(self, graph: onnx.GraphProto, values: MutableMapping[str, OnnxValue]) -> None:
        """All nodes of a graph; `values` holds what they may read, and then what they make."""
        for i, node in enumerate(graph.node):
            path = path_of(node, i)
            if node.op_type == "If" and node.domain in STANDARD and self.take_branch(node, values):
                continue
            try:
                self.add(node, path, values)
            except KeyError as error:
                raise NetlatheError(f"nothing in this file makes {error.args[0]!r}", code="read.unreached", path=path,
                                    hint="export it again; onnx.checker.check_model says more") from error  # fmt: skip

    def take_branch(self, node: onnx.NodeProto, values: MutableMapping[str, OnnxValue]) -> bool:
        """Run the branch of an If whose condition is known; whether it is."""
        condition = values[node.input[0]].tensor.numbers
        if condition is None or condition.size != 1:
            return False
        taken, other = ("then_branch", "else_branch") if condition.item() else ("else_branch", "then_branch")
        branches = {attribute.name: attribute.g for attribute in node.attribute}
        self.skipped |= names_read(branches[other].node)
        for info in branches[taken].value_info:
            self.written.setdefault(info.name, tensor_of(info.type))
        inner: MutableMapping[str, OnnxValue] = ChainMap({}, values)
        store_tensors(branches[taken], inner)
        self.stored += [inner[tensor.name] for tensor in branches[taken].initializer]
        self.run(branches[taken], inner)
        for name, output in zip(node.output, branches[taken].output, strict=True):
            values[name] = inner[output.name]
        return True

    def add(self, node: onnx.NodeProto, path: str, values: MutableMapping[str, OnnxValue]) -> None:
        """One node."""
        standard = node.domain in STANDARD
        if standard and node.op_type == "Constant":
            values[node.output[0]] = constant = constant_value(node)
            self.stored.append(constant)
            return
        reads = tuple(values[name] if name else None for name in node.input)
        if standard and node.op_type in DECIDED:  # what its graphs read of ours
            reads += tuple(values[name] for name in sorted(names_read(inner_nodes(node))) if name in values)
        packed = b"".join(a.SerializeToString() for a in node.attribute)
        attributes = self.attributes.get(packed)
        if attributes is None:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            self.attributes[packed] = attributes
        operator = name_of(node)
        tensors = self.tensors(node, operator, path, packed, attributes, reads)
        makes = tuple(OnnxValue(name, tensor) for name, tensor in zip(node.output, tensors, strict=True))
        values.update((value.name, value) for value in makes if value.name)
        self.steps.append(Step(node, operator, path, attributes, reads, makes))

    def tensors(
        self,
        node: onnx.NodeProto,
        operator: str,
        path: str,
        packed: bytes,
        attributes: Mapping[str, Any],
        reads: tuple[OnnxValue | None, ...],
    ) -> list[KnownTensor]:
        """What a node makes, as far as it can be known."""
        if operator in DECIDED:
            return [UNKNOWN] * len(node.output)
        tensors_read = [None if value is None else value.tensor for value in reads]
        if operator == "Shape" and tensors_read[0] is not None and tensors_read[0].shape is not None:
            part = tensors_read[0].shape[attributes.get("start", 0) : attributes.get("end")]
            return [tensor_of_numbers(np.array(part, np.int64))]
        try:
            tensors = self.inference.of(node, packed, attributes, tensors_read)
        except (InferenceError, onnx.checker.ValidationError, RuntimeError) as error:
            words = " ".join(str(error).split())[:300]
            raise NetlatheError(f"shapes do not fit: {path}: {words}", code="read.forward", path=self.source) from error
        if any(one.shape is None for one in tensors):
            tensors = [self.as_written(name, one) if one.shape is None else one
                       for name, one in zip(node.output, tensors, strict=True)]  # fmt: skip
        return self.folded(operator, tensors_read, attributes, tensors) if operator in FOLDS else tensors

    def as_written(self, name: str, tensor: KnownTensor) -> KnownTensor:
        """What the file itself says of a value of which ONNX knows no shape."""
        written = self.written.get(name, tensor)
        return tensor if written.shape is None else written

    def folded(
        self, operator: str, reads: list[KnownTensor | None], attributes: Mapping[str, Any], tensors: list[KnownTensor]
    ) -> list[KnownTensor]:
        """The same with numbers, where all inputs are known and the results are small."""
        if any(one is not None and one.numbers is None for one in reads):
            return tensors
        if any(prod(one.shape) > SMALL for one in tensors if one.shape is not None):
            return tensors
        if operator in SIZED and tensors[0].shape is None:
            return tensors
        numbers = fold(operator, FoldCall([one and one.numbers for one in reads], attributes, len(tensors)))
        if numbers is None:
            return tensors
        return [KnownTensor(one.type, array.shape, array) if one.type else tensor_of_numbers(array)
                for one, array in zip(tensors, numbers, strict=False)]  # fmt: skip


def store_tensors(graph: onnx.GraphProto, values: MutableMapping[str, OnnxValue]) -> None:
    """The tensors of a graph, by name."""
    for tensor in graph.initializer:
        values[tensor.name] = stored_value(tensor.name, tensor)
    for sparse in graph.sparse_initializer:
        name, dims = sparse.values.name, tuple(sparse.dims)
        values[name] = OnnxValue(name, KnownTensor(sparse.values.data_type, dims), stored=True)


def block_of(graph: onnx.GraphProto, values: Mapping[str, OnnxValue]) -> int:
    """How many channels lie together in ONNX Runtime's own layout: what all kernels of a file are whole times of."""
    kernels = [values[node.input[1]].tensor.shape for node in graph.node
               if name_of(node) == f"{NCHWC}Conv" and node.input[1] in values]  # fmt: skip
    return BLOCK if all(shape and shape[0] % BLOCK == 0 for shape in kernels) else BLOCK // 2


SIZED = frozenset({"ConstantOfShape", "Expand", "Range", "Tile"})  # they may make far more than they read


def stored_value(name: str, tensor: onnx.TensorProto) -> OnnxValue:
    """A tensor of the file."""
    return OnnxValue(name, KnownTensor(tensor.data_type, tuple(tensor.dims), number_of(tensor)), stored=True)


def constant_value(node: onnx.NodeProto) -> OnnxValue:
    """What a Constant node holds, in whichever of its attributes."""
    (attribute,) = node.attribute
    name = node.output[0]
    if attribute.HasField("t"):
        return stored_value(name, attribute.t)
    if attribute.HasField("sparse_tensor"):
        sparse = attribute.sparse_tensor
        return OnnxValue(name, KnownTensor(sparse.values.data_type, tuple(sparse.dims)), stored=True)
    value = onnx.helper.get_attribute_value(attribute)
    if "string" in attribute.name:
        shape = (len(value),) if isinstance(value, list) else ()
        return OnnxValue(name, KnownTensor(onnx.TensorProto.STRING, shape))
    numbers = np.array(value, np.float32 if "float" in attribute.name else np.int64)
    return OnnxValue(name, tensor_of_numbers(numbers), stored=True)


def inner_nodes(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The nodes of the graphs in its attributes."""
    return [inner for attribute in node.attribute for graph in graphs_of(attribute) for inner in graph.node]


def names_read(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """All that nodes name as an input, also in graphs within."""
    return {name for node in nodes_within(nodes) for name in node.input}


def live_steps(steps: list[Step], outputs: Iterable[OnnxValue]) -> tuple[Step, ...]:
    """Those of which an output needs something."""
    needed = {id(value) for value in outputs}
    live = []
    for step in reversed(steps):
        if any(id(value) in needed for value in step.makes):
            live.append(step)
            fixed = is_known(step)  # then it needs the shapes of what is computed, and no more
            needed.update(id(x) for x in step.reads if x and (not fixed or x.stored or x.tensor.numbers is not None))
    return tuple(reversed(live))


def is_known(step: Step) -> bool:
    """Whether all that a node makes follows from shapes and small constants."""
    return all(value.tensor.numbers is not None for value in step.makes)
