"""fit(): find what fits the budget, train it, deploy, verify. Each step resumes.

The folder holds run.toml and recipe.toml (what was asked for), steps/ (a file a step), features/, probed/ and unfrozen/
of a transfer or rungs/ and final/ of networks from scratch, and what is deployed: model.onnx, the file of another form
where that is better, package.json, card.json, card.html.
"""

from __future__ import annotations

import time as clock_
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from netlathe.choose.budget import Budget, within_device
from netlathe.deploy.check import CheckReport
from netlathe.deploy.model_card import TrainingRecord
from netlathe.deploy.package import Package, load_package
from netlathe.deploy.precision import PrecisionChoice
from netlathe.fit.clock import Clock
from netlathe.fit.config import FitConfig, command_line
from netlathe.fit.deliver import Evidence, describe_choice, export_float, select_variant, verify
from netlathe.fit.folder import FIT, fit_identity
from netlathe.fit.pretrained import pretrained_candidates
from netlathe.fit.probing import Prober
from netlathe.fit.race import CandidateTrainer, Progress, Say, TrainedCandidate, load_start, recipe_for
from netlathe.fit.scratch import train_from_scratch
from netlathe.fit.teacher import teach
from netlathe.fit.transfer import transfer
from netlathe.runfolder.folder import Place, RunFolder, open_run
from netlathe.runfolder.steps import StepResult, cached_step
from netlathe.target.target import Forecast, Target
from netlathe.train.images import Splits
from netlathe.train.precision import find_policy
from netlathe.train.recipefile import resolve

VERIFYING_S = 20.0  # of the reserve, for the last measurement, the test images and the card
UNHURRIED_S = 300.0  # for trying forms, where there is no wall
INT8_SHARE, INT8_MORE = 0.27, 20_000  # an int8 file in shares of the float file, and bytes


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
    clock = Clock(out, clock_.monotonic() if started is None else started)
    trainer = CandidateTrainer(
        splits=splits, recipe=recipe, seed=seed, precision=config.precision, clock=clock, progress=progress
    )
    trained = train_best(config, splits, targets, out, trainer, say)
    winner = trained.row

    def deploy() -> StepResult:
        start = load_start(winner, recipe, seed)
        package = export_float(trained, start, splits, targets[0], out, config.budget, say)
        left = UNHURRIED_S if seconds is None else seconds - clock.spent() - clock.slowdown * VERIFYING_S
        chosen, tried = select_variant(
            package, splits, targets[0], form=config.form, runtimes=config.runtimes, seed=seed, seconds=left, say=say
        )
        return {"deployed": [chosen.runtime, chosen.precision, chosen.model], "tried": tried}

    variants = cached_step(out, "form", deploy)["tried"]
    package = load_package(out)
    figures = {**describe_choice(trained), **trained.figures}
    training = TrainingRecord(resolve(recipe_for(recipe, winner)), trained.seeds, figures)
    forecast = Forecast(**winner["forecast"]) if winner["forecast"] else None
    evidence = Evidence(splits.report, variants, command_line(config), config.images, trained.folder, trained.notes)
    return package, verify(package, targets[0], config.data, forecast, training, evidence)


def train_best(
    config: FitConfig, splits: Splits, targets: Sequence[Target], out: Path, trainer: CandidateTrainer, say: Say
) -> TrainedCandidate:
    """The best network that was trained within the time: from pretrained weights where any keep the budget."""
    limits = float_limits(config.limits, targets[0], config.form)
    if config.starts_pretrained:
        pretrained = cached_step(out, "pretrained", lambda: pretrained_candidates(config, splits, targets, limits, say))
        prober = Prober(
            splits=splits, recipe=config.recipe, seed=config.seed, precision=config.precision, out=out,
            clock=trainer.clock, say=say,
        )  # fmt: skip
        if pool := {row["name"]: row for row in pretrained["candidates"]}:
            say(f"pretrained networks that keep the budget: {', '.join(pool)}")
            return transfer(trainer, prober, pool, config.seconds, config.epochs, say)
        note = explain_scratch(pretrained["considered"])
        say(note)
        trainer = replace(trainer, soft=teach(prober, pretrained["teachers"], config.seconds, say))
        return train_from_scratch(config, splits, targets, limits, out, trainer, say)._replace(notes=(note,))
    return train_from_scratch(config, splits, targets, limits, out, trainer, say)


def explain_scratch(considered: int) -> str:
    """Why a fit starts from random weights, what that costs and what would help."""
    if considered:
        return (
            f"none of {considered} pretrained networks keeps the budget: training starts from random weights, which on "
            "a few thousand images costs much accuracy; a wider budget, or weights of a smaller network, would help"
        )
    return (
        "no pretrained weights are here: training starts from random weights, which on few images costs much "
        "accuracy (on photographs of trash 7 to 9 points after 20 minutes); --yes downloads some that keep the budget, "
        "--weights-dir FOLDER takes those of a folder"
    )


def float_limits(limits: Budget, target: Target, form: PrecisionChoice) -> Budget:
    """The limits that were asked for and those of the device, as a float file has to keep them."""
    limits = within_device(limits, target)
    if form == "int8" and limits.size is not None and target.only_precision is None:
        return replace(limits, size=max(1, int((limits.size - INT8_MORE) / INT8_SHARE)))
    return limits
