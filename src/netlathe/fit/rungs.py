"""Short trainings with successive elimination (Jamieson and Talwalkar 2016, https://arxiv.org/abs/1502.07943).

A rung is a whole schedule for each network left: the learning rate comes up again and goes down to its end, from the
weights of the rung before, so that scores are those of finished trainings and not of truncated ones. After the last
rung the one-standard-error rule decides (Breiman et al. 1984, section 3.4.3): of the networks whose validation accuracy
is within one standard error of the best, paired image by image, the fastest is taken.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Right = NDArray[np.bool_]
RUNGS = 2
RACE_SHARE = 0.4  # of the training time


class RungEntry(NamedTuple):
    """A network in a rung: which of the images it got right, and its latency."""

    name: str
    right: Right
    latency_ms: float


def count_survivors(count: int) -> int:
    """How many networks go on to the next rung."""
    return max(1, ceil(count / 2))


def rung_seconds(search_s: float, count: int) -> float:
    """Seconds of one training in a rung of `count` networks: every rung gets as much."""
    return search_s / RUNGS / count


def standard_error(a: Right, b: Right) -> float:
    """Of the difference of two accuracies on the same images."""
    difference = a.astype(np.float64) - b.astype(np.float64)
    return float(difference.std(ddof=1) / sqrt(len(difference))) if len(difference) > 1 else 1.0


def find_ties(entries: list[RungEntry]) -> list[RungEntry]:
    """Those within one standard error of the best, the fastest first; the best itself is one of them."""
    best = max(entries, key=lambda entry: entry.right.mean())
    near = [e for e in entries if best.right.mean() - e.right.mean() <= standard_error(best.right, e.right)]
    return sorted(near, key=lambda entry: entry.latency_ms)
