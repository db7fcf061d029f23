"""From samples to a latency: which samples count, the median, its interval.

Runs that follow each other share the clock, the caches and the neighbours of their moment, so they are no independent
draws and an interval over runs is far too narrow. Blocks of runs, a fraction of a second apart, come closer: the
interval is the order-statistic interval of the median over block medians (Conover, Practical Nonparametric
Statistics, section 3.2). It assumes no distribution, and a bootstrap of a dozen values could not do better.

A process keeps for life what it drew at its start: where its memory lies, which kernels were taken. Another process may
be slower throughout, so the interval of one says nothing of the next. A headline is of several fresh processes: the
median of their medians, and the same interval over these. From six processes that is their range, 96.9 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple, TypeAlias

from netlathe.stats.intervals import median_interval
from netlathe.stats.quantiles import quantile

ENOUGH = 6  # the fewest values whose smallest and largest hold the median with 95 %: 1 - 2 / 2^6 = 96.9 %


class Sample(NamedTuple):
    """One run: wall and processor time in milliseconds, and how often the system took the processor away."""

    wall_ms: float
    cpu_ms: float
    switches: int

    def undisturbed(self, threads: int) -> bool:
        """Never interrupted, or so briefly that less than a hundredth of the time is missing (long runs always are)."""
        return self.switches == 0 or self.wall_ms - self.cpu_ms / threads < 0.01 * self.wall_ms


Blocks: TypeAlias = list[list[Sample]]  # of one process


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


def summarise(blocks: Blocks, threads: int) -> tuple[bool, Latency]:
    """Whether the machine left us alone, and the latency of the blocks of runs of one process; no block is empty.

    Undisturbed runs count alone when they are in at least six blocks (in all, where there are fewer), else all count.
    """
    return summarise_processes([blocks], threads)


def summarise_processes(processes: Sequence[Blocks], threads: int) -> tuple[bool, Latency]:
    """As `summarise`; of several processes the interval is over their medians, and it is clean where each of them is:
    undisturbed runs count alone when they are in half of its blocks."""
    # The interval needs values: blocks of one process, but of several a middle each, for which half the blocks do.
    several = len(processes) > 1
    enough = [(len(blocks) + 1) // 2 if several else min(ENOUGH, len(blocks)) for blocks in processes]
    blocks_of_processes = [
        undisturbed_blocks(blocks, threads, least) for blocks, least in zip(processes, enough, strict=True)
    ]
    medians = [[median(run.wall_ms for run in block) for block in counted] for _, counted in blocks_of_processes]
    values = list(map(median, medians)) if several else medians[0]
    runs = [run for _, counted in blocks_of_processes for block in counted for run in block]
    walls, cpu = [run.wall_ms for run in runs], median(run.cpu_ms for run in runs)
    middle = (median(values), *median_interval(values))
    count = sum(len(counted) for _, counted in blocks_of_processes)
    return all(clean for clean, _ in blocks_of_processes), Latency(
        *middle, min(walls), quantile(walls, 0.9), cpu, len(runs), count
    )


def undisturbed_blocks(blocks: Blocks, threads: int, enough: int) -> tuple[bool, Blocks]:
    """Undisturbed runs alone, where they are in enough blocks, else all runs; and whether they were enough."""
    kept = [runs for block in blocks if (runs := [run for run in block if run.undisturbed(threads)])]
    clean = len(kept) >= enough
    return clean, kept if clean else blocks
