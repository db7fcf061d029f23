"""The race: rungs of short whole trainings, and who goes on.

Selection is on the validation images alone; the test images are looked at once, when the file is verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from netlathe.arch.trainable import Trainable
from netlathe.deploy.export import load_trained
from netlathe.fit.chance import refuse_chance
from netlathe.fit.clock import Clock
from netlathe.fit.config import USUAL_RECIPE
from netlathe.fit.rungs import RungEntry, count_survivors, find_ties, rung_seconds
from netlathe.fit.shortlist import FINETUNE, resolve_weights
from netlathe.load import from_document
from netlathe.lower.weights import Array
from netlathe.runfolder.steps import cached_step
from netlathe.train.classification import TrainingResult, train
from netlathe.train.evaluate import CorrectMask, Normalisation, compute_outputs, make_preprocessor, open_model
from netlathe.train.export import read_weights
from netlathe.train.images import Splits
from netlathe.train.job import TrainingProgress
from netlathe.train.recipe import Balance, Recipe
from netlathe.train.recipefile import load as load_recipe
from netlathe.train.recipefile import recipe_key, set_fields
from netlathe.train.start import StartingWeights, load_starting_weights

HELPS = ("a longer --time", "pretrained weights (--weights, --weights-dir)", "more images of each class")
LONGEST_SCHEDULE = 4  # times the recipe's epochs: what a training may become where the time allows it

Say = Callable[[str], None]
Progress = Callable[[str], Callable[[TrainingProgress], None] | None]
Row = Mapping[str, Any]  # of a candidate, as shortlist.py describes it


def safe_name(name: str) -> str:
    """The folder of a candidate's run."""
    return "".join(letter if letter.isalnum() or letter in "-_.=" else "-" for letter in name)


def network_in(row: Row) -> Trainable:
    """The network of a candidate."""
    return from_document(row["arch"], source=row["name"])


def recipe_for(recipe: Recipe, row: Row) -> Recipe:
    """The recipe at the candidate's resolution; one for fine-tuning where it starts from given weights.

    What is done about classes of unequal size belongs to the images, so it stays.
    """
    px = network_in(row).input[-1]
    if row["weights"] and recipe_key(replace(recipe, balance=Balance())) == recipe_key(load_recipe(USUAL_RECIPE)):
        recipe = replace(load_recipe(FINETUNE), balance=recipe.balance)
    shape = ["evaluate.shape=stretch"] if row.get("stretch") else []
    return set_fields(recipe, [f"resolution={px}", f"evaluate.resolution={px}", *shape])


def load_start(row: Row, recipe: Recipe, seed: int) -> StartingWeights:
    """The weights that a candidate starts from; none of its own where it was given none."""
    if not row["weights"]:
        return StartingWeights()
    network, _ = resolve_weights(row["given"])
    init = recipe_for(recipe, row).regularise.init
    return load_starting_weights(row["weights"], network, network_in(row), init, seed)


