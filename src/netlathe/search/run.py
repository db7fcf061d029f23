"""search(): a configuration and a folder in, the best network out. The same call on the folder goes on from there.

The folder holds search.db (every trial), best.json (the winner as an expression), trials/ and final/ (training runs)
and worker logs.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netlathe import __version__
from netlathe.arch.document import to_json
from netlathe.errors import Infeasible, NetlatheError
from netlathe.files import write_text
from netlathe.runfolder.folder import Place, RunFolder, open_run
from netlathe.search.config import CHANGEABLE, SearchConfig, SearchProblem, build_problem, stored_config
from netlathe.search.costing import limited_costs
from netlathe.search.executor import Executor, InlineExecutor, ProcessExecutor
from netlathe.search.feasibility import feasible_share
from netlathe.search.finals import final_of_winner, final_seeds, train_finals
from netlathe.search.identity import code_files, network_of, refuse_changed, search_identity
from netlathe.search.store import FILE, SEARCH, TrialStore
from netlathe.search.strategy import get_strategy
from netlathe.search.study import OnTrial, Study
from netlathe.search.summary import FinalResult, best_trial, finished_trials
from netlathe.search.trial import Trial

if TYPE_CHECKING:
    from netlathe.arch.network import Network
    from netlathe.search.space import SearchSpace
    from netlathe.search.strategy import Strategy

BEST = "best.json"


@dataclass(frozen=True)
class SearchResult:
    """What a search found. `best` None: nothing that was evaluated keeps the budget."""

    config: SearchConfig
    folder: Path
    best: Trial | None
    network: Network | None  # of `best`, for the images of the objective
    final: FinalResult | None  # on fresh seeds, where the objective has seeds
    trials: list[Trial]
    ended: str  # why it ended


def search(
    config: SearchConfig,
    out: Place,
    *,
    workers: int = 0,
    ray: str | None = None,
    seconds: float | None = None,
    started: float | None = None,
    log: Callable[[str], None] = lambda line: None,
    on_trial: OnTrial = lambda study, trial: None,
) -> SearchResult:
    """Search in a folder; one that holds this search goes on where it was stopped.

    `workers`: 0 evaluates in this process, more in as many processes; with `ray` (the address of a cluster, or "" for
    one that is started here) on as many actors. `seconds` is a wall from `started` (of time.monotonic; now): no trial
    begins that would not end in time, with what the winner's final trainings need kept free; what is open at the
    wall, in other processes than this one, is left for the next call. `log` gets lines for people, `on_trial` the study
    and every trial that has ended. Ctrl-C interrupts; everything is stored.

    Raises NetlatheError for names, options and units that are wrong, a folder of another search (another space,
    objective or data among them), a second process, and first trials that all fail alike; Infeasible, before anything
    is trained, where no network keeps the budget.
    """
    begin = clock.monotonic() if started is None else started
    get_strategy(config.strategy).settings(**config.options)
    folder = out.path if isinstance(out, RunFolder) else Path(out)
    problem = build_problem(config, folder)
    if problem.space.size < 2:
        hint = "netlathe train trains it; a space is an expression with Choice nodes"
        raise NetlatheError(
            f"the space {config.space} has one network: nothing to search", code="search.one", hint=hint
        )
    with ExitStack() as stack:
        run_folder = stack.enter_context(open_run(out, SEARCH))
        run_folder.begin(search_identity(config, problem), changeable=CHANGEABLE)
        share = None if (folder / FILE).exists() else measure_share(config, problem, log)
        store = stack.enter_context(TrialStore(folder, write=True))
        record_start(store, config, share, problem.space)
        strategy = make_strategy(config, problem)
        deadline = None if seconds is None else begin + seconds
        with open_executor(config, problem, folder, workers, ray) as executor:
            study = Study(config, problem, strategy, store, executor, deadline=deadline, on_trial=on_trial)
            study.replay(store.trials(), store.waits())
            ended = study.run()
            store.write_facts(ended=ended)
            if study.timed_out:
                run_folder.stop()
            if study.open:  # the wall: no time is left for fresh seeds, and the executor is still at these
                best = best_trial(study.trials)
                log("the time is up: the same command goes on with what was open")
            else:
                best = train_finals(config, problem, store, executor, study.trials, deadline=deadline, log=log)
        final = final_of_winner(best, study.trials, store, final_seeds(config, problem)) if best else None
        network = winner_network(problem, best, folder) if best else None
        if network is not None:
            write_text(folder / BEST, to_json(network))
        store.write_facts(winner=best.number if best else None)
        return SearchResult(config, folder, best, network, final, study.trials, ended)


def load_config(folder: Path) -> SearchConfig:
    """The configuration of the search in a folder. Raises NetlatheError where there is none."""
    with TrialStore(folder, write=False) as store:
        return stored_config(store.facts(), folder)


def measure_share(config: SearchConfig, problem: SearchProblem, log: Callable[[str], None]) -> float:
    """How much of the space may keep the budget. Raises Infeasible where nothing does."""
    share = feasible_share(problem.space, problem.objective, problem.budget, np.random.default_rng(config.seed))
    if limited_costs(problem.budget):
        rare = "less than 2 %" if share < 0.02 else f"about {100 * share:.0f} %"
        log(f"{rare} of the space may keep the budget")
    return share


def record_start(store: TrialStore, config: SearchConfig, share: float | None, space: SearchSpace) -> None:
    """Write down what is searched, and the first time what else is known then."""
    decisions = [[decision.name, list(decision.options)] for decision in space.decisions]
    store.write_facts(config=asdict(config), decisions=decisions)
    if "begun" not in store.facts():
        store.write_facts(version=__version__, begun=clock.time(), feasible_share=share)


def make_strategy(config: SearchConfig, problem: SearchProblem) -> Strategy:
    """The strategy at its start; one that knows limits and costs is told those of the search."""
    maker = get_strategy(config.strategy)
    names = limited_costs(problem.budget)
    options = dict(config.options)
    if names and "limits" in maker.options:
        options.setdefault("limits", ",".join(f"{getattr(problem.budget, name):g}" for name in names))
    if "costs" in maker.options:
        options.setdefault("costs", max(1, len(names)))
    return maker(problem.space, np.random.default_rng(config.seed), evaluations=config.evaluations, **options)


@contextmanager
def open_executor(
    config: SearchConfig, problem: SearchProblem, folder: Path, workers: int, ray: str | None
) -> Iterator[Executor]:
    """Who evaluates; all of them end with the search."""
    spec = {"config": asdict(config), "folder": str(folder.absolute()), "files": code_files(config)}
    threads = int(config.objective.get("threads", 1))
    executor: Executor
    if ray is not None:
        from netlathe.search.ray_executor import RayExecutor

        executor = RayExecutor(max(1, workers), spec, threads=threads, address=ray)
    elif workers:
        executor = ProcessExecutor(workers, spec, threads=threads)
    else:
        executor = InlineExecutor(problem.objective)
    try:
        yield executor
    finally:
        executor.close()


def winner_network(problem: SearchProblem, trial: Trial, folder: Path) -> Network:
    """The network of a trial as it was evaluated, named after its space and genotype.

    Raises NetlatheError where the space gives another one now.
    """
    refuse_changed(problem, [trial], folder)
    return network_of(problem, trial.genotype)


def change_config(config: SearchConfig, **changes: Any) -> SearchConfig:
    """The configuration with what a search may go on with changed. None changes nothing."""
    assert set(changes) <= set(CHANGEABLE)
    return replace(config, **{name: value for name, value in changes.items() if value is not None})


def require_best(result: SearchResult) -> Trial:
    """The winner. Raises Infeasible where nothing that was evaluated keeps the budget."""
    if result.best is None:
        finished = len(finished_trials(result.trials))
        raise Infeasible(
            f"no network that was evaluated keeps the budget ({len(result.trials)} proposed, {finished} finished)",
            code="search.infeasible",
            path=str(result.folder),
            hint="`netlathe search show` lists why; a longer search or a larger limit helps",
        )
    return result.best
