"""Outputs of a network over a set of images, and what they say: accuracy, confusion."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netlathe.stats.quantiles import quantile
from netlathe.train.augment.pipeline import normalise, prepare_images
from netlathe.train.folder import MODEL
from netlathe.train.images import ImageSet
from netlathe.train.recipe import Recipe

CorrectMask = NDArray[np.bool_]
BATCH = 128
TIMED_IMAGES, PASSES, TIMED_S = 16, 5, 0.5  # of the time of a forward pass


class Normalisation(NamedTuple):
    """Mean and standard deviation by channel, of pixels from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def measure_normalisation(images: ImageSet, sample: int = 4096) -> Normalisation:
    """Those of the first `sample` images. A channel that never varies gets a standard deviation of 1."""
    pixels = np.asarray(images.pixels[:sample], np.float32).reshape(-1, images.pixels.shape[-1]) / 255
    mean, std = pixels.mean(0, dtype=np.float64), pixels.std(0, dtype=np.float64)
    return Normalisation(tuple(map(float, mean)), tuple(float(s) if s > 1e-6 else 1.0 for s in std))


Preprocessor = Callable[[Tensor], Tensor]  # uint8 (N, H, W, C) -> float32 (N, C, r, r)


def make_preprocessor(recipe: Recipe, normal: Normalisation, resolution: int | None = None) -> Preprocessor:
    """How the recipe prepares images for a test, at its test resolution or another."""

    def prepare(pixels: Tensor) -> Tensor:
        x = prepare_images(pixels, recipe.evaluate, resolution or recipe.evaluate.resolution)
        return normalise(x, normal.mean, normal.std)

    return prepare


@torch.no_grad()
def compute_outputs(
    run: Callable[[Tensor], Tensor],
    images: ImageSet,
    prepare: Preprocessor,
    *,
    device: str | torch.device = "cpu",
    rows: slice = slice(None),
) -> NDArray[np.float32]:
    """What `run` gives for the images of `rows`, batch by batch: (N, classes)."""
    pixels = images.pixels[rows]
    batches = []
    for start in range(0, len(pixels), BATCH):
        x = prepare(torch.from_numpy(np.array(pixels[start : start + BATCH])).to(device))
        batches.append(run(x).float().cpu().numpy())
    return np.concatenate(batches) if batches else np.zeros((0, len(images.classes)), np.float32)


def count_correct(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> int:
    """How many images have their largest output at their label."""
    return int((logits.argmax(1) == labels).sum())


def confusion(logits: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts by (true class, predicted class)."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, logits.argmax(1)), 1)
    return table


def measure_accuracy(
    module: nn.Module, images: ImageSet, prepare: Preprocessor, *, device: str | torch.device = "cpu"
) -> float:
    """Share of the images that the module in evaluation mode gets right."""
    return count_correct(compute_outputs(module.eval(), images, prepare, device=device), images.labels) / max(
        1, len(images.labels)
    )


@torch.no_grad()
def forward_seconds(module: nn.Module, shape: Sequence[int]) -> float:
    """Seconds that an image of that shape takes through a module on the CPU, where files are evaluated.

    The first pass makes kernels and is not counted. Of up to `PASSES` more, within `TIMED_S` or just beyond, one of the
    fast ones counts: what a busy moment adds is not worth keeping time for.
    """
    copy, x = deepcopy(module).to("cpu").eval(), torch.zeros((TIMED_IMAGES, *shape))
    copy(x)
    times: list[float] = []
    while len(times) < PASSES and sum(times) < TIMED_S:
        start = time.monotonic()
        copy(x)
        times.append(time.monotonic() - start)
    return quantile(times, 0.25) / len(x)


def open_model(folder: Path, *, threads: int | None = None) -> Callable[[Tensor], Tensor]:
    """The exported file of a run in ONNX Runtime: prepared images (n, C, r, r) -> (n, classes)."""
    options = ort.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    session = ort.InferenceSession(folder / MODEL, options, providers=["CPUExecutionProvider"])
    [x] = session.get_inputs()
    return lambda images: torch.from_numpy(session.run(None, {x.name: images.contiguous().numpy()})[0])


def correct_images(folder: Path, images: ImageSet, recipe: Recipe, normal: Normalisation) -> CorrectMask:
    """Which images the exported file of a run gets right."""
    logits = compute_outputs(open_model(folder), images, make_preprocessor(recipe, normal))
    correct: CorrectMask = logits.argmax(1) == images.labels
    return correct
