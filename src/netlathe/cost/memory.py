"""Peak activation memory: the most bytes of activations that are live at one time, in the variants people mean.

eager       the given order, nothing in place: what an eager framework needs at least
folded      as an inference runtime: norm and activation folded, add and activation in place, the given order
best        folded, in the best order (Liberis and Lane 2019, https://arxiv.org/abs/1910.05110)
arena       folded, the block that greedy-by-size offsets need (Pisarchyk and Lee 2020, https://arxiv.org/abs/2001.03288)
max_in_out  folded, the largest step's distinct inputs and output, where a depthwise convolution writes over its input
            channel by channel: MCUNetV2's measure (Lin et al. 2021, https://arxiv.org/abs/2110.15352, on the engine of
            https://arxiv.org/abs/2007.10319): MobileNetV2 at 224 in int8 is 1372.0 KiB, (16 + 96) * 112 * 112, and
            1470.0 were its depthwise convolutions not in place
The image is live until its last read, outputs stay to the end. PyTorch holds more than `eager`, for Python's variables
keep what no operator will read: the caller the image, a block its input. In fp32 at 224 ResNet-50 is 9.19 MiB here; the
image (0.57) and the block's input (0.77) make the 10.53 that PyTorch allocates. MobileNetV2 is 9.19; image, block input
and timm's variable for the stem's output (1.53) make 12.06. DenseNet-121 is 8.04; torch's code keeps the list of maps
beside their concatenation and computes from it, at the end of the first block with the image 10.14.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from netlathe.arch.graph import Graph
from netlathe.arch.types import bytes_of
from netlathe.cost.arena import arena
from netlathe.cost.order import LIMIT, best_order
from netlathe.cost.plan import MemoryPlan, last_reads, plan, run_order
from netlathe.errors import unknown

VARIANTS = ("eager", "folded", "best", "arena")


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak bytes by variant; see the head of the file."""

    eager: int
    folded: int
    best: int
    best_exact: bool  # False: the search met its limit, and `best` is the lowest peak found
    arena: int
    max_in_out: int
    largest: int  # folded, the largest step's distinct inputs and output: no order and no arena needs less
    total: int  # all activations together, the image with them: what "forward/backward pass size" tools print
    at: dict[str, str]  # the path of the operator where each variant's peak is


def memory(graph: Graph, bytes_per_element: int = 4, batch: int = 1, *, limit: int = LIMIT) -> Memory:
    """All variants for a graph; `limit` bounds the states that the search for the best order visits."""
    folded = plan(graph, bytes_per_element=bytes_per_element)
    best = best_order(folded, limit)
    lines = {
        "eager": live_timeline(plan(graph, folded=False, bytes_per_element=bytes_per_element)),
        "folded": live_timeline(folded),
        "best": live_timeline(folded, best.order),
        "arena": arena_timeline(folded),
        "max_in_out": working_sets(folded, "depthwise"),
        "largest": working_sets(folded),
    }
    peaks = {name: max(line, key=lambda point: point[1], default=("", 0)) for name, line in lines.items()}
    views = {op.output for op in graph.ops if op.view}
    return Memory(
        **{name: size * batch for name, (_, size) in peaks.items()},
        best_exact=best.exact,
        total=batch
        * sum(
            bytes_of(prod(shape), graph.types.get(value, ""), bytes_per_element)
            for value, shape in enumerate(graph.shapes)
            if value not in views
        ),
        at={name: path for name, (path, _) in peaks.items()},
    )


def timeline(
    graph: Graph, variant: str = "folded", bytes_per_element: int = 4, batch: int = 1
) -> list[tuple[str, int]]:
    """(path, bytes in use) at every step, in order of execution. Raises NetlatheError for an unknown variant."""
    if variant not in VARIANTS:
        raise unknown("memory variant", variant, VARIANTS, code="cost.variant")
    steps = plan(graph, folded=variant != "eager", bytes_per_element=bytes_per_element)
    line = (
        arena_timeline(steps)
        if variant == "arena"
        else live_timeline(steps, best_order(steps).order if variant == "best" else None)
    )
    return [(path, size * batch) for path, size in line]


def live_timeline(steps: MemoryPlan, order: tuple[int, ...] | None = None) -> list[tuple[str, int]]:
    """(path, what is live) at every step, in the unit of the plan."""
    moments = run_order(steps, range(len(steps.steps)) if order is None else order)
    return [(steps.steps[moment.step].path, moment.live) for moment in moments]


def arena_timeline(steps: MemoryPlan) -> list[tuple[str, int]]:
    """(path, the end of the highest place in use) at every step."""
    peaks = [0] * len(steps.steps)
    for place in arena(steps):
        for i in range(place.first, min(place.last + 1, len(peaks))):  # an output is held to the end
            peaks[i] = max(peaks[i], place.offset + place.size)
    return [(step.path, top) for step, top in zip(steps.steps, peaks, strict=True)]


def working_sets(steps: MemoryPlan, in_place: str = "") -> list[tuple[str, int]]:
    """(path, distinct inputs and output of the step alone); a step of the form `in_place` writes over a dying input."""
    order = range(len(steps.steps))
    last = last_reads(steps, order)
    line: list[tuple[str, int]] = []
    for moment in run_order(steps, order):
        step = steps.steps[moment.step]
        reads = sum(steps.sizes[buffer] for buffer in step.reads)
        new = steps.sizes[step.writes] if moment.replaced is None else 0
        dies = all(last[buffer] == moment.step for buffer in step.reads)
        line.append((step.path, max(reads, new) if in_place and step.form == in_place and dies else reads + new))
    return line