class TrainedCandidate(NamedTuple):
    """What a fit deploys: a candidate, the folder of its training, the figures and seeds of that, and how it was picked
    (`last`, as `rank_entries` says it) among so many."""

    row: Row
    folder: Path
    figures: Mapping[str, Any]
    seeds: tuple[int, ...]
    considered: int
    last: Mapping[str, Any] | None
    notes: tuple[str, ...] = ()  # what a reader of the card should know of how it was trained


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateTrainer:
    """Trains candidates on the same images, each by its recipe, and keeps the clock of the fit."""

    splits: Splits
    recipe: Recipe
    seed: int
    precision: str  # of a candidate whose policy was not measured
    clock: Clock
    progress: Progress
    soft: Array | None = None  # targets of the training images, from a teacher

    def train(
        self,
        row: Row,
        folder: Path,
        title: str,
        *,
        seed: int,
        before: Path | None,
        epochs: float | None,
        seconds: float | None,
        fields: Sequence[str] = (),
    ) -> TrainingResult:
        """A whole schedule, from the weights of the training `before`, or from those that the candidate was given.

        `seed` is counted from that of the fit; `fields` of the recipe are set as on the command line.
        """
        start = load_start(row, self.recipe, self.seed)
        recipe = set_fields(recipe_for(self.recipe, row), fields) if fields else recipe_for(self.recipe, row)
        report = self.progress(title)

        def tick(now: TrainingProgress) -> None:
            self.clock.keep()
            if report is not None:
                report(now)

        return train(
            network_in(row),
            replace(self.splits, test=None),  # looked at once, by the file that is deployed
            recipe,
            folder,
            seed=self.seed + seed,
            epochs=epochs if seconds is None else LONGEST_SCHEDULE * recipe.epochs,
            time=seconds,
            weights=read_weights(before) if before else start.tensors,
            normal=start.normal,
            precision=row.get("policy", self.precision),
            progress=tick,
            soft=self.soft,
        )

    def outputs(self, row: Row, folder: Path) -> Array:
        """What the network that was trained in a folder says of the validation images: (N, classes)."""
        steps, recipe = load_trained(folder).preprocessing, recipe_for(self.recipe, row)
        prepare = make_preprocessor(recipe, Normalisation(steps.mean, steps.std))
        return compute_outputs(open_model(folder), self.splits.validation, prepare)

    def correct(self, row: Row, folder: Path) -> CorrectMask:
        """Which of them it gets right."""
        right: CorrectMask = self.outputs(row, folder).argmax(1) == self.splits.validation.labels
        return right


def run_rungs(
    trainer: CandidateTrainer, out: Path, pool: Mapping[str, Row], times: Mapping[str, Any], say: Say
) -> tuple[Row, Path | None, dict[str, Any] | None]:
    """The winner, the folder of its last rung, and how the last rung ended; no rung for a single candidate."""
    names, rung, last = list(pool), 0, None
    while len(names) > 1:
        last = cached_step(out, f"rung{rung}", partial(run_rung, trainer, out, pool, names, rung, times, say))
        names, rung = last["kept"], rung + 1
    winner = pool[names[0]]
    return winner, rung_folder(out, rung - 1, winner["name"]) if rung else None, last


def rung_folder(out: Path, rung: int, name: str) -> Path:
    """Where a candidate trains in a rung."""
    return out / "rungs" / str(rung) / safe_name(name)


def run_rung(
    trainer: CandidateTrainer,
    out: Path,
    pool: Mapping[str, Row],
    names: Sequence[str],
    rung: int,
    times: Mapping[str, Any],
    say: Say,
) -> dict[str, Any]:
    """Train each network for its share of the rung, and keep the better half, in the end one."""
    entries = []
    for name in names:
        folder = rung_folder(out, rung, name)
        trainer.train(
            pool[name],
            folder,
            f"rung {rung + 1}: {name}",
            seed=rung,
            before=rung_folder(out, rung - 1, name) if rung else None,
            epochs=times["rung_epochs"],
            seconds=None if times["search_s"] is None else rung_seconds(times["search_s"], len(names)),
        )
        correct = trainer.correct(pool[name], folder)
        entries.append(RungEntry(name, correct, pool[name]["latency_ms"][1]))
        say(f"rung {rung + 1}: {name} {100 * correct.mean():.1f} % of {len(correct)} validation images")
    ranking = rank_entries(entries)
    best = max(entries, key=lambda entry: entry.right.mean())
    images = trainer.splits.validation
    refuse_chance(best.name, int(best.right.sum()), images.labels, images.classes, HELPS)
    kept, others = ranking["kept"], [name for name in ranking["tied"] if name not in ranking["kept"]]
    if len(kept) == 1 and len(ranking["tied"]) > 1:
        say(f"tied with {', '.join(others)} within one standard error; {kept[0]} is the fastest of them")
    return ranking


def rank_entries(entries: list[RungEntry]) -> dict[str, Any]:
    """Scores, and who goes on: the better half; of three or fewer, the fastest of those that are tied with the best."""
    ranked = sorted(entries, key=lambda entry: -entry.right.mean())
    ties = find_ties(entries)
    kept = [ties[0]] if len(entries) <= 3 else ranked[: count_survivors(len(entries))]
    return {
        "validation": {entry.name: float(entry.right.mean()) for entry in ranked},
        "images": len(entries[0].right),
        "tied": [entry.name for entry in ties],
        "kept": [entry.name for entry in kept],
    }
