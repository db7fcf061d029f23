"""plan(): a graph as steps that read and write buffers, the form in which memory is counted.

A view (flatten) is its input's buffer. Folding, as inference runtimes do it: a norm, activation or scale becomes part
of the step that made its input, where nobody else reads that; what is left of IN_PLACE may write over an input at its
last read. Nothing writes over the image or over an output of the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

from netlathe.arch.graph import Graph
from netlathe.arch.types import bytes_of

FOLDS = frozenset({"norm", "act", "scale"})  # one input, one output, element by element once statistics are known
IN_PLACE = FOLDS | {"add", "mul"}  # may write over an input of the output's size


class PlanStep(NamedTuple):
    """One operator with all that is folded into it."""

    path: str
    reads: frozenset[int]  # buffers
    writes: int
    over: frozenset[int]  # of reads, those it may write over at their last read
    form: str  # of its first operator


class MemoryPlan(NamedTuple):
    """Steps in the given order; sizes in bytes, or in elements, by buffer. Buffers 0, 1, ... are the inputs."""

    steps: tuple[PlanStep, ...]
    sizes: tuple[int, ...]
    inputs: frozenset[int]
    outputs: frozenset[int]


class Moment(NamedTuple):
    """What is in memory while a step runs, in the unit of the plan."""

    step: int
    live: int
    replaced: int | None  # the buffer that the output takes over, if any


def plan(graph: Graph, *, folded: bool = True, bytes_per_element: int = 1) -> MemoryPlan:
    """The steps of a graph: folded as at inference, or one an operator and nothing in place, as an eager framework.

    Sizes are in bytes; at 1 byte an element they are in elements, but where tensors have wider types of their own.
    """

    def size_of(value: int) -> int:
        return bytes_of(prod(graph.shapes[value]), graph.types.get(value, ""), bytes_per_element)

    root = list(range(len(graph.shapes)))  # the value whose memory a view shows
    for op in graph.ops:
        if op.view:
            root[op.output] = root[op.inputs[0]]
    readers = Counter(value for op in graph.ops if not op.view for value in {root[i] for i in op.inputs})
    kept = {*range(len(graph.input_shapes)), *(root[i] for i in graph.outputs)}  # never written over

    home = {i: i for i in range(len(graph.input_shapes))}  # root value -> buffer
    sizes = [size_of(value) for value in range(len(graph.input_shapes))]
    steps: list[PlanStep] = []
    for op in graph.ops:
        if op.view:
            continue
        values = {root[i] for i in op.inputs}
        first = root[op.inputs[0]] if op.inputs else -1  # a product of weights alone reads no value
        if folded and op.kind in FOLDS and readers[first] == 1 and first not in kept:
            home[op.output] = home[first]
            if graph.types:  # what is written in the end
                sizes[home[first]] = size_of(op.output)
        else:
            home[op.output] = len(sizes)
            sizes.append(size_of(op.output))
            free = values - kept if folded and op.kind in IN_PLACE else set()
            over = {home[value] for value in free if sizes[home[value]] == sizes[-1]}
            steps.append(
                PlanStep(op.path, frozenset(home[v] for v in values), len(sizes) - 1, frozenset(over), op.form)
            )
    outputs = frozenset(home[root[i]] for i in graph.outputs)
    return MemoryPlan(tuple(steps), tuple(sizes), frozenset(range(len(graph.input_shapes))), outputs)


def last_reads(plan: MemoryPlan, order: Sequence[int]) -> dict[int, int]:
    """The position in `order` after which a buffer is not read any more; outputs are read for ever."""
    last = {buffer: position for position, i in enumerate(order) for buffer in plan.steps[i].reads}
    return last | dict.fromkeys(plan.outputs, len(order))


def run_order(plan: MemoryPlan, order: Sequence[int]) -> Iterator[Moment]:
    """Run the steps in that order. An input is live until its last read, an output from its step to the end."""
    last = last_reads(plan, order)
    live = sum(plan.sizes[buffer] for buffer in plan.inputs if buffer in last)
    for position, i in enumerate(order):
        step = plan.steps[i]
        dying = [buffer for buffer in step.reads if last[buffer] == position]
        replaced = min(step.over.intersection(dying), default=None)
        new = plan.sizes[step.writes]
        yield Moment(i, live + (new if replaced is None else 0), replaced)
        live += (new if step.writes in last else 0) - sum(plan.sizes[buffer] for buffer in dying)
