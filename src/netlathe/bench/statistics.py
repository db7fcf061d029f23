"""From samples to a latency: which samples count, the median, its interval.

Runs that follow each other share the clock, the caches and the neighbours of their moment, so they are no independent
draws and an interval over runs is far too narrow. Blocks of runs, a fraction of a second apart, come closer: the
interval is the order-statistic interval of the median over block medians (Conover, Practical Nonparametric
Statistics, section 3.2). It assumes no distribution, and a bootstrap of a dozen values could not do better.
"""

from __future__ import annotations

from math import comb, floor
from statistics import median
from typing import NamedTuple

CLEAN_BLOCKS = 6  # the fewest values whose smallest and largest hold the median with 95 %: 1 - 2 / 2^6 = 96.9 %


class Sample(NamedTuple):
    """One run: wall and processor time in milliseconds, and how often the system took the processor away."""

    wall_ms: float
    cpu_ms: float
    switches: int

    def undisturbed(self, threads: int) -> bool:
        """Never interrupted, or so briefly that less than a hundredth of the time is missing (long runs always are)."""
        return self.switches == 0 or self.wall_ms - self.cpu_ms / threads < 0.01 * self.wall_ms


class Latency(NamedTuple):
    """Milliseconds over runs in blocks, as in `Measurement`."""

    median_ms: float
    low_ms: float
    high_ms: float
    min_ms: float
    p90_ms: float
    cpu_ms: float
    runs: int
    blocks: int


def summarise(blocks: list[list[Sample]], threads: int) -> tuple[bool, Latency]:
    """Whether the machine left us alone, and the latency of blocks of runs; no block is empty.

    Undisturbed runs count alone when they are in at least six blocks (in all, where there are fewer), else all count.
    """
    undisturbed = [kept for block in blocks if (kept := [run for run in block if run.undisturbed(threads)])]
    clean = len(undisturbed) >= min(CLEAN_BLOCKS, len(blocks))
    counted = undisturbed if clean else blocks
    medians = [median(run.wall_ms for run in block) for block in counted]
    walls = [run.wall_ms for block in counted for run in block]
    cpu = median(run.cpu_ms for block in counted for run in block)
    middle = (median(medians), *median_interval(medians))
    return clean, Latency(*middle, min(walls), quantile(walls, 0.9), cpu, len(walls), len(counted))


def median_interval(values: list[float], confidence: float = 0.95) -> tuple[float, float]:
    """The narrowest pair of k-th smallest and k-th largest value that holds the median with that confidence.

    Fewer than six values cannot reach 95 %: they give their smallest and largest.
    """
    ordered, n = sorted(values), len(values)
    # The median lies below the k-th smallest of n values with the chance of fewer than k heads in n coin tosses.
    outside, cut = 0.0, 0
    for k in range((n + 1) // 2):
        outside += 2 * comb(n, k) / 2**n
        if outside > 1 - confidence:
            break
        cut = k
    return ordered[cut], ordered[n - 1 - cut]


def quantile(values: list[float], share: float) -> float:
    """The value below which that share lies, by linear interpolation."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    left = floor(place)
    right = min(left + 1, len(ordered) - 1)
    return ordered[left] + (ordered[right] - ordered[left]) * (place - left)
