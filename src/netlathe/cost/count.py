"""What an operator, and so a block, a stage or a network, costs: counts as one record that adds up.

The definitions are those of Dollar et al. 2021, Fast and Accurate Model Scaling, https://arxiv.org/abs/2103.06877
(activations), and Williams et al. 2009, Roofline, https://doi.org/10.1145/1498765.1498785 (intensity: FLOPs, not MACs,
over bytes). Counts are of one image and know no precision; bytes take `bytes_per_element` and `batch`.

Two readings of memory traffic, both lower bounds that move each tensor of an operator once:
eager   every operator reads its distinct inputs, its weights and buffers, and writes its output;
fused   only the operators of MAC_KINDS move anything: norm, activation, add, gate, pooling and concatenation ride in
        the registers of the operator beside them, and a folded batch norm leaves no weights of its own.
In fp32 at batch 1 this gives FLOPs a byte of 19.2 / 43.2 (ResNet-50), 3.5 / 8.9 (MobileNetV2), 3.7 / 10.2
(EfficientNet-B0) and 12.3 / 47.6 (DenseNet-121). A runtime that writes concatenations and pooled maps moves more: with
those counted DenseNet-121 falls from 47.6 to 27.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import NamedTuple

from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Shape, Size
from netlathe.arch.types import bytes_of
from netlathe.cost.totals import MAC_KINDS

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}  # per element, weights and activations alike
POOL_KINDS = frozenset({"pool", "adaptivepool"})  # what pycls counts as an activation besides MAC_KINDS; not global


class Cost(NamedTuple):
    """Elements and multiply-accumulates for one image; `total` adds costs up."""

    params: Size = 0  # trainable elements
    buffers: Size = 0  # stored but not trained: running statistics, fixed codes
    weights: Size = 0  # of params, the kernels and matrices: no bias, no norm
    macs: Size = 0
    acts: Size = 0  # outputs of MAC_KINDS, scores of attention included (fvcore, with attention not fused)
    acts_pycls: Size = 0  # and of windowed pooling (pycls)
    moved: Size = 0  # activation elements read and written, eager
    moved_fused: Size = 0
    loaded: Size = 0  # weight and buffer elements read, eager
    loaded_fused: Size = 0
    typed: tuple[tuple[str, Cost], ...] = ()  # by type: the part of tensors that have one of their own

    @property
    def flops(self) -> Size:
        """Floating point operations: 2 a MAC."""
        return 2 * self.macs

    def weight_bytes(self, bytes_per_element: int = 4) -> Size:
        """Bytes of the trainable weights."""
        return self.bytes_in(lambda cost: cost.params, bytes_per_element)

    def stored_bytes(self, bytes_per_element: int = 4) -> Size:
        """Bytes of all that is stored: weights and buffers."""
        return self.bytes_in(lambda cost: cost.params + cost.buffers, bytes_per_element)

    def act_bytes(self, bytes_per_element: int = 4, batch: int = 1, *, fused: bool = False) -> Size:
        """Bytes of activations read and written."""
        return batch * self.bytes_in(lambda cost: cost.moved_fused if fused else cost.moved, bytes_per_element)

    def bytes(self, bytes_per_element: int = 4, batch: int = 1, *, fused: bool = False) -> Size:
        """Bytes moved: activations of the whole batch, and weights once."""
        weights = self.bytes_in(lambda cost: cost.loaded_fused if fused else cost.loaded, bytes_per_element)
        return self.act_bytes(bytes_per_element, batch, fused=fused) + weights

    def bytes_in(self, elements: Callable[[Cost], Size], bytes_per_element: int) -> Size:
        """What some of the elements take: those of a type that, all others `bytes_per_element`."""
        if not self.typed:
            return elements(self) * bytes_per_element
        own = sum(bytes_of(elements(part), type_, bytes_per_element) for type_, part in self.typed)
        return (elements(self) - sum(elements(part) for _, part in self.typed)) * bytes_per_element + own

    def intensity(self, bytes_per_element: int = 4, batch: int = 1, *, fused: bool = False) -> float:
        """Arithmetic intensity, FLOPs a byte; 0 where nothing moves."""
        moved = self.bytes(bytes_per_element, batch, fused=fused)
        return self.flops * batch / moved if moved else 0.0


def op_cost(op: Op) -> Cost:
    """The cost of one operator."""
    cost = elements_of(op)
    if not op.types:
        return cost
    kinds = sorted(set(op.types.values()))
    return cost._replace(typed=tuple((type_, elements_of(only(op, type_))) for type_ in kinds))


def only(op: Op, type_: str) -> Op:
    """The operator as if it had no tensors but those of a type, and did no work."""
    read = [(i, shape) for i, shape in zip(op.inputs, op.in_shapes, strict=True) if op.types.get(i) == type_]
    weights, buffers = (
        {name: shape for name, shape in tensors.items() if op.types.get(name) == type_}
        for tensors in (op.weights, op.buffers)
    )
    return op._replace(
        inputs=tuple(i for i, _ in read),
        in_shapes=tuple(shape for _, shape in read),
        out_shape=op.out_shape if op.types.get(op.output) == type_ else (0,),
        weights=weights,
        buffers=buffers,
        macs=0,
        types={},
        inner=0,
    )


def elements_of(op: Op) -> Cost:
    """The elements and multiply-accumulates of one operator, whatever types its tensors have."""
    is_mac = op.kind in MAC_KINDS
    out = op.out_elements
    params = op.params
    buffers = count_elements(op.buffers.values())
    reads = count_elements(dict(zip(op.inputs, op.in_shapes, strict=True)).values())  # x + x reads x once
    moved = 0 if op.view else reads + out
    return Cost(
        params=params,
        buffers=buffers,
        weights=count_elements(shape for name, shape in op.weights.items() if name != "bias") if is_mac else 0,
        macs=op.macs,
        acts=out + op.inner if is_mac else 0,
        acts_pycls=out + op.inner if is_mac or op.kind in POOL_KINDS else 0,
        moved=moved,
        moved_fused=moved if is_mac else 0,
        loaded=params + buffers,
        loaded_fused=params if is_mac else 0,
    )


def count_elements(shapes: Iterable[Shape]) -> Size:
    """The elements of tensors of these shapes together."""
    return sum(prod(shape) for shape in shapes)


def sum_costs(costs: Iterable[Cost]) -> Cost:
    """The cost of several parts together."""
    *elements, typed = zip(Cost(), *costs, strict=True)
    parts: dict[str, list[Cost]] = {}
    for type_, part in (pair for pairs in typed for pair in pairs):
        parts.setdefault(type_, []).append(part)
    whole = Cost._make((*map(sum, elements), ()))
    return whole._replace(typed=tuple((type_, sum_costs(parts[type_])) for type_ in sorted(parts))) if parts else whole


def count(graph: Graph) -> Cost:
    """The cost of a network."""
    return sum_costs(map(op_cost, graph.ops))
