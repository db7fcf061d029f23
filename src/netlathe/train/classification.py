"""The task of classification: augmented images, mixed in pairs, against soft targets; an ONNX file is left.

The folder of a run holds model.onnx beside the files of every training; its weights are the best on the validation
images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from netlathe.arch.trainable import Trainable
from netlathe.cost.count import count
from netlathe.lower.weights import Array
from netlathe.runfolder.folder import Place
from netlathe.train.augment.mix import mix_images
from netlathe.train.distributed import sum_over_ranks
from netlathe.train.evaluate import Normalisation, compute_outputs, count_correct, forward_seconds, open_model
from netlathe.train.export import export
from netlathe.train.folder import TRAINING, weights_content
from netlathe.train.images import ImageSet, Splits
from netlathe.train.job import TrainingJob, TrainingProgress
from netlathe.train.loss import classification_loss
from netlathe.train.plan import TrainingPlan
from netlathe.train.recipe import Recipe
from netlathe.train.rng import CounterRNG
from netlathe.train.run import RunOptions, run
from netlathe.train.state import TrainingState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What a training reached. Accuracies are shares of the images; those of the weights that were kept."""

    network: str
    network_key: str
    recipe: str
    recipe_key: str
    seed: int
    classes: int
    params: int
    macs: int  # of one image at the test resolution
    validation: float | None
    validation_images: int
    test: float | None
    test_images: int
    epochs: float
    images: int  # seen in training
    macs_seen: int  # forward passes of training alone
    seconds: float
    images_per_s: float
    precision: str
    threads: int
    ended: str
    torch: str
    machine: str
    folder: str


def train(
    network: Trainable,
    splits: Splits,
    recipe: Recipe,
    out: Place,
    *,
    seed: int = 0,
    epochs: float | None = None,
    time: float | None = None,
    started: float | None = None,
    weights: Mapping[str, Array] | None = None,
    origin: Mapping[str, str] | None = None,
    normal: Normalisation | None = None,
    precision: str = "auto",
    threads: int | None = None,
    accumulate: int = 1,
    tensorboard: bool = False,
    save_s: float = 30.0,
    progress: Callable[[TrainingProgress], None] | None = None,
    soft: Array | None = None,
) -> TrainingResult:
    """Train a network to classify the images of `splits`, as `run` does, which see for the arguments and the errors.

    `soft` (N, classes) are targets of the training images in place of their labels, such as a teacher gives.
    """
    options = RunOptions(
        seed=seed, epochs=epochs, time=time, started=started, weights=weights, origin=origin, normal=normal,
        precision=precision, threads=threads, accumulate=accumulate, tensorboard=tensorboard, save_s=save_s,
        progress=progress,
    )  # fmt: skip
    return run(Classification(soft), network, splits, recipe, out, options)


class Classification:
    """Images and their classes; the score is the accuracy on the validation images."""

    kind = TRAINING
    schema = "netlathe.run/1"
    views = 1

    def __init__(self, soft: Array | None = None) -> None:
        self.soft = soft

    def identity(self) -> dict[str, Any]:
        """The soft targets, where there are any."""
        return (
            {} if self.soft is None else {"targets": weights_content({"targets": self.soft}) | {"name": "soft targets"}}
        )

    def build(self, job: TrainingJob, plan: TrainingPlan) -> nn.Module:
        """The network, with the dropout and the stochastic depth of the recipe."""
        rules = job.recipe.regularise
        module: nn.Module = job.network.module(
            job.weights,
            init=None if job.weights is not None else rules.init,
            seed=job.seed,
            drop_rate=rules.dropout,
            drop_path=rules.drop_path,
            ramp=rules.ramp,
        )
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = rules.norm_momentum
        return module

    def kept(self, module: nn.Module) -> nn.Module:
        """All of it."""
        return module

    def prepare(self, job: TrainingJob, plan: TrainingPlan, *, fresh: bool) -> None:
        """Nothing."""

    def finish_seconds(self, job: TrainingJob, state: TrainingState) -> float:
        """For the last evaluation and the files: two, and the images at the speed of a forward pass."""
        images = len(job.splits.validation) + (len(job.splits.test) if job.splits.test else 0)
        return 2.0 + images * forward_seconds(state.module, job.tested.input)

    def batch(self, job: TrainingJob, plan: TrainingPlan, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """This rank's images (n, C, r, r) and targets (n, classes) of a step."""
        indices, views = job.indices(plan, epoch, step)
        here = job.ranks.slice(plan.batch)
        indices, views = indices[here], views[here]
        rng = CounterRNG(job.seed, epoch, indices, views)
        train = job.splits.train
        if self.soft is None:
            targets = nn.functional.one_hot(torch.from_numpy(train.labels[indices]), len(train.classes)).float()
        else:
            targets = torch.from_numpy(self.soft[indices])
        targets = targets.to(job.ranks.device)
        return mix_images(job.augmented(job.pixels(indices), rng), targets, job.recipe.mix, rng)

    def loss(self, job: TrainingJob, state: TrainingState, piece: tuple[Tensor, ...]) -> Tensor:
        """The recipe's loss of images and soft targets; computed in float32."""
        images, targets = piece
        with job.autocast():
            y = state.run(images)
        return classification_loss(y.float(), targets, job.recipe.regularise, job.class_weights)

    def after_step(self, state: TrainingState) -> None:
        """Nothing."""

    def score(self, job: TrainingJob, state: TrainingState) -> float | None:
        """Share of the validation images that are right, over all ranks; None without images."""
        images = job.splits.validation
        if not len(images):
            return None
        module = state.averaged
        was = module.training
        module.eval()
        rows = job.ranks.slice(len(images))

        def forward(x: Tensor) -> Tensor:
            with job.autocast():
                y: Tensor = module(x)
            return y

        logits = compute_outputs(forward, images, job.preprocessor, device=job.ranks.device, rows=rows)
        module.train(was)
        right = sum_over_ranks(torch.tensor(count_correct(logits, images.labels[rows]), dtype=torch.float64))
        return float(right) / len(images)

    def scored_images(self, job: TrainingJob) -> int:
        """The validation images."""
        return len(job.splits.validation)

    def finish(
        self, job: TrainingJob, state: TrainingState, stopped: bool, facts: Callable[[], dict[str, Any]]
    ) -> TrainingResult | None:
        """Export the kept weights; the accuracies of the exported file in ONNX Runtime and float32."""
        if not job.ranks.first:
            return None
        splits, network = job.splits, job.tested
        export(job.folder, network, job.normal, job.recipe, splits.train.classes, job.seed)
        if stopped:
            return None
        shared = facts()
        model = open_model(job.folder, threads=torch.get_num_threads())

        def accuracy(images: ImageSet | None) -> float | None:
            if images is None or not len(images):
                return None
            return count_correct(compute_outputs(model, images, job.preprocessor), images.labels) / len(images)

        cost = count(network.graph())
        return TrainingResult(
            recipe=job.recipe.name,
            classes=len(splits.train.classes),
            params=int(cost.params),
            macs=int(cost.macs),
            validation=accuracy(splits.validation),
            validation_images=len(splits.validation),
            test=accuracy(splits.test),
            test_images=len(splits.test) if splits.test else 0,
            macs_seen=state.seen * int(count(job.network.graph()).macs),
            **shared,
        )

    def read_result(self, fields: dict[str, Any]) -> TrainingResult:
        """The fields as they are."""
        return TrainingResult(**fields)
