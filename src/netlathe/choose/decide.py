"""The decision: the front, the pick, who is tied with it, and the reasons. Pure functions of measured candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

from netlathe.choose.budget import LIMITS, Budget, Candidate, Limit
from netlathe.stats.pareto import pareto_front

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


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Raising one limit to `value` would admit `candidate`, which is better by `gain` points."""

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
    cheaper: Candidate | None  # the next faster network of the front
    relaxations: list[Relaxation]  # per limit, the cheapest step that admits a better network


def decide(candidates: Sequence[Candidate], budget: Budget) -> Decision:
    """Take the most accurate network that fits; among those tied with it within noise, the fastest."""
    fitting = [c for c in candidates if not budget.broken(c) and not (c.latency and c.latency.failure)]
    if not fitting:
        return Decision(None, None, [], [], None, relaxations(candidates, budget, None))
    top = max(fitting, key=lambda c: (c.top1, -c.latency_ms))
    ties = sorted((c for c in fitting if tied(c, top)), key=lambda c: (c.latency_ms, -c.top1))
    pick = ties[0]
    faster = [c for c in pareto_candidates(fitting) if c.latency_ms < pick.latency_ms and c.top1 < pick.top1]
    return Decision(pick, top, fitting, ties[1:], faster[0] if faster else None, relaxations(candidates, budget, pick))


def relaxations(candidates: Sequence[Candidate], budget: Budget, pick: Candidate | None) -> list[Relaxation]:
    """For every limit, the smallest step that, alone, admits a network better than the pick beyond noise."""
    relaxed = []
    for limit in LIMITS:
        admitted = [
            c
            for c in candidates
            if budget.broken(c) == [limit]
            and limit.used(c) < inf
            and (pick is None or (c.top1 > pick.top1 and not tied(c, pick)))
        ]
        if not admitted:
            continue
        key = (lambda c: -c.top1) if limit.at_least else limit.used
        nearest = min(admitted, key=lambda c: (key(c), -c.top1))
        gain = nearest.top1 - pick.top1 if pick else 0.0
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
