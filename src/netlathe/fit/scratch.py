"""From scratch: networks of the zoo that keep the budget race with random weights, and the winner trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netlathe.arch.document import from_json
from netlathe.choose.budget import Budget
from netlathe.fit.clock import divide_time, final_seconds
from netlathe.fit.config import FINEST, FitConfig
from netlathe.fit.pace import measure_pace, select_affordable
from netlathe.fit.race import CandidateTrainer, Row, Say, TrainedCandidate, run_rungs
from netlathe.fit.shortlist import shortlist
from netlathe.fit.space_search import search_space
from netlathe.runfolder.steps import StepResult, cached_step
from netlathe.target.target import Target
from netlathe.train.images import Splits

FINAL = "final"
FINAL_SEED = 1000  # of the last training, counted from the seed of the fit


def train_from_scratch(
    config: FitConfig,
    splits: Splits,
    targets: Sequence[Target],
    limits: Budget,
    out: Path,
    trainer: CandidateTrainer,
    say: Say,
) -> TrainedCandidate:
    """The winner of the race, trained for the time that is left. Raises Infeasible where nothing keeps the limits."""
    recipe, seconds, seed, clock = config.recipe, config.seconds, config.seed, trainer.clock

    def search() -> StepResult:
        assert config.search is not None
        return search_space(
            config.search, config.data, recipe, targets[0], out, say,
            device=config.device, budget=config.budget, seconds=seconds, seed=seed, threads=config.threads,
        )  # fmt: skip

    def find_candidates() -> StepResult:
        return shortlist(
            splits,
            targets,
            limits,
            say,
            seconds=seconds,
            epochs=config.epochs,
            weights=() if config.starts_pretrained else config.weights,
            first=first,
            source=config.source,
            finest=config.resolution or FINEST,
        )

    arch = cached_step(out, "searched", search)["arch"] if config.search is not None else None
    first = [from_json(arch, source=str(config.search))] if arch else []
    candidates = cached_step(out, "candidates", find_candidates)["candidates"]
    pool: dict[str, Row] = {row["name"]: row for row in candidates}
    say(f"{len(pool)} candidates that keep the budget: {', '.join(pool)}")
    pace: dict[str, Any] = {}
    if seconds is not None and len(pool) > 1:
        pace = cached_step(out, "pace", lambda: measure_pace(pool, recipe, config.precision, seconds))
    times = cached_step(out, "times", lambda: divide_time(seconds, config.epochs, clock.spent()))
    if pace:
        pool = select_racers(out, pool, pace, times["search_s"], len(splits.train), say)
    winner, before, last = run_rungs(trainer, out, pool, times, say)
    left = cached_step(out, "left", lambda: {"seconds": final_seconds(seconds, clock.spent(), clock.slowdown)})[
        "seconds"
    ]

    def train_finalist() -> StepResult:
        say(f"training {winner['name']}" + (f" for {left:.0f} s" if left else ""))
        title = f"final: {winner['name']}"
        result = trainer.train(
            winner, out / FINAL, title, seed=FINAL_SEED, before=before, epochs=config.epochs, seconds=left
        )
        return asdict(result)

    figures = cached_step(out, "final", train_finalist)
    seeds = (seed, seed + 1, seed + FINAL_SEED)
    return TrainedCandidate(winner, out / FINAL, figures, seeds, len(candidates), last)


def select_racers(
    out: Path, pool: Mapping[str, Row], pace: Mapping[str, Any], search_s: float, images: int, say: Say
) -> dict[str, Row]:
    """The candidates that train fast enough, with the policies and the speeds that were measured."""
    asked = [name for name, row in pool.items() if row["weights"]]
    step = cached_step(out, "racing", lambda: {"names": select_affordable(pace, search_s, images, asked)})
    names = step["names"]
    if slow := ", ".join(name for name in pool if name not in names):
        say(f"left out, for they train too slowly for this time: {slow}")
    return {name: {**pool[name], **pace[name]} for name in names}
