"""fit(): inspect the images, find what fits the budget, train with elimination, deploy, verify. Each step resumes.

The folder holds run.toml and recipe.toml (what was asked for), steps/ (a file a step), rungs/ and final/ (training
runs), and what is deployed: model.onnx, the file of another form where that is better, package.json, card.json,
card.html.
"""

from __future__ import annotations

import time as clock_
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from netlathe.arch.document import from_json
from netlathe.choose.budget import Budget, within_device
from netlathe.deploy.check import CheckReport
from netlathe.deploy.model_card import TrainingRecord
from netlathe.deploy.package import Package, load_package
from netlathe.deploy.precision import PrecisionChoice
from netlathe.errors import NetlatheError
from netlathe.fit.clock import Clock
from netlathe.fit.config import FitConfig, command_line
from netlathe.fit.deliver import Evidence, describe_choice, export_float, select_variant, verify
from netlathe.fit.folder import FIT, fit_identity
from netlathe.fit.pace import measure_pace, select_affordable
from netlathe.fit.race import CandidateTrainer, Progress, Row, Say, load_start, recipe_for, run_rungs
from netlathe.fit.rungs import RACE_SHARE
from netlathe.fit.shortlist import shortlist
from netlathe.fit.space_search import search_space
from netlathe.runfolder.folder import Place, RunFolder, open_run
from netlathe.runfolder.steps import StepResult, cached_step
from netlathe.target.target import Forecast, Target
from netlathe.train.images import Splits
from netlathe.train.precision import find_policy
from netlathe.train.recipefile import resolve

RESERVE_S, RESERVE = 60.0, 0.03  # for deploying and verifying: seconds (a quarter where that is less), and a share
VERIFYING_S = 20.0  # of them for the last measurement, the test images and the card
UNHURRIED_S = 300.0  # for trying forms, where there is no wall
INT8_SHARE, INT8_MORE = 0.27, 20_000  # an int8 file in shares of the float file, and bytes
FINAL_SEED = 1000  # of the last training, counted from the seed of the fit


def fit(
    config: FitConfig,
    splits: Splits,
    targets: Sequence[Target],
    out: Place,
    *,
    started: float | None = None,
    say: Say = lambda line: None,
    progress: Progress = lambda title: None,
) -> tuple[Package, CheckReport]:
    """A trained network in a verified file that keeps the budget; the same call on the folder goes on where it stopped.

    `started` (of time.monotonic) is when the wall for the time began. Raises Infeasible, before any training, where no
    network keeps the budget; and NetlatheError for a folder of another fit and whatever training and deploying raise.
    On a device that is not this machine nothing is timed.
    """
    if config.precision != "auto":
        find_policy(config.precision)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with open_run(out, FIT) as run_folder:
        return fit_in(run_folder, config, splits, targets, started, say, progress)


def fit_in(
    run_folder: RunFolder,
    config: FitConfig,
    splits: Splits,
    targets: Sequence[Target],
    started: float | None,
    say: Say,
    progress: Progress,
) -> tuple[Package, CheckReport]:
    """The same in a folder that is open."""
    run_folder.begin(fit_identity(config, splits))
    out = run_folder.path
    config.write(out)
    recipe, seconds, seed = config.recipe, config.seconds, config.seed
    limits = float_limits(config.limits, targets[0], config.form)
    clock = Clock(out, clock_.monotonic() if started is None else started)
    trainer = CandidateTrainer(
        splits=splits, recipe=recipe, seed=seed, precision=config.precision, clock=clock, progress=progress
    )

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
            weights=config.weights,
            first=first,
            source=config.source,
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
    left = cached_step(out, "left", lambda: {"seconds": final_seconds(seconds, clock.spent())})["seconds"]

    def train_finalist() -> StepResult:
        say(f"training {winner['name']}" + (f" for {left:.0f} s" if left else ""))
        title = f"final: {winner['name']}"
        result = trainer.train(
            winner, out / "final", title, seed=FINAL_SEED, before=before, epochs=config.epochs, seconds=left
        )
        return asdict(result)

    def deploy() -> StepResult:
        start = load_start(winner, recipe, seed)
        package = export_float(winner, start, splits, targets[0], out, config.budget, say)
        left = UNHURRIED_S if seconds is None else seconds - clock.spent() - VERIFYING_S
        chosen, tried = select_variant(
            package, splits, targets[0], form=config.form, runtimes=config.runtimes, seed=seed, seconds=left, say=say
        )
        return {"deployed": [chosen.runtime, chosen.precision, chosen.model], "tried": tried}

    final = cached_step(out, "final", train_finalist)
    variants = cached_step(out, "form", deploy)["tried"]
    package = load_package(out)
    figures = {**describe_choice(len(candidates), last), **final}
    training = TrainingRecord(resolve(recipe_for(recipe, winner)), (seed, seed + 1, seed + FINAL_SEED), figures)
    forecast = Forecast(**winner["forecast"]) if winner["forecast"] else None
    evidence = Evidence(splits.report, variants, command_line(config))
    return package, verify(package, targets[0], config.data, forecast, training, evidence)


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


def float_limits(limits: Budget, target: Target, form: PrecisionChoice) -> Budget:
    """The limits that were asked for and those of the device, as a float file has to keep them."""
    limits = within_device(limits, target)
    if form == "int8" and limits.size is not None and target.only_precision is None:
        return replace(limits, size=max(1, int((limits.size - INT8_MORE) / INT8_SHARE)))
    return limits


def divide_time(seconds: float | None, epochs: float | None, spent: float) -> dict[str, Any]:
    """How the time is shared: seconds of the search, or epochs of each training in a rung."""
    if seconds is None:
        assert epochs is not None
        return {"search_s": None, "rung_epochs": max(1.0, epochs / 5)}
    reserved = reserved_seconds(seconds)
    left = seconds - spent - reserved
    if left < 10:
        raise NetlatheError(
            f"{seconds:.0f} s are too little: {spent:.0f} s went before training, deploying needs {reserved:.0f} s",
            code="fit.time",
            hint=f"give at least --time {spent + reserved + 60:.0f}s, and another folder with -o",
        )
    return {"search_s": RACE_SHARE * left, "rung_epochs": None}


def final_seconds(seconds: float | None, spent: float) -> float | None:
    """Seconds of the last training: all that is left; None where epochs are counted."""
    return None if seconds is None else max(10.0, seconds - spent - reserved_seconds(seconds))


def reserved_seconds(seconds: float) -> float:
    """Seconds kept for what comes after training."""
    return min(RESERVE_S, seconds / 4) + RESERVE * seconds
