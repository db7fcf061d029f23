"""The results of a search: the networks that it evaluated whole, with their validation accuracy, the best first."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from netlathe.choose.budget import Accuracy
from netlathe.errors import NetlatheError
from netlathe.sources.source import EVERYTHING, SourceEntry, SourceFilter, nothing_wanted

ACCURACIES = ("train", "table")  # objectives whose scores are accuracies in %
STORE = "search.db"


class SearchFolder:
    """The folder of a search, finished or not."""

    notes = ()

    def __init__(self, folder: Path) -> None:
        """Raises NetlatheError for a search whose scores are no accuracies."""
        from netlathe.search.run import load_config

        self.folder, self.config = folder, load_config(folder)
        kind = self.config.objective["kind"]
        if kind not in ACCURACIES:
            raise NetlatheError(
                f"the scores of this search are no accuracies: its objective is {kind!r}",
                code="source.scores",
                path=str(folder),
                hint="netlathe search export FOLDER --trial N writes a network; list it in a folder with its accuracy",
            )

    def entries(self, wanted: SourceFilter = EVERYTHING) -> Iterator[SourceEntry]:
        """The networks whose evaluation is whole, the most accurate first. Raises NetlatheError where there are none.

        On how many images a search validates is not written down, so no accuracy counts as tied with another.
        """
        from netlathe.search.config import build_problem
        from netlathe.search.run import winner_network
        from netlathe.search.store import TrialStore
        from netlathe.search.summary import finished_trials

        with TrialStore(self.folder, write=False) as store:
            trials = finished_trials(store.trials())
        if not trials:
            raise NetlatheError("no trial has finished yet", code="choose.no_candidates", path=str(self.folder))
        problem, count = build_problem(self.config, self.folder), 0
        recipes: list[tuple[str, str]] = []
        for trial in trials:
            network, recipe = winner_network(problem, trial, self.folder), f"the search, trial {trial.number}"
            recipes.append((network.name, recipe))
            if fnmatchcase(network.name, wanted.pattern) and wanted.recipe.lower() in recipe:
                count += 1
                yield SourceEntry(network, Accuracy(trial.score, recipe, str(self.folder)))
        if not count:
            raise nothing_wanted(wanted, "this search", recipes, path=str(self.folder))


def accepts(text: str) -> bool:
    """Whether this is the folder of a search."""
    return (Path(text) / STORE).is_file()


def open_source(text: str) -> SearchFolder:
    """The results of the search in a folder. Raises NetlatheError as `SearchFolder` does."""
    return SearchFolder(Path(text))
