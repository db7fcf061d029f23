"""The runs of an experiment: every network x recipe x fraction of the training set x seed, each in a folder of its own.

A folder is named by the content of its run (expression, values of the recipe, images, fraction, seed, limits), so a run
is never done twice, a killed one goes on from its checkpoint, and an experiment can grow: more seeds, networks or
recipes add runs and keep the others. Seeds are the outer loop: after each round every cell has as many runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from netlathe.documents.faults import faults_error
from netlathe.documents.schema import check_document
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.files import make_folder, write_text
from netlathe.runfolder.document import read_document, whole
from netlathe.runfolder.folder import Place, RunKind, open_run
from netlathe.runfolder.identity import content_hash
from netlathe.units import show_span

LEVELS = ("networks", "recipes", "fractions", "seeds")
PLAN, OUTCOME, RUNS = "plan.json", "outcome.json", "runs"
EXPERIMENT = RunKind(
    "study",
    (PLAN, RUNS),
    hint="more networks, recipes, fractions and seeds go into the same folder, with the same settings",
    meanwhile="netlathe experiment --show -o FOLDER prints what has finished",
)


class ExperimentRun(NamedTuple):
    """One training. `folder` is relative to that of the experiment."""

    network: str
    recipe: str
    fraction: float  # of the training images
    seed: int
    folder: str

    def __str__(self) -> str:
        share = f", {100 * self.fraction:g} % of the images" if self.fraction < 1 else ""
        return f"{self.network}, {self.recipe}{share}, seed {self.seed}"


class RunResult(NamedTuple):
    """What a run reached, top-1 as a share 0..1 of the kept weights, and what it took."""

    validation: float | None
    test: float | None
    images: int  # seen in training
    macs: int  # of their forward passes; a training step costs about three times as much
    seconds: float
    precision: str = ""


@dataclass(frozen=True, slots=True)
class Experiment:
    """The factors, their runs in the order in which they are done, and the settings that all runs share."""

    networks: tuple[str, ...]
    recipes: tuple[str, ...]
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    runs: tuple[ExperimentRun, ...]
    settings: Mapping[str, Any]  # JSON values that make a run what it is: data, resolution, epochs, limits
    facts: Mapping[str, Any]  # JSON values for the reader: costs of the networks, sizes of the sets, the command


# Trains in that folder, going on from what it holds; knows what other runs reached.
Trainer: TypeAlias = Callable[[ExperimentRun, Path, Mapping[ExperimentRun, RunResult]], RunResult]


def plan_experiment(
    networks: Sequence[str],
    recipes: Sequence[str],
    fractions: Sequence[float],
    seeds: Sequence[int],
    *,
    content: Callable[[str, str, float], str],
    settings: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> Experiment:
    """The study of all combinations; `content(network, recipe, fraction)` names what a run is, but for its seed.

    Raises NetlatheError for a level that is given twice or a fraction outside 0..1.
    """
    for what, levels in {"network": networks, "recipe": recipes, "fraction": fractions, "seed": seeds}.items():
        twice = sorted({str(level) for level in levels if list(levels).count(level) > 1})
        if twice:
            raise NetlatheError(f"the {what} {', '.join(twice)} is given twice", code="study.twice")
        if not levels:
            raise NetlatheError(f"a study needs at least one {what}", code="study.empty")
    for fraction in fractions:
        if not 0 < fraction <= 1:
            message = f"{fraction:g} is not a fraction of the training images"
            raise NetlatheError(message, code="study.fraction", hint="above 0 and at most 1: --fractions 0.1,0.3,1")
    keys = {cell: content(*cell) for cell in product(networks, recipes, fractions)}
    runs = [
        ExperimentRun(
            *cell, seed, f"{RUNS}/{folder_name(*cell, seed)}-{content_hash(keys[cell], seed, dict(settings))}"
        )
        for seed in seeds
        for cell in keys
    ]
    return Experiment(tuple(networks), tuple(recipes), tuple(fractions), tuple(seeds), tuple(runs), settings, facts)


def folder_name(network: str, recipe: str, fraction: float, seed: int) -> str:
    """What a person reads in the name of a folder."""
    words = [network, recipe, *([f"{fraction:g}"] if fraction < 1 else []), f"s{seed}"]
    return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", Path(word).name) for word in words)


def save_experiment(experiment: Experiment, out: Place) -> None:
    """Write the plan of an experiment. Raises NetlatheError where the folder holds one with other settings."""
    with open_run(out, EXPERIMENT) as folder:
        folder.begin(experiment.settings)
        folder.stop()
        document = asdict(replace(experiment, runs=())) | {"runs": [run._asdict() for run in experiment.runs]}
        write_text(folder.path / PLAN, json.dumps(document, indent=1) + "\n")


def load_experiment(folder: Path) -> Experiment:
    """The study that a folder holds. Raises NetlatheError where there is none."""
    path = folder / PLAN
    if not path.exists():
        hint = "netlathe experiment --nets a,b --recipes x,y -o this folder starts one"
        raise NetlatheError("this folder holds no study", code="study.none", path=str(folder), hint=hint)
    remedy = "remove it; the command that made the study writes it again, and finished runs are kept"
    document = read_document(path, remedy)
    experiment, faults = check_document(Experiment, document)
    if faults:
        raise faults_error(faults, code="study.plan", path=str(path), hint=remedy)
    folders = [Path(run.folder) for run in experiment.runs]
    if outside := [str(part) for part in folders if part.parts[:1] != (RUNS,) or ".." in part.parts]:
        message = f"a run lies outside of the study: {outside[0]!r}"
        raise NetlatheError(message, code="study.plan", path=str(path), hint=remedy)
    return cast(Experiment, experiment)


def read_results(experiment: Experiment, folder: Path) -> dict[ExperimentRun, RunResult]:
    """What the finished runs reached."""
    return {run: result for run in experiment.runs if (result := read_result(folder / run.folder)) is not None}


def read_result(folder: Path) -> RunResult | None:
    """What the run in a folder reached; None where it has not finished."""
    path = folder / OUTCOME
    if not path.exists():
        return None
    with whole(path, "remove it to do the run again"):
        outcome = read_document(path, "remove it to do the run again")["outcome"]
        result, faults = check_document(RunResult, outcome)
        if faults:
            raise ValueError(str(faults[0]))
        return cast(RunResult, result)


def run_pending(
    experiment: Experiment, out: Place, trainer: Trainer, say: Callable[[str], None]
) -> dict[ExperimentRun, NetlatheError]:
    """Do the runs that have not finished, in order; a run that fails is reported and left for the next time.

    One process at a time works on an experiment. Gives the runs that failed, and why. Raises MissingExtra at once.
    """
    failed: dict[ExperimentRun, NetlatheError] = {}
    with open_run(out, EXPERIMENT) as open_folder:
        save_experiment(experiment, open_folder)
        folder = open_folder.path
        done = read_results(experiment, folder)
        left = [run for run in experiment.runs if run not in done]
        spent: list[float] = []
        for i, run in enumerate(left):
            place = folder / run.folder
            make_folder(place)
            at = f"[{len(experiment.runs) - len(left) + i + 1}/{len(experiment.runs)}] {run}"
            try:
                reached = trainer(run, place, done)
            except MissingExtra:
                raise
            except NetlatheError as error:
                failed[run] = error
                say(f"{at}: failed: {error.message}")
                continue
            document = {"run": run._asdict(), "outcome": reached._asdict()}
            write_text(place / OUTCOME, json.dumps(document, indent=1) + "\n")
            done[run] = reached
            spent.append(reached.seconds)
            ahead = (len(left) - i - 1) * sum(spent) / len(spent)
            scores = {"test": reached.test, "validation": reached.validation}
            words = ", ".join(f"{name} {100 * share:.2f} %" for name, share in scores.items() if share is not None)
            say(f"{at}: {words}, {show_span(reached.seconds)}" + f"; about {show_span(ahead)} left" * bool(ahead))
        if not failed:
            open_folder.finish()
    return failed
