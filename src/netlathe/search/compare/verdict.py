"""Which of two strategies is better, from paired runs: better, worse, equal within a margin, or inconclusive.

A value a run, lower is better (regret in points); runs of one seed are a pair. The p value is that of the sign-flip
permutation test (Fisher 1935, section 21), which assumes only that without a difference each sign was as likely, and is
corrected by Holm's method for all pairs. The interval, and how many runs it would take, are those of the paired t test.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import ceil, log2
from typing import NamedTuple

import numpy as np

from netlathe.train.experiment.compare import ALPHA, POWER, smallest
from netlathe.train.experiment.scores import SAME, Array, Estimate, estimate, holm
from netlathe.train.experiment.student import t_quantile

BETTER, WORSE, EQUAL, INCONCLUSIVE = "better", "worse", "equal", "inconclusive"
EXACT = 14  # pairs up to which all 2^n signs are tried
FLIPS = 9_999  # draws of signs beyond that
MOST_RUNS = 1_000_000  # nobody makes more


class StrategyPair(NamedTuple):
    """Strategy a against b: by how much b's value is above a's. `verdict` is on a."""

    a: str
    b: str
    gain: Estimate  # its p is Student's; the one that counts is `p`
    ahead: float  # the share of runs that a wins, a draw counting half
    p: float  # of sign flips, after Holm
    family: int  # how many pairs it was corrected for
    verdict: str
    needed: int | None  # runs for a difference of the size seen; None: more than a million
    needed_for_margin: int | None  # runs for a difference of the size of the margin

    def say(self, runs: int, margin: float) -> str:
        """The verdict as a sentence; the margin is in points."""
        if self.verdict in (BETTER, WORSE):
            small = "" if abs(self.gain.mean) > margin else f", by less than the margin of {margin:g}"
            return f"{self.a if self.verdict == BETTER else self.b} is better{small}"
        if self.verdict == EQUAL:
            return f"equal within {margin:g} points"
        if runs < fewest(self.family):
            return f"inconclusive: {runs} runs can show nothing, {fewest(self.family)} is the least"
        wanted = f"more than {MOST_RUNS:,}" if self.needed is None else f"{self.needed:,}"
        return f"inconclusive: {wanted} runs are needed to tell these apart"


def pairs(values: Mapping[str, Array], *, margin: float, rng: np.random.Generator) -> tuple[StrategyPair, ...]:
    """All pairs of arms, each an array with a value a run, in the order of the arms.

    Holm's family is all pairs. Equal: the interval at 1 - 2 alpha / pairs lies within +- margin (two one-sided tests,
    Schuirmann 1987, at Bonferroni's level). Power is for the first step of Holm's method.
    """
    named = list(combinations(values, 2))
    gains = [values[b] - values[a] for a, b in named]
    ps = holm([sign_flip(gain, rng) for gain in gains])
    alpha = ALPHA / max(1, len(named))
    found = []
    for (a, b), gain, p in zip(named, gains, ps, strict=True):
        mean = estimate(gain)
        assert mean is not None, "an arm has a run at least"
        assert p is not None, "the test gives a p to everything"
        said = verdict(mean, p, margin=margin, alpha=alpha)
        ahead = float(np.mean(gain > SAME) + np.mean(np.abs(gain) <= SAME) / 2)
        wanted = (runs_needed(size, mean.sd or 0.0, alpha) for size in (abs(mean.mean), margin))
        found.append(StrategyPair(a, b, mean, ahead, p, len(named), said, *wanted))
    return tuple(found)


def verdict(gain: Estimate, p: float, *, margin: float, alpha: float = ALPHA) -> str:
    """What may be said of an arm whose values are lower by `gain`; `p` is corrected, `alpha` the level of equality."""
    if p < ALPHA:
        return BETTER if gain.mean > 0 else WORSE
    if gain.sd is None:  # one run
        return INCONCLUSIVE
    half = gain.sd / gain.seeds**0.5 * t_quantile(1 - alpha, gain.seeds - 1) if gain.sd > SAME else 0.0
    return EQUAL if abs(gain.mean) + half < margin else INCONCLUSIVE


def sign_flip(differences: Array, rng: np.random.Generator) -> float:
    """The two-sided p of the mean of paired differences: exact up to 14 pairs, else from 9,999 random flips.

    Random flips count the observed one as well (Phipson and Smyth 2010), so that p is never 0.
    """
    n = len(differences)
    if n <= EXACT:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.vstack([np.ones((1, n), np.int64), 1 - 2 * rng.integers(2, size=(FLIPS, n))])
    sums = np.abs(signs @ differences)
    return float(np.mean(sums >= sums[0] - SAME * n))


def fewest(family: int) -> int:
    """The fewest runs with which the sign-flip test can show anything, when so many pairs are corrected for."""
    return ceil(log2(2 * family / ALPHA))


def runs_needed(size: float, sd: float, alpha: float = ALPHA) -> int | None:
    """The runs an arm with which a paired t test finds a true mean difference with a chance of 80 %.

    `sd` is that of the difference of a pair. None: more than a million. The formula of `smallest`, turned around.
    """
    if size <= SAME:
        return None
    if sd <= SAME:
        return 2
    low, high = 2, 4
    while smallest(sd, high, alpha) > size:
        low, high = high, 2 * high
        if high > MOST_RUNS:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if smallest(sd, middle, alpha) <= size else (middle + 1, high)
    return low


def power_seen(gains: Array, runs: int, *, repeats: int, rng: np.random.Generator, alpha: float = ALPHA) -> float:
    """The share of `repeats` draws of so many runs, out of a large pool, in which the test shows the difference."""
    shown = [sign_flip(rng.choice(gains, runs, replace=False), rng) < alpha for _ in range(repeats)]
    return float(np.mean(shown))


__all__ = [
    "ALPHA",
    "BETTER",
    "EQUAL",
    "INCONCLUSIVE",
    "POWER",
    "WORSE",
    "StrategyPair",
    "pairs",
    "power_seen",
    "runs_needed",
]
