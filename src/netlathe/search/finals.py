"""The winner on fresh seeds: what the search said of it, and what it is worth on seeds that the search never saw.

The best of many noisy scores is too good (the winner's curse), and the better the search, the more so: regularised
evolution results 0.39 points too much after 200 evaluations of NAS-Bench-Macro (docs/search.md). So the best of the
search are trained again, and what is reported is their mean over fresh seeds. The test images are looked at once, for
the one that wins. On this machine its latency is measured again in several fresh processes; where their interval breaks
the budget, the next best takes its place.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlathe.errors import NetlatheError
from netlathe.search.config import SearchConfig, SearchProblem
from netlathe.search.costing import broken_limits, describe_broken
from netlathe.search.executor import Executor
from netlathe.search.objective import FIRST_FRESH_SEED, MAX_FRESH_SEEDS
from netlathe.search.store import TrialStore
from netlathe.search.summary import FinalResult, final_result, finished_trials
from netlathe.search.trial import Trial, TrialTask

if TYPE_CHECKING:
    from netlathe.search.trial import TaskResult

MAX_TRIES = 2
CHANGED = "the space has changed: it gives another network"
REMEASURED = "measured again"  # the error of a claim that broke the budget then
MAX_CLAIMS = 10  # claims that are measured before the search gives up on its own latencies
Log = Callable[[str], None]


def final_seeds(config: SearchConfig, problem: SearchProblem) -> list[int]:
    """Seeds that no trial of any search has."""
    return [
        FIRST_FRESH_SEED + config.seed * MAX_FRESH_SEEDS + i
        for i in range(min(config.final_seeds, problem.objective.fresh))
    ]


def training_folder(store: TrialStore, number: int, seed: int) -> Path:
    """The folder of a training."""
    return store.folder.absolute() / "final" / f"{number:05d}" / f"seed-{seed - FIRST_FRESH_SEED}"


def claim_winners(
    config: SearchConfig, problem: SearchProblem, store: TrialStore, trials: Sequence[Trial], log: Log
) -> list[Trial]:
    """The best trials that keep the budget when their latency is measured again, in several processes.

    Once for each: one that was refused stays so, and one whose final training began stays claimed, so that a search
    that goes on, or is only looked at, does not change its winner with the load of the machine.
    """
    claims: list[Trial] = []
    settled = {row["number"] for row in store.finals()}
    again = getattr(problem.objective, "remeasured", None)
    for trial in distinct_networks(finished_trials(trials))[:MAX_CLAIMS]:
        if len(claims) == config.final_top:
            break
        if trial.error.startswith(REMEASURED):
            continue
        if again is not None and problem.objective.hopeful and trial.number not in settled:
            costs = again(trial.genotype)
            limits = broken_limits(costs, problem.budget, hopeful=False)
            trial.costs = {**trial.costs, **costs}
            if limits:
                trial.error = f"{REMEASURED}: {describe_broken(costs, limits, problem.budget, hopeful=False)}"
                log(f"trial {trial.number} does not keep the budget when it is {trial.error}; the next best is taken")
            store.write(trial)
            if limits:
                continue
        claims.append(trial)
    return claims


def distinct_networks(trials: Sequence[Trial]) -> list[Trial]:
    """The first trial of each network."""
    return list({trial.key: trial for trial in reversed(trials)}.values())[::-1]


def train_finals(
    config: SearchConfig,
    problem: SearchProblem,
    store: TrialStore,
    executor: Executor,
    trials: Sequence[Trial],
    *,
    deadline: float | None = None,
    log: Log = lambda line: None,
) -> Trial | None:
    """Train what the search claims on fresh seeds, and test the one that wins; None where nothing keeps the budget.

    What was trained before an interruption is kept; at the `deadline` (of time.monotonic) what is not done is left for
    the next call. Raises NetlatheError where no seed could be trained.
    """
    winners = claim_winners(config, problem, store, trials, log)
    seeds = final_seeds(config, problem)
    if not winners or not seeds:
        return winners[0] if winners else None
    done = {(row["number"], row["seed"]) for row in store.finals() if row["score"] is not None}
    tasks = [
        TrialTask(trial.number, trial.genotype, 1.0, seed, str(training_folder(store, trial.number, seed)))
        for trial in winners
        for seed in seeds
        if (trial.number, seed) not in done
    ]
    log(f"training {len(winners)} x {len(seeds)} seeds that the search has not seen") if tasks else None
    keys = {trial.number: trial.arch for trial in winners}
    if not run_tasks(tasks, store, executor, deadline, keys):
        log("the time is up before all fresh seeds were trained: the same command goes on")
    rows = [row for row in store.finals() if row["seed"] in seeds]
    finals = [final for trial in winners if (final := final_result(trial.number, trials, rows)) is not None]
    if not finals and all(row["error"] == "" for row in rows):
        return winners[0]
    if not finals:
        why = next((row["error"] for row in rows), "")
        raise NetlatheError(f"the winner cannot be trained again: {why}", code="search.final", path=str(store.folder))
    best = max(finals, key=lambda final: final.score)
    test_winner(problem, store, trials[best.number], rows)
    return trials[best.number]


def run_tasks(
    tasks: list[TrialTask], store: TrialStore, executor: Executor, deadline: float | None, keys: Mapping[int, str]
) -> bool:
    """Have tasks done that are told apart by (number, seed), and write each down; a worker's death is tried again.

    `keys` are those of the networks, by the number of the trial. Whether all of them ended in time.
    """
    # The executor knows tasks by number: these get numbers of their own.
    numbered = dict(enumerate(tasks))
    waiting, tries, open_ = list(numbered), dict.fromkeys(numbered, 0), set[int]()
    while waiting or open_:
        if not open_ and deadline is not None and clock.monotonic() > deadline:
            return False
        while waiting and executor.free:
            i = waiting.pop(0)
            executor.submit(numbered[i]._replace(number=i))
            open_.add(i)
        wall = None if deadline is None else max(0.0, deadline - clock.monotonic())
        results = executor.wait(wall)
        if not results:
            return False
        for result in results:
            open_.discard(result.number)
            tries[result.number] += 1
            if result.died and tries[result.number] < MAX_TRIES:
                waiting.insert(0, result.number)
            else:
                store_final(store, numbered[result.number], result, keys)
    return True


def store_final(store: TrialStore, task: TrialTask, result: TaskResult, keys: Mapping[int, str]) -> None:
    """Write a training down; one of another network, which a changed space gives, is none."""
    measured = result.measured
    changed = measured is not None and bool(measured.arch) and measured.arch != keys[task.number]
    failed = measured is None or bool(measured.broken) or changed
    error = result.error or result.died or (measured.broken if measured else "") or CHANGED * changed
    score = None if failed or measured is None else measured.score
    store.write_final(task.number, task.seed, score, None, error, result.seconds)


def test_winner(problem: SearchProblem, store: TrialStore, trial: Trial, rows: Sequence[dict[str, Any]]) -> None:
    """The accuracy of the winner's final trainings on the test images."""
    test = getattr(problem.objective, "tested", None)
    if test is None:
        return
    for row in rows:
        if row["number"] == trial.number and row["score"] is not None and row["test"] is None:
            share = test(trial.genotype, training_folder(store, row["number"], row["seed"]))
            store.write_final(row["number"], row["seed"], row["score"], share, "", row["seconds"])


def final_of_winner(
    trial: Trial, trials: Sequence[Trial], store: TrialStore, seeds: Sequence[int]
) -> FinalResult | None:
    """The winner on its fresh seeds."""
    rows = [row for row in store.finals() if row["seed"] in seeds]
    return final_result(trial.number, trials, rows)
