"""What of a graph costs time: operators fused as a runtime fuses them, then physical quantities by class of operator.

    time of a group = sum over its quantities of coefficient(class, quantity) * quantity

Quantities are multiply-accumulates, elements read and written, elements of weights, and 1 for the call: compute,
traffic and overhead. Elements read and written apart from the MACs also say how well a product fills a machine, since
MACs / elements read is the number of output channels and MACs / elements written that of input channels. Which
operators ride in the one before them is data (`device.fusion`), and so is what a runtime adds to a graph: reorders, and
convolutions that its fast kernels do not take. What rides costs no traffic, but an exponential is still computed: it is
a group of its own, without a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum, prod
from typing import NamedTuple, TypeAlias

from netlathe.arch.graph import Graph, Op
from netlathe.device.execution import executed
from netlathe.device.fusion import joins, patch, patched
from netlathe.device.layouts import reordered
from netlathe.runtimes.fusion import PRODUCTS, Fusion
from netlathe.runtimes.registry import fusion_of

CHEAP = frozenset(
    ["relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "prelu", "threshold", "scaled_relu"]
)
STREAM = 3_000_000  # weights of one operator that no cache keeps until the next image: 12 MB in fp32
RIDING = ("actexp", "softmax")  # classes whose exponentials are computed even where they ride
EDGE = "edge"  # the class of what a runtime copies at the ends of a graph
CLASS = {
    **dict.fromkeys(("map", "add", "mul", "scale", "zero", "position"), "elementwise"),
    **dict.fromkeys(("globalpool", "reduce"), "reduce"),
    **dict.fromkeys(("pool", "adaptivepool"), "pool"),
    "localnorm": "localnorm",
    **{kind: kind for kind in ("attention", "matmul", "upsample")},
}
# A chain is of the class of its heaviest part.
WEIGHT = ("softmax", "norm", "batchnorm", "actexp", "act", "elementwise")
QUANTITIES = ("macs", "read", "write", "weights", "calls")


FeatureRow: TypeAlias = Mapping[str, float]  # the features of a network by name, class.quantity


class OperatorGroup(NamedTuple):
    """Operators that run as one: `ops` of them, the first at `path`. All counts are of one image."""

    class_: str
    path: str
    ops: int
    macs: int
    read: int  # elements that come from outside the group, without weights
    write: int
    weights: int
    calls: int = 1

    def values(self, batch: int = 1) -> tuple[float, ...]:
        """The QUANTITIES: GMACs, millions of elements read, written and of weights, calls."""
        return (
            self.macs * batch / 1e9,
            self.read * batch / 1e6,
            self.write * batch / 1e6,
            self.weights / 1e6,
            float(self.calls),
        )


def class_of(op: Op) -> str:
    """The class of an operator: what kind of kernel runs it."""
    if op.kind == "conv":
        if prod(op.out_shape[1:]) == 1:
            return "stream" if op.params > STREAM else "vector"
        if op.form == "depthwise":
            side = (op.macs // max(op.out_elements, 1)) ** 0.5
            return "depthwise3" if side <= 3 else "depthwise5" if side <= 5 else "depthwise7"
        if op.form in ("pointwise", "grouped"):
            return op.form
        channels = next(iter(op.data_shape), 0)
        if 0 < channels <= 4:
            return "stem"
        return "dense3" if op.macs == 9 * op.out_elements * channels else "dense"
    if op.kind == "linear":
        return "linear" if prod(op.out_shape[:-1]) > 1 else "stream" if op.params > STREAM else "vector"
    if op.kind == "norm":
        return {"batch": "batchnorm", "group": "groupnorm"}.get(op.form, "norm")
    if op.kind == "layout":
        return "transpose" if op.form in ("clone", "copy", "contiguous", "_to_copy", "transpose") else "gather"
    if op.kind == "act":
        return "softmax" if "softmax" in op.form else "act" if op.form in CHEAP else "actexp"
    if op.kind == "upsample" and "cubic" in op.form:
        return "cubic"
    return CLASS.get(op.kind, "move")


def fused(graph: Graph, runtime: str | Fusion = "torch") -> tuple[OperatorGroup, ...]:
    """The groups that the runtime executes, in order. Raises NetlatheError for an unknown runtime."""
    rule = fusion_of(runtime) if isinstance(runtime, str) else runtime
    if rule.files:
        graph = executed(graph)
    owner: dict[int, int] = {}  # value that is a view -> value whose memory it is
    for op in graph.ops:
        if op.view:
            owner[op.output] = owner.get(op.inputs[0], op.inputs[0])
    readers: dict[int, int] = {}
    for op in graph.ops:
        if not op.view:
            for value in {owner.get(i, i) for i in op.inputs}:
                readers[value] = readers.get(value, 0) + 1
    for value in graph.outputs:
        readers[owner.get(value, value)] = 2
    parts: list[list[Op]] = []
    producers: dict[int, int] = {}  # value -> the group whose last operator made it
    for op in graph.ops:
        if op.view:
            continue
        ready = [producers[v] for i in op.inputs if readers[v := owner.get(i, i)] == 1 and v in producers]
        hosts = [g for g in ready if joins(op, parts[g], rule)]
        if hosts:
            parts[max(hosts)].append(op)
            producers[op.output] = max(hosts)
        else:
            producers[op.output] = len(parts)
            parts.append([op])
    groups = [one for part in parts for one in grouped(part, owner, rule)]
    return tuple(groups + reorders(graph, rule) if rule.reorders else groups)


def grouped(part: list[Op], owner: dict[int, int], rule: Fusion) -> list[OperatorGroup]:
    """Operators that run as one, and the exponentials among those that ride."""
    whole = group(part, owner)
    if rule.blocks and patched(part[0], *rule.blocks):
        whole = whole._replace(class_="patches", read=prod(part[0].out_shape[1:]) * patch(part[0]))
    riding = [op for op in part if class_of(op) in RIDING][whole.class_ in RIDING :]
    return [whole, *(OperatorGroup(class_of(op), op.path, 0, 0, op.out_elements, 0, 0, calls=0) for op in riding)]


def reorders(graph: Graph, rule: Fusion) -> list[OperatorGroup]:
    """The copies of a runtime with a layout of its own: maps to tokens and back, and maps at the ends of the graph.

    With blocks, also between convolutions that its fast kernels take and those that they do not.
    """
    read = sum(prod(shape) for shape in graph.input_shapes if len(shape) == 3 and shape[0] > 4)
    written = sum(prod(graph.shapes[i]) for i in graph.outputs if len(graph.shapes[i]) > 1)
    turns = [op for op in graph.ops if op.kind == "layout" and op.view and to_or_from_map(op) and not rule.files]
    turns += reordered(graph, rule) if rule.blocks else []
    groups = [OperatorGroup("transpose", op.path, 0, 0, prod(op.in_shapes[0]), 0, 0) for op in turns]
    return groups + [OperatorGroup(EDGE, EDGE, 0, 0, read, written, 0, calls=0)] * bool(read or written)


def to_or_from_map(op: Op) -> bool:
    """Is one of input and output a map (channels, height, width), and the other not?"""
    return (len(op.in_shapes[0]) == 3) != (len(op.out_shape) == 3)


def group(part: list[Op], owner: dict[int, int]) -> OperatorGroup:
    """The sums of operators that run as one."""
    classes = [class_of(op) for op in part]
    inside = {op.output for op in part}
    reads = {
        owner.get(i, i): prod(shape)
        for op in part
        for i, shape in zip(op.inputs, op.in_shapes, strict=True)
        if owner.get(i, i) not in inside
    }
    heaviest = classes[0] if part[0].kind in PRODUCTS else min(classes, key=lambda c: order(c))
    if heaviest == "matmul" and "softmax" in classes:
        heaviest = "attention"
    macs = sum(op.macs for op in part)
    weights = part[0].params
    return OperatorGroup(heaviest, part[0].path, len(part), macs, sum(reads.values()), part[-1].out_elements, weights)


def order(class_: str) -> int:
    return WEIGHT.index(class_) if class_ in WEIGHT else -1


def features(groups: Iterable[OperatorGroup], batch: int = 1) -> dict[str, float]:
    """class.quantity -> the sum over all groups, zeros left out; the same whatever their order."""
    sums: dict[str, OperatorGroup] = {}
    for one in groups:
        old = sums.get(one.class_)
        sums[one.class_] = one if old is None else together(old, one)
    return {
        f"{one.class_}.{name}": value
        for one in sums.values()
        for name, value in zip(QUANTITIES, one.values(batch), strict=True)
        if value
    }


def together(a: OperatorGroup, b: OperatorGroup) -> OperatorGroup:
    """The counts of two groups of a class."""
    return OperatorGroup(a.class_, a.path, *(x + y for x, y in zip(a[2:], b[2:], strict=True)))


def roofs(
    groups: Iterable[OperatorGroup], peak: float, bandwidth: float, width: int, batch: int = 1
) -> dict[str, float]:
    """class.roof -> ms at the roofs (FLOP/s, bytes/s; `width` bytes an element), and calls.calls."""
    sums = {"calls.calls": 0.0}
    for one in groups:
        compute, traffic = bounds(one, peak, bandwidth, width, batch)
        key = f"{one.class_}.roof"
        sums[key] = sums.get(key, 0.0) + max(compute, traffic)
        sums["calls.calls"] += 1
    return sums


def bounds(one: OperatorGroup, peak: float, bandwidth: float, width: int, batch: int) -> tuple[float, float]:
    """(ms of compute, ms of traffic) of a group at the roofs: 2 FLOPs a MAC."""
    compute = 2e3 * one.macs * batch / peak
    return compute, 1e3 * width * ((one.read + one.write) * batch + one.weights) / bandwidth


def total(row: FeatureRow, coefficients: Mapping[str, float]) -> float:
    """sum of coefficient * quantity, in ms; the same whatever their order."""
    return fsum(value * coefficient(name, coefficients) for name, value in row.items())


def coefficient(name: str, coefficients: Mapping[str, float]) -> float:
    """The coefficient of a feature: its own; the common one, if nothing of its class was ever fitted; else 0."""
    if name in coefficients:
        return coefficients[name]
    class_, _, quantity = name.rpartition(".")
    listed = any(other.startswith(f"{class_}.") for other in coefficients)
    return 0.0 if listed else coefficients.get(f"*.{quantity}", 0.0)
