"""One run of one strategy on a benchmark table, within a budget of evaluations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.search.compare.benchmark_table import BenchmarkTable, BenchmarkView
from netlathe.search.strategy import Strategy, TrialResult
from netlathe.train.experiment.scores import Array

Make = Callable[[np.random.Generator, int], Strategy]  # from a generator and the number of evaluations

FREE, BILLED = "free", "billed"  # what asking the same network again costs
PATIENCE = 200  # repeats in a row after which a strategy has nothing new to ask


class SearchTrace(NamedTuple):
    """A run: the regret of the incumbent after every evaluation; then the last incumbent.

    The incumbent is the network that looked best so far, the first of equals; its regret is by what it is worth.
    """

    regret: Array
    row: int
    seen: float
    worth: float
    distinct: int


def simulate(
    make: Make,
    benchmark: BenchmarkTable,
    view: BenchmarkView,
    *,
    evaluations: int,
    rng: np.random.Generator,
    repeats: str,
) -> SearchTrace:
    """Ask and tell until the budget is spent. A repeat is answered from memory: nothing is ever evaluated twice.

    A strategy that has no more to ask keeps its incumbent. Raises NetlatheError for strategies of several fidelities,
    and where nothing is asked at all.
    """
    best = benchmark.best
    strategy = make(rng, evaluations)
    asked: set[int] = set()
    regret = np.full(evaluations, np.nan)
    winner, spent, in_a_row = -1, 0, 0
    while spent < evaluations and in_a_row < PATIENCE:
        proposal = strategy.ask()
        if proposal is None:
            break
        if proposal.rung is not None:
            raise NetlatheError(
                f"{benchmark.name} has whole trainings only, but this strategy asks for parts of one",
                code="search.rungs",
                hint="compare it where partial trainings exist; see docs/honest_search.md",
            )
        row = benchmark.rows[proposal.genotype]
        repeated = row in asked
        asked.add(row)
        strategy.tell(proposal, TrialResult(float(view.seen[row])))
        in_a_row = in_a_row + 1 if repeated else 0
        if repeated and repeats == FREE:
            continue
        if winner < 0 or view.seen[row] > view.seen[winner]:
            winner = row
        regret[spent] = best - view.worth[winner]
        spent += 1
    if winner < 0:
        raise NetlatheError("the strategy asked for nothing", code="search.nothing")
    regret[spent:] = best - view.worth[winner]
    return SearchTrace(regret, winner, float(view.seen[winner]), float(view.worth[winner]), len(asked))
