"""The task of classification: augmented images of this rank, mixed in pairs, against the targets of the recipe."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from netlathe.train.augment.mix import mix_images
from netlathe.train.augment.pipeline import augment_images, erase, normalise
from netlathe.train.distributed import sum_over_ranks
from netlathe.train.evaluate import compute_outputs, count_correct, make_preprocessor
from netlathe.train.loop import TrainingJob, TrainingState, TrainingTask, averaged, indices_of
from netlathe.train.loss import classification_loss
from netlathe.train.plan import TrainingPlan
from netlathe.train.rng import CounterRNG


def batch_of(job: TrainingJob, plan: TrainingPlan, epoch: int, step: int) -> tuple[Tensor, Tensor]:
    """This rank's images (n, C, r, r) and targets (n, classes) of a step."""
    indices, views = indices_of(job, plan, epoch, step)
    here = job.ranks.slice(plan.batch)
    indices, views = indices[here], views[here]
    draws = CounterRNG(job.seed, epoch, indices, views)
    pixels = torch.from_numpy(job.train.pixels[indices]).to(job.ranks.device, non_blocking=True)
    labels = torch.from_numpy(job.train.labels[indices]).to(job.ranks.device)
    x = normalise(augment_images(pixels, job.recipe.augment, job.resolution, draws), job.normal.mean, job.normal.std)
    x = erase(x, job.recipe.augment, draws)
    targets = nn.functional.one_hot(labels, len(job.train.classes)).float()
    return mix_images(x, targets, job.recipe.mix, draws)


def loss(job: TrainingJob, state: TrainingState, piece: tuple[Tensor, ...]) -> Tensor:
    """The recipe's loss of images and soft targets; computed in float32."""
    images, targets = piece
    with job.autocast():
        y = state.run(images)
    return classification_loss(y.float(), targets, job.recipe.regularise)


def accuracy(job: TrainingJob, state: TrainingState) -> float | None:
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

    logits = compute_outputs(
        run, job.validation, make_preprocessor(job.recipe, job.normal), device=job.ranks.device, rows=rows
    )
    module.train(was)
    right = sum_over_ranks(torch.tensor(count_correct(logits, job.validation.labels[rows]), dtype=torch.float64))
    return float(right) / len(job.validation)


CLASSIFY = TrainingTask(batch_of, loss, accuracy)
