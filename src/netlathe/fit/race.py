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
from netlathe.fit.rungs import Entry, rung_seconds, survivors, tied
from netlathe.fit.shortlist import FINETUNE, network_of
from netlathe.fit.wish import Wish
from netlathe.runfolder.steps import cached_step
from netlathe.train.evaluate import Normal, right_of
from netlathe.train.export import read_weights
from netlathe.train.images import Splits
from netlathe.train.loop import Tick
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import load as load_recipe
from netlathe.train.recipefile import set_fields
from netlathe.train.run import Result, train
from netlathe.train.start import Start, started_from

LONGEST = 4  # times the recipe's epochs: what a training may become where the time allows it

Say = Callable[[str], None]
Progress = Callable[[str], Callable[[Tick], None] | None]
Row = Mapping[str, Any]  # of a candidate, as shortlist.py describes it


def place_of(name: str) -> str:
    """The folder of a candidate's run."""
    return "".join(letter if letter.isalnum() or letter in "-_.=" else "-" for letter in name)


def network_in(row: Row) -> Network:
    """The network of a candidate."""
    return from_json(row["arch"], source=row["name"])


def recipe_for(wish: Wish, row: Row) -> Recipe:
    """The recipe at the candidate's resolution; one for fine-tuning where it starts from given weights."""
    px = network_in(row).input[-1]
    recipe = load_recipe(FINETUNE) if row["weights"] and wish.recipe.name == "small" else wish.recipe
    return set_fields(recipe, [f"resolution={px}", f"evaluate.resolution={px}"])


def start_of(row: Row, recipe: Recipe, seed: int) -> Start:
    """The weights that a candidate starts from; none of its own where it was given none."""
    if not row["weights"]:
        return Start()
    network, _ = network_of(row["given"])
    return started_from(row["weights"], network, network_in(row), recipe.regularise.init, seed)


def trained_further(
    wish: Wish,
    splits: Splits,
    row: Row,
    folder: Path,
    *,
    before: Path | None,
    seed: int,
    epochs: float | None,
    seconds: float | None,
    clock: Clock,
    progress: Callable[[Tick], None] | None,
) -> Result:
    """A whole schedule for a candidate, from the weights of the rung `before`, or from those that it was given."""
    recipe = recipe_for(wish, row)
    start = start_of(row, recipe, wish.seed)

    def tick(now: Tick) -> None:
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


def raced(
    wish: Wish,
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
    return winner, folder_of(out, rung - 1, winner["name"]) if rung else None, last


def folder_of(out: Path, rung: int, name: str) -> Path:
    """Where a candidate trains in a rung."""
    return out / "rungs" / str(rung) / place_of(name)


def run_rung(
    wish: Wish,
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
        folder = folder_of(out, rung, name)
        trained_further(
            wish, splits, pool[name], folder,
            before=folder_of(out, rung - 1, name) if rung else None,
            seed=wish.seed + rung,
            epochs=times["rung_epochs"],
            seconds=None if times["search_s"] is None else rung_seconds(times["search_s"], len(names)),
            clock=clock,
            progress=progress(f"rung {rung + 1}: {name}"),
        )  # fmt: skip
        steps = load_trained(folder).preprocessing
        right = right_of(folder, splits.validation, recipe_for(wish, pool[name]), Normal(steps.mean, steps.std))
        entries.append(Entry(name, right, pool[name]["latency_ms"][1]))
        say(f"rung {rung + 1}: {name} {100 * right.mean():.1f} % of {len(right)} validation images")
    found = judged(entries)
    if len(found["kept"]) == 1 and len(found["tied"]) > 1:
        others = ", ".join(name for name in found["tied"] if name not in found["kept"])
        say(f"tied with {others} within one standard error; {found['kept'][0]} is the fastest of them")
    return found


def judged(entries: list[Entry]) -> dict[str, Any]:
    """Scores, and who goes on: the better half; of three or fewer, the fastest of those that are tied with the best."""
    ranked = sorted(entries, key=lambda entry: -entry.right.mean())
    ties = tied(entries)
    kept = [ties[0]] if len(entries) <= 3 else ranked[: survivors(len(entries))]
    return {
        "validation": {entry.name: float(entry.right.mean()) for entry in ranked},
        "images": len(entries[0].right),
        "tied": [entry.name for entry in ties],
        "kept": [entry.name for entry in kept],
    }
