"""search(): a wish and a folder in, the best network out. The same call on the folder goes on where it was stopped.

The folder holds search.db (every trial), best.json (the winner as an expression), trials/ and final/ (training runs)
and worker logs.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netlathe import __version__
from netlathe.arch.document import to_json
from netlathe.errors import Infeasible, NetlatheError
from netlathe.files import write_text
from netlathe.runfolder.identity import refuse_other
from netlathe.search.costing import limited
from netlathe.search.crew import Crew, Inline, Processes
from netlathe.search.driver import Driver, Say
from netlathe.search.feasible import feasible_share
from netlathe.search.finals import cursed, final_seeds, finals
from netlathe.search.store import SEARCH, Store
from netlathe.search.strategy import strategy
from netlathe.search.summary import Final, whole
from netlathe.search.summary import best as best_of
from netlathe.search.trial import Trial
from netlathe.search.wish import FREE, Built, Wish, built, from_document

if TYPE_CHECKING:
    from netlathe.arch.network import Network
    from netlathe.search.strategy import Strategy

BEST = "best.json"


@dataclass(frozen=True)
class Found:
    """What a search found. `best` None: nothing that was evaluated keeps the budget."""

    wish: Wish
    folder: Path
    best: Trial | None
    network: Network | None  # of `best`, for the images of the objective
    final: Final | None  # on fresh seeds, where the objective has seeds
    trials: list[Trial]
    ended: str  # why it ended


def search(
    wish: Wish,
    folder: Path,
    *,
    workers: int = 0,
    ray: str | None = None,
    seconds: float | None = None,
    started: float | None = None,
    tell: Callable[[str], None] = lambda line: None,
    say: Say = lambda driver, trial: None,
) -> Found:
    """Search in a folder; one that holds this search goes on where it was stopped.

    `workers`: 0 evaluates in this process, more in as many processes; with `ray` (the address of a cluster, or "" for
    one that is started here) on as many actors. `seconds` is a wall from `started` (of time.monotonic; now): no trial
    begins that would not end in time, with what the winner's final trainings need kept free; what is open at the
    wall, in other processes than this one, is left for the next call. `tell` gets lines for people, `say` the driver
    and every trial that has ended. Ctrl-C interrupts; everything is stored.

    Raises NetlatheError for names, options and units that are wrong, a folder of another search, a second driver, and
    first trials that all fail alike; Infeasible, before anything is trained, where no network keeps the budget.
    """
    begin = clock.monotonic() if started is None else started
    strategy(wish.strategy).settings(**wish.options)
    what = built(wish, folder)
    if what.space.size < 2:
        hint = "netlathe train trains it; a space is an expression with Choice nodes"
        raise NetlatheError(f"the space {wish.space} has one network: nothing to search", code="search.one", hint=hint)
    with Store(folder, write=True) as store:
        begun(store, wish, what, tell)
        planner = planned(wish, what)
        deadline = None if seconds is None else begin + seconds
        with crew_of(wish, what, folder, workers, ray) as crew:
            driver = Driver(wish, what, planner, store, crew, deadline=deadline, say=say)
            driver.replay(store.trials(), store.waits())
            ended = driver.run()
            store.note(ended=ended)
            if driver.open:  # the wall: no time is left for fresh seeds, and the crew is still at these
                best = best_of(driver.trials)
                tell("the time is up: the same command goes on with what was open")
            else:
                best = finals(wish, what, store, crew, driver.trials, deadline=deadline, tell=tell)
        final = cursed(best, driver.trials, store, final_seeds(wish, what)) if best else None
        network = network_of(what, best) if best else None
        if network is not None:
            write_text(folder / BEST, to_json(network))
        store.note(winner=best.number if best else None)
        return Found(wish, folder, best, network, final, driver.trials, ended)


def stored(folder: Path) -> Wish:
    """The wish of the search in a folder. Raises NetlatheError where there is none."""
    with Store(folder, write=False) as store:
        return from_document(store.facts()["wish"])


def begun(store: Store, wish: Wish, what: Built, tell: Callable[[str], None]) -> None:
    """Write down what is searched, the first time; later, refuse something else."""
    facts = store.facts()
    if "wish" in facts:
        refuse_other(SEARCH, facts["wish"], asdict(wish), store.folder, changeable=FREE)
        store.note(wish=asdict(wish))
        return
    share = feasible_share(what.space, what.objective, what.budget, np.random.default_rng(wish.seed))
    if limited(what.budget):
        rare = "less than 2 %" if share < 0.02 else f"about {100 * share:.0f} %"
        tell(f"{rare} of the space may keep the budget")
    store.note(wish=asdict(wish), version=__version__, begun=clock.time(), feasible_share=share)


def planned(wish: Wish, what: Built) -> Strategy:
    """The strategy at its start; one that knows limits and costs is told those of the search."""
    maker = strategy(wish.strategy)
    names = limited(what.budget)
    options = dict(wish.options)
    if names and "limits" in maker.options:
        options.setdefault("limits", ",".join(f"{getattr(what.budget, name):g}" for name in names))
    if "costs" in maker.options:
        options.setdefault("costs", max(1, len(names)))
    return maker(what.space, np.random.default_rng(wish.seed), evaluations=wish.evaluations, **options)


@contextmanager
def crew_of(wish: Wish, what: Built, folder: Path, workers: int, ray: str | None) -> Iterator[Crew]:
    """Who evaluates; all of them end with the search."""
    spec = {"wish": asdict(wish), "folder": str(folder.absolute())}
    threads = int(wish.objective.get("threads", 1))
    crew: Crew
    if ray is not None:
        from netlathe.search.on_ray import OnRay

        crew = OnRay(max(1, workers), spec, threads=threads, address=ray)
    elif workers:
        crew = Processes(workers, spec, threads=threads)
    else:
        crew = Inline(what.objective)
    try:
        yield crew
    finally:
        crew.close()


def network_of(what: Built, trial: Trial) -> Network:
    """The network of a trial as it was trained, named after its space and genotype."""
    make: Any = getattr(what.objective, "network", what.space.decode)
    found: Network = make(trial.genotype)
    return found


def changed(wish: Wish, **changes: Any) -> Wish:
    """The wish with what a search may go on with changed. None changes nothing."""
    assert set(changes) <= set(FREE)
    return replace(wish, **{name: value for name, value in changes.items() if value is not None})


def require_best(found: Found) -> Trial:
    """The winner. Raises Infeasible where nothing that was evaluated keeps the budget."""
    if found.best is None:
        finished = len(whole(found.trials))
        raise Infeasible(
            f"no network that was evaluated keeps the budget ({len(found.trials)} proposed, {finished} finished)",
            code="search.infeasible",
            path=str(found.folder),
            hint="`netlathe search show` lists why; a longer search or a larger limit helps",
        )
    return found.best
