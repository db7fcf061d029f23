"""The batch of a step: two augmentations of every image, and nothing about what is on it."""

from __future__ import annotations

import torch
from torch import Tensor

from netlathe.train.augment.pipeline import augment_images, erase, normalise
from netlathe.train.loop import TrainingJob, indices_of
from netlathe.train.plan import TrainingPlan
from netlathe.train.rng import CounterRNG


def two_views(job: TrainingJob, plan: TrainingPlan, epoch: int, step: int) -> tuple[Tensor, Tensor]:
    """This rank's images of a step twice, (n, C, r, r) each, with the random numbers of views 0 and 1."""
    indices = indices_of(job, plan, epoch, step)[0][job.ranks.slice(plan.batch)]
    pixels = torch.from_numpy(job.train.pixels[indices]).to(job.ranks.device, non_blocking=True)

    def view(number: int) -> Tensor:
        draws = CounterRNG(job.seed, epoch, indices, number)
        x = normalise(
            augment_images(pixels, job.recipe.augment, job.resolution, draws), job.normal.mean, job.normal.std
        )
        return erase(x, job.recipe.augment, draws)

    return view(0), view(1)
