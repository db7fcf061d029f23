"""fit --search: a search in a space adds its winner to the race, where it starts again with fresh seeds.

The search trains short schedules and sees the validation images only. It gets a share of the racing time and keeps its
own folder, which goes on after a kill like any search. Its scores are not used: the winner of many noisy scores is
overrated, so it is raced like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netlathe.arch.document import to_json
from netlathe.errors import Infeasible
from netlathe.fit.rungs import RACE_SHARE
from netlathe.search.config import SearchConfig, load_space
from netlathe.search.costing import TargetOptions
from netlathe.search.objective import spec_to_json
from netlathe.search.run import search
from netlathe.search.training import training_spec
from netlathe.search.trial import TrialState
from netlathe.target.target import Target
from netlathe.train.recipe import Recipe

SEARCH_SHARE = 0.4  # of the racing time
STRATEGY = "evolution"
EPOCHS_SHARE = 0.1  # of the recipe's: a trial is a whole schedule, but a short one
MOST_EVALUATIONS, FEW_EVALUATIONS = 1000, 8  # evaluations, with a wall for the time and without one

Say = Callable[[str], None]


def search_space(
    space: str,
    data: str,
    recipe: Recipe,
    target: Target,
    out: Path,
    say: Say,
    *,
    device: str | None,
    budget: Mapping[str, str],
    seconds: float | None,
    seed: int,
    threads: int | None,
) -> dict[str, Any]:
    """The winner's arch.json under `arch`, None where nothing kept the budget in time; and how many were trained.

    `seconds` are those of the whole fit, None without a wall for the time.
    """
    objective = training_spec(
        data,
        recipe,
        load_space(space),
        epochs=max(1.0, EPOCHS_SHARE * recipe.epochs),
        threads=threads or 1,
    )
    config = SearchConfig(
        space=space,
        strategy=STRATEGY,
        objective=spec_to_json(objective),
        evaluations=MOST_EVALUATIONS if seconds is not None else FEW_EVALUATIONS,
        limits=dict(budget),
        where=asdict(TargetOptions(device, target.runtime, None, target.threads)),
        seed=seed,
        final_seeds=0,  # the race has fresh seeds, and the test images are not for the search
    )
    try:
        result = search(
            config, out / "search", seconds=None if seconds is None else SEARCH_SHARE * RACE_SHARE * seconds, log=say
        )
    except Infeasible as error:  # the zoo may hold what the space does not
        say(f"no search: {error.message}")
        return {"arch": None, "trained": 0}
    trained = sum(trial.state == TrialState.DONE for trial in result.trials)
    if result.network is None:
        say(f"the search in {space} found nothing that keeps the budget in {trained} trainings")
        return {"arch": None, "trained": trained}
    say(f"the search in {space} gives {result.network.name} after {trained} trainings")
    return {"arch": to_json(result.network), "trained": trained}
