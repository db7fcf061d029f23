"""The training loop, for any task: what it learns from is a pure function of (seed, epoch, step).

So a training that was killed and resumed is the same training, bit for bit. A step: the task's batch of this rank;
forward, loss and backward in pieces; clipped; the optimiser; what the task does afterwards; the average.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netlathe.errors import NetlatheError
from netlathe.train import checkpoint
from netlathe.train.distributed import Ranks
from netlathe.train.ema import WeightAverage
from netlathe.train.evaluate import Normalisation
from netlathe.train.images import ImageSet
from netlathe.train.metrics import Metrics
from netlathe.train.plan import TrainingPlan, affordable_images
from netlathe.train.recipe import Recipe
from netlathe.train.rng import shuffled_order
from netlathe.train.schedule import lr_factor

WARM_STEPS, WARM_SECONDS = 4, 2.0  # before the speed is trusted
REFIT = 0.05  # of the time that is left: how often the plan is fitted to it
SPARE = 0.03  # of the time that is left: kept free
GROWS = 0.01  # of the images that are left: the least by which a plan is made longer again
EVALUATE_AFTER = 8  # training images for each image that is tested, so that evaluation costs about a twentieth


class StopReason(Enum):
    """Why a training stopped."""

    WHOLE = "whole schedule"
    DEADLINE = "out of time"
    STOPPED = "interrupted"


class TrainingTask(NamedTuple):
    """What is learned: supervised classification, or a self-supervised method."""

    batch: Callable[
        [TrainingJob, TrainingPlan, int, int], tuple[Tensor, ...]
    ]  # of an epoch's step; all tensors as long
    loss: Callable[[TrainingJob, TrainingState, tuple[Tensor, ...]], Tensor]  # the mean over a piece of the batch
    score: Callable[[TrainingJob, TrainingState], float | None]  # higher is better; the weights of the best are kept
    after: Callable[[TrainingJob, TrainingState], None] = lambda job, state: None  # each step of the optimiser
    tested: Callable[[TrainingJob], int] = lambda job: len(job.validation)  # images that the score reads


class TrainingProgress(NamedTuple):
    """Where a training stands; rates and times of this process."""

    seen: int
    total: int
    loss: float
    images_per_s: float
    left_s: float
    accuracy: float | None  # of the last evaluation
    best: float | None


@dataclass(frozen=True)
class TrainingJob:
    """What does not change during a training."""

    task: TrainingTask
    recipe: Recipe
    train: ImageSet
    validation: ImageSet
    seed: int
    normal: Normalisation
    ranks: Ranks
    autocast: Callable[[], AbstractContextManager[Any]]
    metrics: Metrics | None  # None on all ranks but the first
    folder: Path
    resolution: int
    accumulate: int = 1
    deadline: float | None = None  # of time.monotonic, for the end of the training itself
    save_s: float = 30.0
    tick: Callable[[TrainingProgress], None] | None = None
    stop: Callable[[], bool] = bool
    keep: Callable[[nn.Module], None] = lambda module: None  # called with the best weights so far

    @cached_property
    def orders(self) -> dict[int, NDArray[np.int64]]:
        """The order of the images of an epoch, once it is known."""
        return {}


@dataclass
class TrainingState:
    """What changes; all of it is in the checkpoint."""

    module: nn.Module  # as lowered: its state dict has the paths of the expression
    run: nn.Module  # the module as it runs: wrapped for several processes, compiled
    optimiser: torch.optim.Optimizer
    average: WeightAverage | None
    plan: TrainingPlan
    seen: int = 0
    best: float | None = None
    evaluated: int = 0
    elapsed: float = 0.0  # seconds of training before this process
    generation: int = 0
    losses: list[float] = field(default_factory=list)  # since the last line of metrics


def step_once(job: TrainingJob, state: TrainingState, batch: tuple[Tensor, ...]) -> float:
    """One step of the optimiser; the mean loss over this rank's images."""
    recipe, total = job.recipe, 0.0
    factor = lr_factor(recipe.schedule, state.plan.progress(state.seen) * recipe.epochs, recipe.epochs)
    for group in state.optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor
    torch.manual_seed(hash((job.seed, state.seen, job.ranks.rank)) & (2**63 - 1))  # dropout and stochastic depth
    state.optimiser.zero_grad(set_to_none=True)
    pieces = list(zip(*(tensor.chunk(job.accumulate) for tensor in batch), strict=True))
    for i, piece in enumerate(pieces):
        with job.ranks.sync(state.run, last=i == len(pieces) - 1):
            loss = job.task.loss(job, state, piece) * (len(piece[0]) / len(batch[0]))
            loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach().item()
    if recipe.optimiser.clip is not None:
        nn.utils.clip_grad_norm_(state.module.parameters(), recipe.optimiser.clip)
    state.optimiser.step()
    job.task.after(job, state)
    return total


def averaged(state: TrainingState) -> nn.Module:
    """The module that is tested and kept: the average where there is one."""
    return state.module if state.average is None else state.average.module


