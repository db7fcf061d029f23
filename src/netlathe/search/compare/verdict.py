"""Which of two strategies is better, from paired runs: better, worse, equal within a margin, or inconclusive.

A value a run, lower is better (regret in points); runs of one seed are a pair. The p value is that of the sign-flip
permutation test (Fisher 1935, section 21), which assumes only that without a difference each sign was as likely, and is
corrected by Holm's method for all pairs. The interval, and how many runs it would take, are those of the paired t test.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.stats.estimates import SAME, Estimate, estimate, holm
from netlathe.stats.permutation import fewest_pairs, sign_flip_p_value
from netlathe.stats.power import ALPHA, MOST_RUNS, runs_needed
from netlathe.stats.student import t_half_width

Array: TypeAlias = NDArray[np.float64]
BETTER, WORSE, EQUAL, INCONCLUSIVE = "better", "worse", "equal", "inconclusive"


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

    def describe(self, runs: int, margin: float) -> str:
        """The verdict as a sentence; the margin is in points."""
        if self.verdict in (BETTER, WORSE):
            small = "" if abs(self.gain.mean) > margin else f", by less than the margin of {margin:g}"
            return f"{self.a if self.verdict == BETTER else self.b} is better{small}"
        if self.verdict == EQUAL:
            return f"equal within {margin:g} points"
        if runs < fewest_pairs(self.family):
            return f"inconclusive: {runs} runs can show nothing, {fewest_pairs(self.family)} is the least"
        wanted = f"more than {MOST_RUNS:,}" if self.needed is None else f"{self.needed:,}"
        return f"inconclusive: {wanted} runs are needed to tell these apart"


def compare_pairs(values: Mapping[str, Array], *, margin: float, rng: np.random.Generator) -> tuple[StrategyPair, ...]:
    """All pairs of arms, each an array with a value a run, in the order of the arms.

    Holm's family is all pairs. Equal: the interval at 1 - 2 alpha / pairs lies within +- margin (two one-sided tests,
    Schuirmann 1987, at Bonferroni's level). Power is for the first step of Holm's method.
    """
    names = list(combinations(values, 2))
    gains = [values[b] - values[a] for a, b in names]
    ps = holm([sign_flip_p_value(gain, rng) for gain in gains])
    alpha = ALPHA / max(1, len(names))
    compared = []
    for (a, b), gain, p in zip(names, gains, ps, strict=True):
        mean = estimate(gain)
        assert mean is not None, "an arm has a run at least"
        assert p is not None, "the test gives a p to everything"
        judgement = judge_gain(mean, p, margin=margin, alpha=alpha)
        ahead = float(np.mean(gain > SAME) + np.mean(np.abs(gain) <= SAME) / 2)
        wanted = (runs_needed(size, mean.sd or 0.0, alpha) for size in (abs(mean.mean), margin))
        compared.append(StrategyPair(a, b, mean, ahead, p, len(names), judgement, *wanted))
    return tuple(compared)


def judge_gain(gain: Estimate, p: float, *, margin: float, alpha: float = ALPHA) -> str:
    """What may be said of an arm whose values are lower by `gain`; `p` is corrected, `alpha` the level of equality."""
    if p < ALPHA:
        return BETTER if gain.mean > 0 else WORSE
    if gain.sd is None:  # one run
        return INCONCLUSIVE
    half = t_half_width(gain.sd, gain.seeds, 1 - 2 * alpha) if gain.sd > SAME else 0.0
    return EQUAL if abs(gain.mean) + half < margin else INCONCLUSIVE
