"""Pairs of networks, recipes or sizes: which is better, by how much, and whether the seeds allow to say so.

A comparison is averaged over the other factors, or made within one of their conditions. Each question is a family of
its own ("which network, on average", "which network, under each recipe"), and the p values of a family are corrected
for their number by Holm's method; the interval is that of the one comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from netlathe.stats.estimates import Estimate, estimate, holm
from netlathe.stats.power import ALPHA, minimum_detectable_effect
from netlathe.train.experiment.scores import (
    FACTORS,
    Array,
    Level,
    ScoreTable,
    format_condition,
)

NO_NOISE = "no noise estimate"
NO_DIFFERENCE = "no difference shown"


class ConditionComparison(NamedTuple):
    """a - b in points; `where` holds the levels of the other factors, and is empty for the average over them."""

    factor: str
    a: Level
    b: Level
    where: tuple[Level, ...]
    difference: Estimate
    p: float | None  # after Holm
    family: int  # how many comparisons it was corrected for
    verdict: str


class RankFlip(NamedTuple):
    """Two networks, or two recipes, whose order differs between two conditions."""

    factor: str
    a: Level  # better in the first condition
    b: Level  # better in the second
    first: tuple[Level, ...]
    second: tuple[Level, ...]
    ahead: Estimate  # a - b in the first condition, positive
    behind: Estimate  # a - b in the second, negative
    p: float | None  # after Holm, that the order does not flip: the larger p of the two differences
    shown: bool


class DetectableDifference(NamedTuple):
    """The true difference, in points, that so many seeds show with a chance of 80 %."""

    seeds: int
    single: float  # for one comparison, at 5 %
    strict: float  # for the first step of Holm's method in the largest family


def compare(scores: ScoreTable, factor: str) -> tuple[ConditionComparison, ...]:
    """All pairs of levels of a factor, averaged over the others and then within each of their conditions.

    A seed counts in an average where all its runs have finished; pairs without a common seed are left out.
    """
    axis = FACTORS.index(factor)
    levels = scores.levels[axis]
    conditions = [other for other in scores.factors if other != axis]
    pairs = list(combinations(range(len(levels)), 2))
    comparisons: list[ConditionComparison] = []
    for averaged in (True, False) if conditions else (True,):
        questions: list[tuple[int, int, tuple[Level, ...], Estimate]] = []
        for a, b in pairs:
            difference: Array = np.take(scores.values, [a], axis) - np.take(scores.values, [b], axis)
            if averaged:
                mean = estimate(difference.mean(axis=(0, 1, 2)))
                questions += [(a, b, (), mean)] if mean else []
                continue
            for at in np.ndindex(*difference.shape[:-1]):
                one = estimate(difference[at])
                questions += [(a, b, tuple(scores.levels[c][at[c]] for c in conditions), one)] if one else []
        for (a, b, where, one), p in zip(questions, holm([e.p for *_, e in questions]), strict=True):
            conclusion = judge_difference(levels[a], levels[b], one, p)
            comparisons.append(
                ConditionComparison(factor, levels[a], levels[b], where, one, p, len(questions), conclusion)
            )
    return tuple(comparisons)


def judge_difference(a: Level, b: Level, difference: Estimate, p: float | None) -> str:
    """What may be said of a - b."""
    if p is None:
        return NO_NOISE
    if p >= ALPHA:
        return NO_DIFFERENCE + (" once corrected" if difference.p is not None and difference.p < ALPHA else "")
    return f"{format_condition(a if difference.mean > 0 else b)} better"


def find_flips(comparisons: Sequence[ConditionComparison]) -> tuple[RankFlip, ...]:
    """The pairs of a factor that change their order between two conditions, as far as the means say; shown or not.

    That both differences are real needs both of them to be shown (an intersection-union test; Berger 1982), so the p
    of a flip is the larger of theirs, corrected by Holm for all pairs of levels and of conditions.
    """
    within = [c for c in comparisons if c.where]
    pairs: dict[tuple[Level, Level], list[ConditionComparison]] = {}
    for comparison in within:
        pairs.setdefault((comparison.a, comparison.b), []).append(comparison)
    both = [two for ones in pairs.values() for two in combinations(ones, 2)]
    flipped = [x.difference.mean * y.difference.mean < 0 for x, y in both]
    ps = [larger_p(x.difference.p, y.difference.p) if flip else 1.0 for (x, y), flip in zip(both, flipped, strict=True)]
    flips = []
    for (x, y), flip, p in zip(both, flipped, holm(ps), strict=True):
        if flip:
            first, second = (x, y) if x.difference.mean > 0 else (y, x)
            shown = p is not None and p < ALPHA
            flips.append(
                RankFlip(x.factor, x.a, x.b, first.where, second.where, first.difference, second.difference, p, shown)
            )
    return tuple(flips)


def larger_p(p: float | None, q: float | None) -> float | None:
    """The larger of two p values; unknown where one of them is."""
    return None if p is None or q is None else max(p, q)


def detectable_difference(comparisons: tuple[ConditionComparison, ...], seeds: int) -> DetectableDifference | None:
    """What so many seeds could show, from the noise of all comparisons within conditions; None without noise."""
    one_condition = [c for c in comparisons if c.where] or list(comparisons)
    noise = [c.difference.sd for c in one_condition if c.difference.sd is not None]
    if not noise or seeds < 2:
        return None
    sd = float(np.sqrt(np.mean(np.square(noise))))
    largest = max(c.family for c in comparisons)
    if sd == 0:
        return None
    single, strict = (minimum_detectable_effect(sd, seeds, alpha) for alpha in (ALPHA, ALPHA / largest))
    return DetectableDifference(seeds, single, strict)
