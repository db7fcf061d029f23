"""The training loop, for any task: what it learns from is a pure function of (seed, epoch, step).

So a training that was killed and resumed is the same training, bit for bit. A step: the task's batch of this rank;
forward, loss and backward in pieces; clipped; the optimiser; what the task does afterwards; the average.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from netlathe.errors import NetlatheError
from netlathe.train import checkpoint
from netlathe.train.export import write_weights
from netlathe.train.job import TrainingJob, TrainingProgress
from netlathe.train.pacing import Pacing, StopReason, has_ended
from netlathe.train.schedule import lr_factor
from netlathe.train.state import TrainingState, snapshot
from netlathe.train.unfreeze import freeze_layers


def train_on(
    job: TrainingJob,
    state: TrainingState,
    pacing: Pacing,
    identity: dict[str, Any],
    report: Callable[[TrainingProgress], None] | None = None,
) -> StopReason:
    """Train until the plan ends, time is up, or somebody asks to stop; then everything is saved.

    Checkpoints hold `identity` beside the state. Raises NetlatheError for a loss that is not a number; the checkpoint
    then is the last good one.
    """
    score = None
    state.run.train()
    while state.seen < state.plan.total:
        loss = advance(job, state)
        pacing.end_step(state)
        if pacing.evaluation_due(state):
            score = evaluate(job, state)
            pacing.end_evaluation()
        if (plan := pacing.refit(state)) is not None:
            state.plan = plan
            if job.metrics:
                job.metrics.write("plan", state.seen, total=plan.total, epochs=plan.total / plan.epoch)
        if report is not None:
            left = pacing.left_s(state)
            report(TrainingProgress(state.seen, state.plan.total, loss, pacing.speed, left, score, state.best))
        if pacing.save_due(state):
            save(job, state, pacing.begin_save(), identity)
        if pacing.stopping:
            if pacing.asked and state.best is None and not has_ended(state):
                evaluate(job, state)  # there are no weights to keep yet; the checkpoint does not know of these
            return pacing.reason(state)
    return StopReason.WHOLE


def advance(job: TrainingJob, state: TrainingState) -> float:
    """Learn from the next batch; the mean loss over this rank's images. Raises NetlatheError where it is no number."""
    plan = state.plan
    epoch, step = divmod(state.seen // plan.batch, plan.steps)
    loss = step_once(job, state, job.task.batch(job, plan, epoch, step))
    if not math.isfinite(loss):
        raise not_a_number_error(job, state, epoch, step, loss)
    state.seen += plan.batch
    state.losses.append(loss)
    if state.average is not None and (state.seen // plan.batch) % job.recipe.regularise.ema_every == 0:
        state.average.update(state.module)
    return loss


def step_once(job: TrainingJob, state: TrainingState, batch: tuple[Tensor, ...]) -> float:
    """One step of the optimiser; the mean loss over this rank's images."""
    recipe, total = job.recipe, 0.0
    factor = lr_factor(recipe.schedule, state.plan.progress(state.seen) * recipe.epochs, recipe.epochs)
    for group in state.optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor
    freeze_layers(state.module, recipe, state.plan.progress(state.seen))
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
    job.task.after_step(state)
    return total


def evaluate(job: TrainingJob, state: TrainingState) -> float | None:
    """The score of the weights as they are; they are kept if no earlier ones were better."""
    score = job.task.score(job, state)
    if score is None or state.best is None or score >= state.best:
        state.best = score
        if job.ranks.first:
            write_weights(job.folder, job.task.kept(state.averaged))
    state.run.train()
    state.evaluated = state.seen
    if job.metrics:
        lr, mean = state.optimiser.param_groups[0]["lr"], sum(state.losses) / len(state.losses)
        epoch = state.seen / state.plan.epoch
        job.metrics.write("evaluation", state.seen, epoch=epoch, loss=mean, accuracy=score, lr=lr)
    state.losses.clear()
    return score


def save(job: TrainingJob, state: TrainingState, elapsed: float, identity: dict[str, Any]) -> None:
    """A checkpoint, unless the weights are broken."""
    if job.ranks.first and state.is_finite():
        state.generation += 1
        lines = job.metrics.lines if job.metrics else 0
        checkpoint.save(job.folder, snapshot(state, elapsed, lines) | identity, state.generation)


def not_a_number_error(job: TrainingJob, state: TrainingState, epoch: int, step: int, loss: float) -> NetlatheError:
    """Where the loss broke, and what can be done."""
    indices, _ = job.indices(state.plan, epoch, step)
    names = [job.splits.train.names[i] for i in indices[:3]]
    return NetlatheError(
        f"the loss is {loss} at step {step + 1} of epoch {epoch + 1} (batch of {', '.join(map(str, names))} ...)",
        code="train.not_a_number",
        path=str(job.folder),
        hint="the last good state is kept there; a lower learning rate (--set optimiser.lr=...), clipping "
        "(--set optimiser.clip=1) or --precision fp32 usually helps",
    )
