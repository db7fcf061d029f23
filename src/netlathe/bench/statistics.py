"""From samples to a latency: the quiet estimate that decides, and what the machine gave as it was.

What others do on a machine only adds time: they take the processor away, empty caches, lower the clock. So the quiet
estimate of a process is a low quantile of its runs' own time, which is wall time less what was taken away, divided by
the slowdown of a reference kernel that ran in turns with them. On two cores under four endless loops the tenth
percentile of own time stayed within 5 % of the idle machine's for networks of 7 and 75 ms, where the median of wall
time rose to five times (AMD EPYC, ONNX Runtime, 2026-11-29); runs of 2 ms rose by 10 to 35 %, since each return to
the processor finds its caches cold. The interval of a contended estimate reaches down accordingly.

Runs that follow each other share the clock, the caches and the neighbours of their moment, so they are no independent
draws and an interval over runs is far too narrow. Blocks of runs, a fraction of a second apart, come closer: the
interval is the order-statistic interval over blocks (Conover, Practical Nonparametric Statistics, section 3.2). It
assumes no distribution, and a bootstrap of a dozen values could not do better.

A process keeps for life what it drew at its start: where its memory lies, which kernels were taken. Another process may
be slower throughout, so the interval of one says nothing of the next. A headline is of several fresh processes: the
median of their values, and the same interval over these. From six processes that is their range, 96.9 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple, TypeAlias

from netlathe.stats.intervals import median_interval
from netlathe.stats.quantiles import quantile

ENOUGH = 6  # the fewest values whose smallest and largest hold the median with 95 %: 1 - 2 / 2^6 = 96.9 %

QUIET = 0.1  # the quantile of the runs' own time
CACHES = 1.05  # how much slower all runs are on a busy machine, at most (measured: 1.00 to 1.04 from 7 ms on)
RETURN_MS = 0.5  # what a return to the processor costs beside that (measured: 0.1 to 0.55 ms)


class Sample(NamedTuple):
    """One run: wall and processor time in milliseconds, and how often the system took the processor away."""

    wall_ms: float
    cpu_ms: float
    switches: int

    def own_ms(self, threads: int) -> float:
        """Processor time of a thread: what is left of the wall time when others take the processor away."""
        return max(self.cpu_ms / threads, 1e-6)

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
    quiet_ms: float
    quiet_low_ms: float
    quiet_high_ms: float
    slowdown: float


class Process(NamedTuple):
    """The blocks of runs of one process, none empty, and how much slower its reference kernel ran than on a quiet
    machine, at least 1."""

    blocks: Blocks
    slowdown: float = 1.0


def summarise(blocks: Blocks, threads: int, *, busy: bool = False) -> tuple[bool, Latency]:
    """Whether the machine left us alone, and the latency of the blocks of runs of one process; no block is empty.

    Undisturbed runs count alone when they are in at least six blocks (in all, where there are fewer), else all count.
    """
    return summarise_processes([Process(blocks)], threads, busy=busy)


def summarise_processes(processes: Sequence[Process], threads: int, *, busy: bool = False) -> tuple[bool, Latency]:
    """As `summarise`; of several processes the interval is over their medians, and it is clean where each of them is:
    undisturbed runs count alone when they are in half of its blocks. `busy`: others were seen to use the machine."""
    # The interval needs values: blocks of one process, but of several a middle each, for which half the blocks do.
    several = len(processes) > 1
    enough = [(len(p.blocks) + 1) // 2 if several else min(ENOUGH, len(p.blocks)) for p in processes]
    blocks_of_processes = [
        undisturbed_blocks(process.blocks, threads, least) for process, least in zip(processes, enough, strict=True)
    ]
    medians = [[median(run.wall_ms for run in block) for block in counted] for _, counted in blocks_of_processes]
    values = list(map(median, medians)) if several else medians[0]
    runs = [run for _, counted in blocks_of_processes for block in counted for run in block]
    walls, cpu = [run.wall_ms for run in runs], median(run.cpu_ms for run in runs)
    middle = (median(values), *median_interval(values))
    count = sum(len(counted) for _, counted in blocks_of_processes)
    clean = all(clean for clean, _ in blocks_of_processes)
    slowdown = median(process.slowdown for process in processes)
    quiet = quiet_interval(processes, threads, contended=busy or not clean)
    return clean, Latency(*middle, min(walls), quantile(walls, 0.9), cpu, len(runs), count, *quiet, slowdown)


def quiet_interval(processes: Sequence[Process], threads: int, *, contended: bool) -> tuple[float, float, float]:
    """(middle, low, high) in ms of the quiet estimate.

    On a machine that left us alone: the median of the processes and its interval, or of one process that of its
    blocks. On another one the least disturbed process is the middle and the median one the upper end, because what
    others do only adds; the lower end allows for the caches that they empty, and where the reference kernel was slowed
    both ends allow for a network that suffers more or less than it by half.
    """
    values = [quiet_ms([run for block in p.blocks for run in block], threads) / p.slowdown for p in processes]
    if not contended:
        if len(values) > 1:
            return (median(values), *median_interval(values))
        blocks = [quiet_ms(block, threads) / processes[0].slowdown for block in processes[0].blocks]
        low, high = median_interval(blocks)
        return values[0], min(low, values[0]), max(high, values[0])
    middle, doubt = min(values), median(p.slowdown for p in processes) ** 0.5
    low = (middle / CACHES - min(RETURN_MS, middle / 4)) / doubt
    return middle, low, median(values) * doubt


def quiet_ms(runs: Sequence[Sample], threads: int) -> float:
    """A low quantile of the own time of runs."""
    free = [run.wall_ms / run.own_ms(threads) for run in runs if run.switches == 0]
    waits = max(1.0, median(free)) if free else 1.0  # on others of its threads, on a device: no processor time
    return quantile([min(run.wall_ms, run.own_ms(threads) * waits) for run in runs], QUIET)


def undisturbed_blocks(blocks: Blocks, threads: int, enough: int) -> tuple[bool, Blocks]:
    """Undisturbed runs alone, where they are in enough blocks, else all runs; and whether they were enough."""
    kept = [runs for block in blocks if (runs := [run for run in block if run.undisturbed(threads)])]
    clean = len(kept) >= enough
    return clean, kept if clean else blocks
