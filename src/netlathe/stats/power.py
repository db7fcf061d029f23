"""What a paired t test can show: the difference that n pairs find, and the pairs that a difference takes."""

from __future__ import annotations

from netlathe.stats.estimates import SAME
from netlathe.stats.student import t_shift

ALPHA = 0.05  # the chance of a difference where there is none
POWER = 0.8  # the chance to find one that is there
MOST_RUNS = 1_000_000  # nobody makes more


def minimum_detectable_effect(sd: float, pairs: int, alpha: float = ALPHA) -> float:
    """The true mean of paired differences of standard deviation `sd` that a two-sided t test finds with POWER."""
    difference: float = t_shift(pairs - 1, alpha, POWER) * sd / pairs**0.5
    return difference


def runs_needed(difference: float, sd: float, alpha: float = ALPHA) -> int | None:
    """The runs an arm with which a paired t test finds a true mean difference with a chance of POWER.

    `sd` is that of the difference of a pair. None: more than a million. `minimum_detectable_effect`, turned around.
    """
    if difference <= SAME:
        return None
    if sd <= SAME:
        return 2
    low, high = 2, 4
    while minimum_detectable_effect(sd, high, alpha) > difference:
        low, high = high, 2 * high
        if high > MOST_RUNS:
            return None
    while low < high:
        middle = (low + high) // 2
        enough = minimum_detectable_effect(sd, middle, alpha) <= difference
        low, high = (low, middle) if enough else (middle + 1, high)
    return low
