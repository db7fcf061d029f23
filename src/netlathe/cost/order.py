"""best_order(): the execution order with the smallest peak memory.

Liberis and Lane 2019, Neural Networks on Microcontrollers: Saving Memory at Inference via Operator Reordering,
https://arxiv.org/abs/1910.05110, search over sets of finished operators. So does this, with four savings that keep it
exact:
cut       a step that every other step comes before or after splits the problem;
floor     what the cuts need is paid anyway, and a stretch whose given order stays below it needs no search;
safe      a ready step that fits under the peak so far and leaves no more memory in use may be taken at once;
symmetry  branches with the same sizes and readers may be exchanged.
The state with the lowest peak goes first, so the first complete order is a best one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from typing import NamedTuple

from netlathe.cost.plan import MemoryPlan, run_order

LIMIT = 10_000  # states of one stretch: a second or two


class Best(NamedTuple):
    """The order as positions in the plan, and whether it is proven best (False: the search met its limit)."""

    order: tuple[int, ...]
    exact: bool


class Puzzle(NamedTuple):
    """A plan with, as bit masks over its steps, what each step must wait for and who reads each buffer."""

    plan: MemoryPlan
    waits: list[int]
    readers: dict[int, int]


def best_order(plan: MemoryPlan, limit: int = LIMIT) -> Best:
    """The order of least peak memory; never worse than the given one, which stays where the search meets its limit."""
    puzzle = Puzzle(plan, predecessors(plan), readers(plan))
    peaks = [moment.live for moment in run_order(plan, range(len(plan.steps)))]
    stretches = split_stretches(puzzle.waits)
    orders = {stretch[0]: stretch for stretch in stretches}
    floor = max((peaks[stretch[0]] for stretch in stretches if len(stretch) == 1), default=0)
    unproven = 0
    for peak, stretch in sorted([(max(peaks[i] for i in s), s) for s in stretches], reverse=True):
        if peak > floor:
            better = search_stretch(puzzle, stretch, floor, peak, limit)
            if better is None:
                unproven = max(unproven, peak)
            else:
                floor, orders[stretch[0]] = better
    return Best(tuple(i for stretch in stretches for i in orders[stretch[0]]), exact=unproven <= floor)


def predecessors(plan: MemoryPlan) -> list[int]:
    """For every step the steps that must run before it, as a bit mask."""
    maker = {step.writes: i for i, step in enumerate(plan.steps)}
    masks: list[int] = []
    for step in plan.steps:
        mask = 0
        for buffer in step.reads & maker.keys():
            mask |= masks[maker[buffer]] | 1 << maker[buffer]
        masks.append(mask)
    return masks


def readers(plan: MemoryPlan) -> dict[int, int]:
    """For every buffer the steps that read it; one more bit for the reader of the network's output."""
    masks: dict[int, int] = defaultdict(int)
    for i, step in enumerate(plan.steps):
        for buffer in step.reads:
            masks[buffer] |= 1 << i
    for buffer in plan.outputs:
        masks[buffer] |= 1 << len(plan.steps)
    return masks


def split_stretches(waits: list[int]) -> list[tuple[int, ...]]:
    """Stretches of steps that any order runs one after the other: cuts alone, and what lies between cuts."""
    count = len(waits)
    cuts = [False] * count
    common = -1  # what every later step waits for
    for i in reversed(range(count)):
        cuts[i] = waits[i].bit_count() == i and bool(common >> i & 1)
        common &= waits[i]
    stretches: list[tuple[int, ...]] = []
    for i in range(count):
        if i and not cuts[i] and not cuts[i - 1]:
            stretches[-1] = (*stretches[-1], i)
        else:
            stretches.append((i,))
    return stretches


def search_stretch(
    puzzle: Puzzle, stretch: tuple[int, ...], floor: int, ceiling: int, limit: int
) -> tuple[int, tuple[int, ...]] | None:
    """(peak, order) of the best order of one stretch, from `floor` to `ceiling`; None beyond `limit` states."""
    plan, waits, readers = puzzle
    done = (1 << stretch[0]) - 1
    goal = (1 << stretch[-1] + 1) - 1
    available = plan.inputs.union(step.writes for step in plan.steps[: stretch[0]])
    live = sum(plan.sizes[buffer] for buffer in available if readers[buffer] & ~done)

    def effect(i: int, done: int) -> tuple[int, int]:
        """What step i adds to the memory in use: while it runs, and after."""
        step = plan.steps[i]
        dying = {buffer for buffer in step.reads if not readers[buffer] & ~(done | 1 << i)}
        new = plan.sizes[step.writes]
        kept = new if readers[step.writes] else 0
        return 0 if step.over & dying else new, kept - sum(plan.sizes[buffer] for buffer in dying)

    name = symmetry(puzzle, stretch)
    heap: list[tuple[int, int, int, int, tuple[int, ...]]] = [(floor, 0, done, live, ())]
    reached = {name(done): floor}
    while heap and len(reached) <= limit:
        peak, _, done, live, order = heappop(heap)
        if done == goal:
            return peak, order
        moves: list[tuple[int, int, int]] = []
        for i in stretch:
            if not done >> i & 1 and not waits[i] & ~done:
                during, after = effect(i, done)
                moves.append((max(peak, live + during), live + after, i))
                if moves[-1][0] == peak and after <= 0:
                    moves = moves[-1:]
                    break
        for high, left, i in moves:
            state = name(done | 1 << i)
            if high <= ceiling and high < reached.get(state, ceiling + 1):
                reached[state] = high
                heappush(heap, (high, -len(order), done | 1 << i, left, (*order, i)))
    assert heap, "the given order is one of those searched"
    return None


def symmetry(puzzle: Puzzle, stretch: tuple[int, ...]) -> Callable[[int], Hashable]:
    """A name for a set of finished steps, the same for sets that differ only by an exchange of equal branches."""
    plan, _, readers = puzzle
    inside = sum(1 << i for i in stretch)
    maker = {plan.steps[i].writes: i for i in stretch}
    branch = {i: i for i in stretch}  # step -> the first step of its branch
    for i in stretch:
        joined = {branch[maker[buffer]] for buffer in plan.steps[i].reads & maker.keys()}
        for j in stretch:
            if branch[j] in joined:
                branch[j] = i
    members: dict[int, list[int]] = defaultdict(list)
    for i in stretch:
        members[branch[i]].append(i)

    def looks(steps: list[int]) -> Hashable:
        local = {plan.steps[i].writes: -1 - n for n, i in enumerate(steps)}
        return tuple(
            (
                plan.sizes[step.writes],
                frozenset(local.get(buffer, buffer) for buffer in step.reads),
                frozenset(local.get(buffer, buffer) for buffer in step.over),
                readers[step.writes] & ~inside,
            )
            for step in (plan.steps[i] for i in steps)
        )

    classes: dict[Hashable, list[list[int]]] = defaultdict(list)
    for steps in members.values():
        classes[looks(steps)].append(steps)
    if len(classes) == len(members):
        return lambda done: done
    return lambda done: tuple(
        tuple(sorted(tuple(done >> i & 1 for i in steps) for steps in alike)) for alike in classes.values()
    )
