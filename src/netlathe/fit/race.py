"""The race: rungs of short whole trainings, and who goes on.

Selection is on the validation images alone; the test images are looked at once, when the file is verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from netlathe.arch.document import from_json
from netlathe.arch.network import Network
from netlathe.deploy.export import load_trained
from netlathe.fit.clock import Clock
from netlathe.fit.config import FitConfig
from netlathe.fit.rungs import RungEntry, count_survivors, find_ties, rung_seconds
from netlathe.fit.shortlist import FINETUNE, resolve_weights
from netlathe.runfolder.steps import cached_step
from netlathe.train.classification import TrainingResult, train
from netlathe.train.evaluate import Normalisation, correct_images
from netlathe.train.export import read_weights
from netlathe.train.images import Splits
from netlathe.train.job import TrainingProgress
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import load as load_recipe
from netlathe.train.recipefile import set_fields
from netlathe.train.start import StartingWeights, load_starting_weights

LONGEST = 4  # times the recipe's epochs: what a training may become where the time allows it

Say = Callable[[str], None]
Progress = Callable[[str], Callable[[TrainingProgress], None] | None]
Row = Mapping[str, Any]  # of a candidate, as shortlist.py describes it


def safe_name(name: str) -> str:
    """The folder of a candidate's run."""
    return "".join(letter if letter.isalnum() or letter in "-_.=" else "-" for letter in name)


def network_in(row: Row) -> Network:
    """The network of a candidate."""
    return from_json(row["arch"], source=row["name"])


def recipe_for(wish: FitConfig, row: Row) -> Recipe:
    """The recipe at the candidate's resolution; one for fine-tuning where it starts from given weights."""
    px = network_in(row).input[-1]
    recipe = load_recipe(FINETUNE) if row["weights"] and wish.recipe.name == "small" else wish.recipe
    return set_fields(recipe, [f"resolution={px}", f"evaluate.resolution={px}"])


def load_start(row: Row, recipe: Recipe, seed: int) -> StartingWeights:
    """The weights that a candidate starts from; none of its own where it was given none."""
    if not row["weights"]:
        return StartingWeights()
    network, _ = resolve_weights(row["given"])
    return load_starting_weights(row["weights"], network, network_in(row), recipe.regularise.init, seed)


def train_candidate(
    wish: FitConfig,
    splits: Splits,
    row: Row,
    folder: Path,
    *,
    before: Path | None,
    seed: int,
    epochs: float | None,
    seconds: float | None,
    clock: Clock,
    progress: Callable[[TrainingProgress], None] | None,
) -> TrainingResult:
    """A whole schedule for a candidate, from the weights of the rung `before`, or from those that it was given."""
    recipe = recipe_for(wish, row)
    start = load_start(row, recipe, wish.seed)

    def tick(now: TrainingProgress) -> None:
        clock.keep()
        if progress is not None:
            progress(now)

    return train(
        network_in(row),
        replace(splits, test=None),  # looked at once, by the file that is deployed
        recipe,
        folder,
        seed=seed,
        epochs=epochs if seconds is None else LONGEST * recipe.epochs,
        time=seconds,
        weights=read_weights(before) if before else start.tensors,
        normal=start.normal,
        precision=row.get("policy", wish.precision),
        progress=tick,
    )


def run_rungs(
    wish: FitConfig,
    splits: Splits,
    out: Path,
    pool: Mapping[str, Row],
    times: Mapping[str, Any],
    clock: Clock,
    say: Say,
    progress: Progress,
) -> tuple[Row, Path | None, dict[str, Any] | None]:
    """The winner, the folder of its last rung, and how the last rung ended; no rung for a single candidate."""
    names, rung, last = list(pool), 0, None
    while len(names) > 1:
        run = partial(run_rung, wish, splits, out, pool, names, rung, times, clock, say, progress)
        last = cached_step(out, f"rung{rung}", run)
        names, rung = last["kept"], rung + 1
    winner = pool[names[0]]
    return winner, rung_folder(out, rung - 1, winner["name"]) if rung else None, last


def rung_folder(out: Path, rung: int, name: str) -> Path:
    """Where a candidate trains in a rung."""
    return out / "rungs" / str(rung) / safe_name(name)


def run_rung(
    wish: FitConfig,
    splits: Splits,
    out: Path,
    pool: Mapping[str, Row],
    names: Sequence[str],
    rung: int,
    times: Mapping[str, Any],
    clock: Clock,
    say: Say,
    progress: Progress,
) -> dict[str, Any]:
    """Train each network for its share of the rung, and keep the better half, in the end one."""
    entries = []
    for name in names:
        folder = rung_folder(out, rung, name)
        train_candidate(
            wish, splits, pool[name], folder,
            before=rung_folder(out, rung - 1, name) if rung else None,
            seed=wish.seed + rung,
            epochs=times["rung_epochs"],
            seconds=None if times["search_s"] is None else rung_seconds(times["search_s"], len(names)),
            clock=clock,
            progress=progress(f"rung {rung + 1}: {name}"),
        )  # fmt: skip
        steps = load_trained(folder).preprocessing
        right = correct_images(
            folder, splits.validation, recipe_for(wish, pool[name]), Normalisation(steps.mean, steps.std)
        )
        entries.append(RungEntry(name, right, pool[name]["latency_ms"][1]))
        say(f"rung {rung + 1}: {name} {100 * right.mean():.1f} % of {len(right)} validation images")
    found = rank_entries(entries)
    if len(found["kept"]) == 1 and len(found["tied"]) > 1:
        others = ", ".join(name for name in found["tied"] if name not in found["kept"])
        say(f"tied with {others} within one standard error; {found['kept'][0]} is the fastest of them")
    return found


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
