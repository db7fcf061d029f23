"""fit --search: a search in a space adds its winner to the race, where it starts again with fresh seeds.

The search trains short schedules and sees the validation images only. It gets a share of the racing time and keeps its
own folder, which goes on after a kill like any search. Its scores are not used: the winner of many noisy scores is
overrated, so it is raced like the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netlathe.arch.document import to_json
from netlathe.choose.place import Place
from netlathe.errors import Infeasible
from netlathe.fit.config import FitConfig
from netlathe.fit.rungs import SEARCH
from netlathe.search.config import SearchConfig as SearchWish
from netlathe.search.config import load_space
from netlathe.search.costing import TargetSpec
from netlathe.search.objective import spec_to_json
from netlathe.search.run import search
from netlathe.search.training import training_spec
from netlathe.search.trial import TrialState

SHARE = 0.4  # of the racing time
STRATEGY = "evolution"
EPOCHS = 0.1  # of the recipe's: a trial is a whole schedule, but a short one
MANY, FEW = 1000, 8  # evaluations, with a wall for the time and without one

Say = Callable[[str], None]


def search_space(wish: FitConfig, place: Place, out: Path, say: Say) -> dict[str, Any]:
    """The winner's arch.json under `arch`, None where nothing kept the budget in time; and how many were trained."""
    assert wish.search is not None
    objective = training_spec(
        wish.data,
        wish.recipe,
        load_space(wish.search),
        epochs=max(1.0, EPOCHS * wish.recipe.epochs),
        threads=wish.threads or 1,
    )
    runtime, _ = place.settings[0]
    asked = SearchWish(
        space=wish.search,
        strategy=STRATEGY,
        objective=spec_to_json(objective),
        evaluations=MANY if wish.seconds is not None else FEW,
        limits=dict(wish.budget),
        where=asdict(TargetSpec(wish.device, runtime, None, place.threads)),
        seed=wish.seed,
        final_seeds=0,  # the race has fresh seeds, and the test images are not for the search
    )
    seconds = None if wish.seconds is None else SHARE * SEARCH * wish.seconds
    try:
        found = search(asked, out / "search", seconds=seconds, log=say)
    except Infeasible as error:  # the zoo may hold what the space does not
        say(f"no search: {error.message}")
        return {"arch": None, "trained": 0}
    done = sum(trial.state == TrialState.DONE for trial in found.trials)
    if found.network is None:
        say(f"the search in {wish.search} found nothing that keeps the budget in {done} trainings")
        return {"arch": None, "trained": done}
    say(f"the search in {wish.search} gives {found.network.name} after {done} trainings")
    return {"arch": to_json(found.network), "trained": done}
