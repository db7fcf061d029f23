"""The decision: the front, the pick, who is tied with it, and the reasons. Pure functions of measured candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import NamedTuple

from netlathe.choose.budget import LIMITS, Budget, Candidate, Limit
from netlathe.stats.pareto import pareto_front

WORTH = 0.9  # a step that saves less than a tenth is not worth naming
LIKELY = 3  # candidates that are named because they likely fit
IMAGES = 50_000  # of the ImageNet validation set, on which the published accuracies were measured


def noise(top1: float, images: int | None = IMAGES) -> float:
    """Half the 95 % interval of a top-1 accuracy measured on so many images, in points (binomial, normal limit).

    0 where nobody says on how many: the accuracy is taken as it is written.
    """
    p = top1 / 100
    return 100 * 1.96 * sqrt(p * (1 - p) / images) if images else 0.0


def noise_of(candidate: Candidate) -> float:
    """The noise of a candidate's accuracy, in points."""
    return noise(candidate.top1, candidate.known_accuracy.images)


def pareto_candidates(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that no other beats in accuracy, latency and memory alike, most accurate first."""
    timed = [c for c in candidates if c.latency_ms < inf]
    best = pareto_front([(-c.top1, c.latency_ms, c.memory_bytes) for c in timed])
    return sorted((timed[i] for i in best), key=lambda c: (-c.top1, c.latency_ms))


def tied(a: Candidate, b: Candidate) -> bool:
    """The accuracies are equal, or differ by less than the noise of measuring the better one."""
    return a.top1 == b.top1 or abs(a.top1 - b.top1) < noise_of(max(a, b, key=lambda c: c.top1))


class Criterion(NamedTuple):
    """What a choice minimises among what fits; `least` is the amount that an unmeasured candidate may have at best."""

    name: str
    superlative: str
    amount: Callable[[Candidate], float]
    least: Callable[[Candidate], float]


def exact(name: str, superlative: str, amount: Callable[[Candidate], float]) -> Criterion:
    """An criterion that is known without measuring."""
    return Criterion(name, superlative, amount, amount)


ACCURACY = exact("error", "most accurate", lambda c: -c.top1)
MINIMISED = {
    "latency": Criterion("latency", "fastest", lambda c: c.latency_ms, lambda c: c.interval[0]),
    "memory": exact("memory", "one of least memory", lambda c: c.memory_bytes),
    "size": exact("size", "smallest", lambda c: c.size_bytes),
    "macs": exact("macs", "one of fewest MACs", lambda c: c.macs),
}


def best_first(candidates: Iterable[Candidate], criterion: Criterion = ACCURACY) -> list[Candidate]:
    """By the criterion; equal ones most accurate first, then fastest."""
    return sorted(candidates, key=lambda c: (criterion.amount(c), -c.top1, c.latency_ms))


def better(c: Candidate, pick: Candidate, criterion: Criterion = ACCURACY) -> bool:
    """Better by the criterion: in accuracy beyond noise, in what is minimised by a tenth."""
    if criterion is ACCURACY:
        return c.top1 > pick.top1 and not tied(c, pick)
    return criterion.amount(c) <= WORTH * criterion.amount(pick)


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Raising one limit to `value` would admit `candidate`, which is better by `gain`: points of accuracy, or the share
    that is saved of what is minimised."""

    limit: Limit
    value: float
    candidate: Candidate
    gain: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The pick (None: nothing fits) and what explains it."""

    pick: Candidate | None
    top: Candidate | None  # the most accurate that fits
    fitting: list[Candidate]
    ties: list[Candidate]  # within accuracy noise of the most accurate that fits; the fastest of them is the pick
    cheaper: Candidate | None  # the next faster network of the front; None where something is minimised
    relaxations: list[Relaxation]  # per limit, the cheapest step that admits a better network
    dearer: Candidate | None = None  # where something is minimised, the next more accurate network of the front
    likely: tuple[Candidate, ...] = ()  # better than the pick; only the upper end of their interval breaks the limit


def decide(candidates: Sequence[Candidate], budget: Budget, criterion: Criterion = ACCURACY) -> Decision:
    """Take the best network that fits: the most accurate, among those tied with it within noise the fastest; or the one
    with the least of what is minimised."""
    fitting = [c for c in candidates if not budget.broken(c) and not (c.latency and c.latency.failure)]
    if not fitting:
        steps = relaxations(candidates, budget, None, criterion)
        return Decision(None, None, [], [], None, steps, likely=likely_to_fit(candidates, budget, None, criterion))
    if criterion is ACCURACY:
        top = max(fitting, key=lambda c: (c.top1, -c.latency_ms))
        pick, *ties = sorted((c for c in fitting if tied(c, top)), key=lambda c: (c.latency_ms, -c.top1))
    else:
        top = pick = best_first(fitting, criterion)[0]
        ties = [c for c in fitting if c is not pick and criterion.least(c) <= pick.interval[2] and both_timed(c, pick)]
        ties = ties if criterion is MINIMISED["latency"] else []
    front = pareto_candidates(fitting)
    faster = [c for c in front if c.latency_ms < pick.latency_ms and c.top1 < pick.top1]
    dearer = [c for c in front if c.top1 > pick.top1 and not tied(c, pick)]
    return Decision(
        pick=pick,
        top=top,
        fitting=fitting,
        ties=ties,
        cheaper=faster[0] if faster and criterion is ACCURACY else None,
        relaxations=relaxations(candidates, budget, pick, criterion),
        dearer=best_first(dearer, criterion)[0] if dearer and criterion is not ACCURACY else None,
        likely=likely_to_fit(candidates, budget, pick, criterion),
    )


def both_timed(a: Candidate, b: Candidate) -> bool:
    """Whether both were measured; the errors of forecasts have common causes, so their intervals tie nothing."""
    return a.is_measured and b.is_measured


def likely_to_fit(
    candidates: Sequence[Candidate], budget: Budget, pick: Candidate | None, criterion: Criterion
) -> tuple[Candidate, ...]:
    """The candidates better than the pick whose latency keeps the limit in the middle, but not at the upper end."""
    likely = [
        c
        for c in candidates
        if budget.unsure(c)
        and c.latency_ms <= (budget.latency or 0.0) < c.deciding_ms
        and (pick is None or better(c, pick, criterion))
    ]
    return tuple(best_first(likely, criterion)[:LIKELY])


def relaxations(
    candidates: Sequence[Candidate], budget: Budget, pick: Candidate | None, criterion: Criterion = ACCURACY
) -> list[Relaxation]:
    """For every limit, the smallest step that, alone, admits a network better than the pick beyond noise."""
    relaxed = []
    for limit in LIMITS:
        admitted = [
            c
            for c in candidates
            if budget.broken(c) == [limit] and limit.used(c) < inf and (pick is None or better(c, pick, criterion))
        ]
        if not admitted:
            continue
        key = (lambda c: -c.top1) if limit.at_least else limit.used
        nearest = min(admitted, key=lambda c: (key(c), criterion.amount(c), -c.top1))
        gain = 0.0
        if pick:
            gain = criterion.amount(pick) - criterion.amount(nearest)
            gain = gain if criterion is ACCURACY else gain / criterion.amount(pick)
        relaxed.append(Relaxation(limit, limit.used(nearest), nearest, gain))
    return relaxed


def binding(decision: Decision, budget: Budget) -> Relaxation | None:
    """The limit that costs most accuracy: where the smallest relative step admits a better network."""
    steps = [
        (abs(r.value / bound - 1), r)
        for r in decision.relaxations
        if (bound := budget.limit(r.limit)) is not None and not r.limit.at_least
    ]
    return min(steps, key=lambda step: step[0])[1] if steps else None
