"""A network as a .tflite model in float32: batch norms folded, activations in the operators before them.

Tensors are named by the path of the operator that makes them, weights as in a torch state dict. The input is `input`,
further ones `input1` ..., the result `output`; maps are channels last, for one image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlathe.arch.graph import Graph, Op
from netlathe.arch.inputs import input_specs
from netlathe.arch.joins import Add, Flatten, Mul
from netlathe.arch.layers import Act, Conv, Linear, Norm, Scale
from netlathe.arch.network import Network
from netlathe.arch.own_leaves import own_rule
from netlathe.arch.pools import Pool
from netlathe.errors import NetlatheError
from netlathe.files import write_bytes
from netlathe.lower.folding import fold_weights
from netlathe.lower.tflite.builder import TfliteBuilder, tensor_shape
from netlathe.lower.tflite.ops import RULES
from netlathe.lower.weights import Array, checked_weights, random_weights
from netlathe.reshape.fold import fold, foldable
from netlathe.tflite.prune import prune
from netlathe.tflite.schema import Tensor, TfliteModel

FUSED = ("relu", "relu6")
FUSING = (Conv, Linear, Add, Mul, Pool, Scale, Norm)  # leaves whose operators do an activation as well
ANY_ORDER = (Linear,)


def to_tflite(
    network: Network, weights: Mapping[str, Any] | None = None, *, seed: int = 0, grow_kernels: bool = False
) -> TfliteModel:
    """The network for LiteRT, float32; `weights` by path, else random ones from `seed`.

    With `grow_kernels` padding is zeros in kernels where it can be, not an operator (see `padding`): for
    microcontrollers.

    Raises ShapeError where shapes do not fit, and NetlatheError for weights that do not fit and an operator that LiteRT
    lacks, with its path.
    """
    graph = network.graph()
    tensors = random_weights(graph, seed) if weights is None else checked_weights(graph, weights)
    if foldable(graph):
        folded = fold(network)
        tensors, graph = fold_weights(folded, tensors), folded.network.graph()
    return build_model(network.name, graph, tensors, grow_kernels=grow_kernels)


def build_model(name: str, graph: Graph, tensors: Mapping[str, Array], *, grow_kernels: bool) -> TfliteModel:
    """The model of a graph whose batch norms are folded where they can be. Raises NetlatheError as `to_tflite` does."""
    build = TfliteBuilder(tensors, grow_kernels=grow_kernels)
    reads = input_specs(graph)
    values = {
        i: build.add(Tensor(one.name, tensor_shape(one.shape), "float32" if one.vocabulary is None else "int32"))
        for i, one in enumerate(reads)
    }
    fused, orders = fused_activations(graph), unordered(graph)
    done = {act.path for act in fused.values()}
    for op in graph.ops:
        if op.path in done:
            values[op.output] = values[op.inputs[0]]
            build.tensors[values[op.output]].name = op.path
            continue
        rule = (RULES.get(type(op.leaf)) or own_rule(op.leaf, "tflite")) if op.leaf is not None else None
        if rule is None:
            kind = type(op.leaf).__name__
            raise NetlatheError(f"LiteRT has no operator for {kind}", code="tflite.rule", path=op.path)
        build.start(op, tuple(values[i] for i in op.inputs), fused[op.path].form if op.path in fused else "")
        build.reads_any_order = op.path in orders
        values[op.output] = build.finish(rule(op.leaf, op, build))
    result = values[graph.outputs[0]]
    if result < len(reads):
        raise NetlatheError(f"{name} gives back what it reads: nothing runs", code="tflite.empty")
    build.tensors[result].name = "output"
    return prune(TfliteModel(name, build.tensors, build.operators, list(range(len(reads))), [result]))


def save_tflite(network: Network, path: str | Path, weights: Mapping[str, Any] | None = None, *, seed: int = 0) -> None:
    """Write `to_tflite(...)` to a file, atomically. Raises NetlatheError as it does, and where it cannot be written."""
    write_bytes(path, to_tflite(network, weights, seed=seed).serialize())


def fused_activations(graph: Graph) -> dict[str, Op]:
    """The activation that an operator can do as well, by path: it alone reads what the operator computes."""
    readers = Counter(value for op in graph.ops for value in op.inputs)
    readers.update(graph.outputs)
    makers: dict[int, Op] = {op.output: op for op in graph.ops}
    pairs = {}
    for op in graph.ops:
        before = makers.get(op.inputs[0]) if isinstance(op.leaf, Act) and op.form in FUSED else None
        if before is not None and isinstance(before.leaf, FUSING) and readers[before.output] == 1:
            pairs[before.path] = op
    return pairs


def unordered(graph: Graph) -> set[str]:
    """The flattened maps that only linear layers read, perhaps behind activations: in any order of the features."""
    readers: dict[int, list[Op]] = {}
    for op in graph.ops:
        for value in op.inputs:
            readers.setdefault(value, []).append(op)

    def linear_alone(value: int) -> bool:
        ops = readers.get(value, [])
        return (
            bool(ops)
            and value not in graph.outputs
            and all(
                isinstance(op.leaf, ANY_ORDER)
                or (isinstance(op.leaf, Act) and op.form != "softmax" and linear_alone(op.output))
                for op in ops
            )
        )

    return {op.path for op in graph.ops if isinstance(op.leaf, Flatten) and linear_alone(op.output)}
