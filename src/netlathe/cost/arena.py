"""arena(): offsets in one block of memory, and how large the block must be.

Pisarchyk and Lee 2020, Efficient Memory Management for Deep Neural Net Inference, https://arxiv.org/abs/2001.03288,
"greedy by size": the largest buffer first, each into the tightest gap among those that live at the same time. XNNPACK
and TensorFlow Lite Micro plan so.
"""

from __future__ import annotations

from typing import NamedTuple

from netlathe.cost.plan import MemoryPlan, last_reads, run_order


class Allocation(NamedTuple):
    """A buffer in the arena, in elements, and the steps (first, last) during which it is taken."""

    offset: int
    size: int
    first: int
    last: int


def arena(plan: MemoryPlan) -> list[Allocation]:
    """The places of all buffers, in the given order of steps; a buffer written over shares its place."""
    order = range(len(plan.steps))
    last = last_reads(plan, order)
    first = dict.fromkeys(plan.inputs & last.keys(), 0)
    end = {buffer: last[buffer] for buffer in first}
    owner = {buffer: buffer for buffer in first}
    for moment in run_order(plan, order):
        output = plan.steps[moment.step].writes
        owner[output] = output if moment.replaced is None else owner[moment.replaced]
        first.setdefault(owner[output], moment.step)
        end[owner[output]] = last.get(output, moment.step)
    places: list[Allocation] = []
    taken: list[list[Allocation]] = [[] for _ in range(len(plan.steps) + 1)]  # by step
    for buffer in sorted(first, key=lambda buffer: (-plan.sizes[buffer], first[buffer])):
        span = first[buffer], end[buffer]
        size, steps = plan.sizes[buffer], taken[span[0] : span[1] + 1]
        place = Allocation(gap(size, sorted({other for step in steps for other in step})), size, *span)
        places.append(place)
        for step in steps:
            step.append(place)
    return places


def gap(size: int, taken: list[Allocation]) -> int:
    """The offset of the tightest gap between places sorted by offset, else the end of the last."""
    best, slack, top = -1, 0, 0
    for place in taken:
        room = place.offset - top
        if room >= size and (best < 0 or room < slack):
            best, slack = top, room
        top = max(top, place.offset + place.size)
    return top if best < 0 else best
