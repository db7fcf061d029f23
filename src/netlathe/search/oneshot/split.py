"""The training images in two halves: one trains the weights, the other judges architectures.

Every order and every augmentation is a pure function of (seed, epoch, image), as in `train.rng`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netlathe.errors import NetlatheError
from netlathe.train.augment.pipeline import augment_images, erase, normalise
from netlathe.train.evaluate import Normalisation, make_preprocessor, measure_normalisation
from netlathe.train.images import ImageSet
from netlathe.train.recipe import Recipe
from netlathe.train.rng import CounterRNG, shuffled_order

Half = Literal["train", "valid"]
SPLIT, SOME = -1, -2  # the "epochs" whose orders split the images, and pick some of them


@dataclass(frozen=True)
class DataSplit:
    """`images` are the training images alone: those for validation and test never enter a search."""

    images: ImageSet
    recipe: Recipe  # its augmentation and resolution
    seed: int
    batch: int

    def __post_init__(self) -> None:
        if len(self.images) < 2 * self.batch:
            raise NetlatheError(
                f"{len(self.images)} training images are two halves of {len(self.images) // 2}, less than a batch "
                f"of {self.batch}",
                code="search.images",
                hint="give more images, or a smaller --batch",
            )

    @cached_property
    def rows(self) -> dict[Half, NDArray[np.int64]]:
        """The images of each half."""
        mixed, middle = shuffled_order(self.seed, SPLIT, len(self.images)), len(self.images) // 2
        return {"train": mixed[:middle], "valid": mixed[middle:]}

    @property
    def steps(self) -> int:
        """Whole batches of an epoch of the training half."""
        return len(self.rows["train"]) // self.batch

    @cached_property
    def normal(self) -> Normalisation:
        """Mean and standard deviation of the images."""
        return measure_normalisation(self.images)

    @cached_property
    def orders(self) -> dict[Half, tuple[int, NDArray[np.int64]]]:
        """The order of the epoch that each half is in, once it is known."""
        return {}

    def batch_of(self, half: Half, step: int) -> tuple[Tensor, Tensor]:
        """The augmented images (batch, C, r, r) and labels (batch,) of a step, counted over all epochs."""
        rows = self.rows[half]
        epoch, place = divmod(step, len(rows) // self.batch)
        key = 2 * epoch + (half == "valid")
        if self.orders.get(half, (-1,))[0] != key:
            self.orders[half] = key, rows[shuffled_order(self.seed, key, len(rows))]
        chosen = self.orders[half][1][place * self.batch : (place + 1) * self.batch]
        rng = CounterRNG(self.seed, key, chosen)
        pixels = torch.from_numpy(np.array(self.images.pixels[chosen]))
        x = augment_images(pixels, self.recipe.augment, self.recipe.resolution, rng)
        x = erase(normalise(x, self.normal.mean, self.normal.std), self.recipe.augment, rng)
        return x, torch.from_numpy(self.images.labels[chosen])

    def test_batches(self, half: Half, count: int | None = None, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images as a test sees them, by batches: `count` of a half (all), from `start` on, always the same ones."""
        rows = self.rows[half][start : None if count is None else start + count]
        prepare = make_preprocessor(self.recipe, self.normal, self.recipe.resolution)
        for i in range(math.ceil(len(rows) / self.batch)):
            chosen = rows[i * self.batch : (i + 1) * self.batch]
            if len(chosen) > 1 or i == 0:  # batch norm needs two
                yield (
                    prepare(torch.from_numpy(np.array(self.images.pixels[chosen]))),
                    torch.from_numpy(self.images.labels[chosen]),
                )


def take_subset(images: ImageSet, count: int) -> ImageSet:
    """So many of the images, always the same ones, from anywhere in the set."""
    if count >= len(images):
        return images
    rows = np.sort(shuffled_order(0, SOME, len(images))[:count])
    return replace(
        images,
        pixels=images.pixels[rows],
        labels=images.labels[rows],
        names=tuple(images.names[i] for i in rows),
        key=f"{images.key}, {count} of them",
    )
