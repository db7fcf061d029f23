"""The other side of the benchmarks: timm's modules, without its warnings. Figures are ratios of interleaved runs."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from netlathe.lower.libraries import declare_torchvision_operators


class Ratio(NamedTuple):
    """Median milliseconds of both sides, and the median of theirs / ours over the rounds."""

    ours: float
    theirs: float
    ratio: float


def load_timm() -> Any:
    """timm, ready beside a CPU build of torch."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    declare_torchvision_operators()
    import timm

    return timm


def duel(ours: Callable[[], object], theirs: Callable[[], object], seconds: float, least: int = 8) -> Ratio:
    """Both sides in turns, the first of a round alternating, for some time and at least some rounds.

    A ratio is taken inside a round, so a machine that slows down slows both of its sides.
    """
    for work in (ours, theirs, ours, theirs):
        work()
    rounds: list[tuple[float, float]] = []
    end = time.process_time() + seconds
    while len(rounds) < least or time.process_time() < end:
        if len(rounds) % 2:
            b, a = timed(theirs), timed(ours)
        else:
            a, b = timed(ours), timed(theirs)
        rounds.append((a, b))
    return Ratio(median(a for a, _ in rounds), median(b for _, b in rounds), median(b / a for a, b in rounds))


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of processor time of one run: everything here is single-threaded, and the machine is shared."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e3
