"""Strategies compared honestly: equal budgets, paired runs, intervals, corrected tests, and a verdict that may be none.

benchmark_table  every network of a space with its trainings, as arrays
simulate         one run of a strategy
verdict          pairs of strategies: better, worse, equal, inconclusive, and the runs it would take
show             tables, JSON, curves
critique         the lecture's critique of architecture search, as measurements on public tables (statistics, report)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import NetlatheError
from netlathe.search.compare.benchmark_table import BenchmarkTable
from netlathe.search.compare.simulate import BILLED, FREE, Make, SearchTrace, simulate
from netlathe.search.compare.verdict import StrategyPair, compare_pairs
from netlathe.stats.estimates import Estimate, estimate
from netlathe.stats.intervals import bootstrap_mean

Array: TypeAlias = NDArray[np.float64]
MARGIN = 0.1  # points: strategies whose mean regrets are closer are equal for practical purposes


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """A strategy over all runs. Curves are over evaluations 1.., in points; low and high a 95 % bootstrap interval."""

    name: str
    traces: tuple[SearchTrace, ...]
    mean: Array
    low: Array
    high: Array
    curse: Estimate | None  # the winner as the search saw it, minus what its unseen trainings say

    @property
    def final(self) -> Array:
        """The regret of each run when the budget is spent."""
        return np.array([trace.regret[-1] for trace in self.traces])


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What was compared and what came out; arms by name, in the order given."""

    benchmark: BenchmarkTable
    evaluations: int
    runs: int
    seed: int
    noisy: bool
    repeats: str
    margin: float
    arms: Mapping[str, Arm]
    pairs: tuple[StrategyPair, ...]


def compare_strategies(
    benchmark: BenchmarkTable,
    makers: Mapping[str, Make],
    *,
    evaluations: int,
    runs: int,
    seed: int = 0,
    noisy: bool = False,
    repeats: str = FREE,
    margin: float = MARGIN,
    progress: Callable[[int, int, str], None] | None = None,
) -> Comparison:
    """Every strategy in so many runs of so many evaluations; the same seed gives the same comparison.

    Run r gives every strategy the same observations (`noisy`: one training of each network, drawn once a run) and the
    same stream of random numbers, so that random draws begin alike; that is what the pairs of runs have in common.
    Repeats are `free` (answered from memory, as in a real search) or `billed` (as most published comparisons count).
    """
    if len(makers) < 2:
        raise NetlatheError("give at least two strategies to compare", code="search.one", hint="random,evolution")
    if repeats not in (FREE, BILLED):
        raise NetlatheError(f"repeats are {FREE} or {BILLED}, not {repeats!r}", code="search.repeats")
    traces: dict[str, list[SearchTrace]] = {name: [] for name in makers}
    for run in range(runs):
        view = benchmark.noisy(np.random.default_rng((seed, run, 0))) if noisy else benchmark.clean()
        for done, (name, make) in enumerate(makers.items()):
            if progress:
                progress(run * len(makers) + done, runs * len(makers), name)
            rng = np.random.default_rng((seed, run, 1))
            traces[name].append(simulate(make, benchmark, view, evaluations=evaluations, rng=rng, repeats=repeats))
    unseen = noisy and benchmark.judged is None
    arms = {
        name: summarise_arm(name, tuple(done), np.random.default_rng((seed, 2)), unseen)
        for name, done in traces.items()
    }
    finals = {name: arm.final for name, arm in arms.items()}
    compared = compare_pairs(finals, margin=margin, rng=np.random.default_rng((seed, 3)))
    return Comparison(benchmark, evaluations, runs, seed, noisy, repeats, margin, arms, compared)


def summarise_arm(name: str, traces: tuple[SearchTrace, ...], rng: np.random.Generator, unseen: bool) -> Arm:
    """The runs of a strategy with their mean curve; `unseen`: worth comes from trainings the search did not see."""
    curves = np.stack([trace.regret for trace in traces])
    low, high = bootstrap_mean(curves, rng)
    curse = estimate(np.array([trace.seen - trace.worth for trace in traces])) if unseen else None
    return Arm(name, traces, curves.mean(0), low, high, curse)