def indices_of(
    job: TrainingJob, plan: TrainingPlan, epoch: int, step: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which images, and which view of each, the global batch of a step holds.

    Repeated views of an image lie apart in the batch, so that neighbours, which may be mixed, are different images.
    """
    if epoch not in job.orders:
        job.orders.clear()
        job.orders[epoch] = shuffled_order(job.seed, epoch, len(job.train))
    repeats = job.recipe.augment.repeats
    unique = math.ceil(plan.batch / repeats)
    chosen = job.orders[epoch][step * unique : (step + 1) * unique]
    return np.tile(chosen, repeats)[: plan.batch], np.repeat(np.arange(repeats), len(chosen))[: plan.batch]


def snapshot(state: TrainingState, elapsed: float, lines: int) -> dict[str, Any]:
    """The state as a dictionary of tensors and plain values."""
    plan = state.plan
    return {
        "module": state.module.state_dict(),
        "average": None if state.average is None else state.average.module.state_dict(),
        "updates": 0 if state.average is None else state.average.updates,
        "optimiser": state.optimiser.state_dict(),
        "plan": (plan.batch, plan.steps, tuple(map(tuple, plan.legs))),
        "seen": state.seen,
        "best": state.best,
        "evaluated": state.evaluated,
        "losses": state.losses,
        "elapsed": elapsed,
        "lines": lines,
    }


def whole(state: TrainingState) -> bool:
    """No weight is infinite or not a number."""
    return all(bool(p.isfinite().all()) for p in state.module.parameters())


def train_on(job: TrainingJob, state: TrainingState, identity: dict[str, Any]) -> StopReason:
    """Train until the plan ends, time is up, or somebody asks to stop; then everything is saved.

    Raises NetlatheError for a loss that is not a number; the checkpoint then is the last good one.
    """
    start = saved = last = fitted = time.monotonic()
    began, accuracy, speed, cost = state.seen, None, 0.0, 0.0

    def save() -> None:
        nonlocal saved
        saved = time.monotonic()
        if job.ranks.first and whole(state):
            state.generation += 1
            lines = job.metrics.lines if job.metrics else 0
            checkpoint.save(
                job.folder, snapshot(state, state.elapsed + saved - start, lines) | identity, state.generation
            )

    state.run.train()
    while state.seen < state.plan.total:
        plan = state.plan
        epoch, step = divmod(state.seen // plan.batch, plan.steps)
        loss = step_once(job, state, job.task.batch(job, plan, epoch, step))
        if not math.isfinite(loss):
            raise not_a_number(job, plan, epoch, step, loss)
        state.seen += plan.batch
        state.losses.append(loss)
        count = state.seen // plan.batch
        if state.average is not None and count % job.recipe.regularise.ema_every == 0:
            state.average.update(state.module)
        now = time.monotonic()
        if state.seen - began == WARM_STEPS * plan.batch:
            last, warm = now, state.seen
        elif state.seen - began > WARM_STEPS * plan.batch:
            speed = (state.seen - warm) / max(now - last, 1e-9)
        ended = state.seen >= plan.total
        late = job.deadline is not None and now >= job.deadline
        stopped = bool(job.stop())
        stopping = job.ranks.any(late or stopped)
        at_end = step == plan.steps - 1
        due = state.seen - state.evaluated >= EVALUATE_AFTER * job.task.tested(job)
        if ended or stopping or (at_end and due):
            accuracy = judged(job, state)
            cost = time.monotonic() - now
            last += cost  # the speed is that of training alone
        if job.deadline is not None and not ended and speed:
            wait = max(WARM_SECONDS, REFIT * (job.deadline - fitted))
            if job.ranks.any(now - fitted > wait):
                fitted = now
                evaluations = max(1, math.ceil(EVALUATE_AFTER * job.task.tested(job) / plan.epoch))  # epochs for one
                refit(job, state, job.deadline, speed, cost / evaluations)
        if job.tick is not None:
            left = (state.plan.total - state.seen) / speed if speed else math.inf
            job.tick(TrainingProgress(state.seen, state.plan.total, loss, speed, left, accuracy, state.best))
        if stopping:
            save()
            return (
                StopReason.WHOLE if ended else StopReason.DEADLINE if not job.ranks.any(stopped) else StopReason.STOPPED
            )
        if ended or now - saved > job.save_s:
            save()
    return StopReason.WHOLE


def judged(job: TrainingJob, state: TrainingState) -> float | None:
    """The score of the weights as they are; they are kept if no earlier ones were better."""
    score = job.task.score(job, state)
    if score is None or state.best is None or score >= state.best:
        state.best = score
        job.keep(averaged(state))
    state.run.train()
    state.evaluated = state.seen
    if job.metrics:
        lr, mean = state.optimiser.param_groups[0]["lr"], sum(state.losses) / len(state.losses)
        epoch = state.seen / state.plan.epoch
        job.metrics.write("evaluation", state.seen, epoch=epoch, loss=mean, accuracy=score, lr=lr)
    state.losses.clear()
    return score


def refit(job: TrainingJob, state: TrainingState, deadline: float, speed: float, evaluation_s: float) -> None:
    """Fit the plan to the time: shorter where it would not end, longer again, up to what was planned, where it can.

    Agreed among the ranks. A plan that can grow by less than a hundredth stays.
    """
    left = (deadline - time.monotonic()) * (1 - SPARE)
    total = min(affordable_images(state.plan, state.seen, left, speed, evaluation_s), state.plan.legs[0].end)
    total = job.ranks.agreed(total)
    if total < state.plan.total or total - state.plan.total > GROWS * (state.plan.total - state.seen):
        state.plan = state.plan.cut(state.seen, total)
        if job.metrics:
            job.metrics.write("plan", state.seen, total=state.plan.total, epochs=state.plan.total / state.plan.epoch)


def not_a_number(job: TrainingJob, plan: TrainingPlan, epoch: int, step: int, loss: float) -> NetlatheError:
    """Where the loss broke, and what can be done."""
    indices, _ = indices_of(job, plan, epoch, step)
    names = [job.train.names[i] for i in indices[:3]]
    return NetlatheError(
        f"the loss is {loss} at step {step + 1} of epoch {epoch + 1} (batch of {', '.join(map(str, names))} ...)",
        code="train.not_a_number",
        path=str(job.folder),
        hint="the last good state is kept there; a lower learning rate (--set optimiser.lr=...), clipping "
        "(--set optimiser.clip=1) or --precision fp32 usually helps",
    )
