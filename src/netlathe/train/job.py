"""A training as the loop sees it: a task, which says what is learned, and a job, which does not change.

A new task is one file that implements `TrainingTask`: classification.py and ssl/pretraining.py are two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netlathe.arch.trainable import Trainable
from netlathe.lower.weights import Array
from netlathe.runfolder.folder import RunKind
from netlathe.train.augment.pipeline import augment_images, erase, normalise
from netlathe.train.balance import balanced_order, class_weights
from netlathe.train.distributed import Ranks
from netlathe.train.evaluate import Normalisation, Preprocessor, make_preprocessor
from netlathe.train.images import Splits
from netlathe.train.metrics import Metrics
from netlathe.train.plan import TrainingPlan
from netlathe.train.precision import autocast
from netlathe.train.recipe import Recipe
from netlathe.train.rng import CounterRNG, shuffled_order
from netlathe.train.state import TrainingState

Result_co = TypeVar("Result_co", covariant=True)


class TrainingTask(Protocol[Result_co]):
    """What is learned, what is kept of it, and what it was worth. `Result_co` is a dataclass of JSON values."""

    @property
    def kind(self) -> RunKind:
        """What the folder of such a training holds."""

    @property
    def schema(self) -> str:
        """The name of the format of result.json."""

    @property
    def views(self) -> int:
        """How many times an image of a batch goes through the network."""

    def identity(self) -> dict[str, Any]:
        """What makes the training another one, beside network, images, recipe, seed and length: plain values."""

    def build(self, job: TrainingJob, plan: TrainingPlan) -> nn.Module:
        """The module that is trained, before its first step."""

    def kept(self, module: nn.Module) -> nn.Module:
        """The part of a module whose weights are kept; its precision is the one that is measured."""

    def prepare(self, job: TrainingJob, plan: TrainingPlan, *, fresh: bool) -> None:
        """What is done before the first step of this process; `fresh` if the training has no checkpoint yet."""

    def finish_seconds(self, job: TrainingJob, state: TrainingState) -> float:
        """Seconds to keep for what follows the last step; asked where there is a wall for the time."""

    def batch(self, job: TrainingJob, plan: TrainingPlan, epoch: int, step: int) -> tuple[Tensor, ...]:
        """What this rank learns from in a step: tensors of equal length, a pure function of the arguments."""

    def loss(self, job: TrainingJob, state: TrainingState, piece: tuple[Tensor, ...]) -> Tensor:
        """The mean loss over a piece of a batch: a scalar."""

    def after_step(self, state: TrainingState) -> None:
        """What follows each step of the optimiser."""

    def score(self, job: TrainingJob, state: TrainingState) -> float | None:
        """How good the averaged weights are, higher is better; the best are kept. None where nothing can tell."""

    def scored_images(self, job: TrainingJob) -> int:
        """How many images a score reads."""

    def finish(
        self, job: TrainingJob, state: TrainingState, stopped: bool, facts: Callable[[], dict[str, Any]]
    ) -> Result_co | None:
        """Write the files that the task leaves; the result on rank 0 at least, None for a training that was stopped.

        `facts` gives the fields that the results of all tasks have; its seconds are those until it is called.
        """

    def read_result(self, fields: dict[str, Any]) -> Result_co:
        """The result in a result.json."""


class TrainingProgress(NamedTuple):
    """Where a training stands; rates and times of this process."""

    seen: int
    total: int
    loss: float
    images_per_s: float
    left_s: float
    accuracy: float | None  # of the last evaluation
    best: float | None


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What does not change during a training."""

    task: TrainingTask[Any]
    network: Trainable  # for the classes and channels of the images, at the training resolution
    splits: Splits
    recipe: Recipe
    seed: int
    normal: Normalisation
    ranks: Ranks
    folder: Path
    weights: Mapping[str, Array] | None = None  # that the training starts from; None: the recipe's initialisation
    precision: str = "fp32"  # the name of a policy
    metrics: Metrics | None = None  # None on all ranks but the first
    accumulate: int = 1

    @property
    def tested(self) -> Trainable:
        """The network at the test resolution."""
        return self.network.at(self.recipe.evaluate.resolution)

    @cached_property
    def preprocessor(self) -> Preprocessor:
        """How images are prepared for a test."""
        return make_preprocessor(self.recipe, self.normal)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        return autocast(self.precision, str(self.ranks.device))

    @cached_property
    def orders(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The images of an epoch in their order, and how often each was drawn before, once they are known."""
        return {}

    @cached_property
    def class_weights(self) -> Tensor | None:
        """What an image of each class weighs in the loss."""
        images = self.splits.train
        weights = class_weights(images.labels, len(images.classes), self.recipe.balance.weights)
        return None if weights is None else torch.from_numpy(weights).to(self.ranks.device)

    def draw_epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The images of an epoch, as the recipe balances their classes."""
        images, sampling = self.splits.train, self.recipe.balance.sampling
        if not sampling:
            return shuffled_order(self.seed, epoch, len(images)), np.zeros(len(images), np.int64)
        return balanced_order(self.seed, epoch, images.labels, len(images.classes), sampling)

    def indices(self, plan: TrainingPlan, epoch: int, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which images, and which view of each, the global batch of a step holds.

        Repeated views of an image lie apart in the batch, so that neighbours, which may be mixed, are different images.
        """
        if epoch not in self.orders:
            self.orders.clear()
            self.orders[epoch] = self.draw_epoch(epoch)
        repeats = self.recipe.augment.repeats
        unique = math.ceil(plan.batch / repeats)
        chosen, again = (column[step * unique : (step + 1) * unique] for column in self.orders[epoch])
        views = np.repeat(np.arange(repeats), len(chosen)) + np.tile(again * repeats, repeats)
        return np.tile(chosen, repeats)[: plan.batch], views[: plan.batch]

    def pixels(self, indices: NDArray[np.int64]) -> Tensor:
        """Training images on the device of this rank: (n, H, W, C) uint8."""
        return torch.from_numpy(self.splits.train.pixels[indices]).to(self.ranks.device, non_blocking=True)

    def augmented(self, pixels: Tensor, rng: CounterRNG) -> Tensor:
        """Pixels as the recipe augments them, with the numbers of `rng`: (n, C, r, r) float32, normalised."""
        x = augment_images(pixels, self.recipe.augment, self.recipe.resolution, rng)
        return erase(normalise(x, self.normal.mean, self.normal.std), self.recipe.augment, rng)
