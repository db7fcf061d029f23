"""The task of classification: augmented images of this rank, mixed in pairs, against the targets of the recipe."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from netlathe.train.augment.mix import mixed
from netlathe.train.augment.pipeline import augmented, erased, normalised
from netlathe.train.distributed import summed
from netlathe.train.draws import Draws
from netlathe.train.evaluate import hits, outputs, ready
from netlathe.train.loop import Job, State, Task, averaged, indices_of
from netlathe.train.loss import loss_of
from netlathe.train.plan import Plan


def batch_of(job: Job, plan: Plan, epoch: int, step: int) -> tuple[Tensor, Tensor]:
    """This rank's images (n, C, r, r) and targets (n, classes) of a step."""
    indices, views = indices_of(job, plan, epoch, step)
    here = job.ranks.slice(plan.batch)
    indices, views = indices[here], views[here]
    draws = Draws(job.seed, epoch, indices, views)
    pixels = torch.from_numpy(job.train.pixels[indices]).to(job.ranks.device, non_blocking=True)
    labels = torch.from_numpy(job.train.labels[indices]).to(job.ranks.device)
    x = normalised(augmented(pixels, job.recipe.augment, job.resolution, draws), job.normal.mean, job.normal.std)
    x = erased(x, job.recipe.augment, draws)
    targets = nn.functional.one_hot(labels, len(job.train.classes)).float()
    return mixed(x, targets, job.recipe.mix, draws)


def loss(job: Job, state: State, piece: tuple[Tensor, ...]) -> Tensor:
    """The recipe's loss of images and soft targets; computed in float32."""
    images, targets = piece
    with job.autocast():
        y = state.run(images)
    return loss_of(y.float(), targets, job.recipe.regularise)


def accuracy(job: Job, state: State) -> float | None:
    """Share of the validation images that are right, over all ranks; None without images."""
    if not len(job.validation):
        return None
    module = averaged(state)
    was = module.training
    module.eval()
    rows = job.ranks.slice(len(job.validation))

    def run(x: Tensor) -> Tensor:
        with job.autocast():
            y: Tensor = module(x)
        return y

    logits = outputs(run, job.validation, ready(job.recipe, job.normal), device=job.ranks.device, rows=rows)
    module.train(was)
    right = summed(torch.tensor(hits(logits, job.validation.labels[rows]), dtype=torch.float64))
    return float(right) / len(job.validation)


CLASSIFY = Task(batch_of, loss, accuracy)
