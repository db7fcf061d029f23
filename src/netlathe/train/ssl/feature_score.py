"""What features are worth: nearest neighbours and a linear probe on labelled images that pretraining did not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netlathe.lower.weights import Array
from netlathe.stats.intervals import wilson_interval
from netlathe.train.distributed import Ranks, sum_over_ranks
from netlathe.train.evaluate import Preprocessor, compute_outputs
from netlathe.train.images import ImageSet
from netlathe.train.ssl.knn import knn
from netlathe.train.ssl.probe import judge_probe

BANK = 10_000  # training images whose labels the judges know


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureScore:
    """Shares of `images` that nearest neighbours and a linear probe get right, with their 95 % intervals by Wilson."""

    images: int
    knn: float
    knn_interval: tuple[float, float]
    probe: float
    probe_interval: tuple[float, float]


def select_bank(train: ImageSet) -> ImageSet:
    """The images whose labels are known to the judges: the first BANK, in the order of their contents' hashes."""
    if len(train) <= BANK:
        return train
    some = slice(0, BANK)
    return replace(train, pixels=train.pixels[some], labels=train.labels[some], names=train.names[some])


def compute_features(run: Callable[[Tensor], Tensor], images: ImageSet, prepare: Preprocessor, here: Ranks) -> Array:
    """Features (N, d) of a set; every rank does its part and gets the whole."""
    rows = here.slice(len(images))
    mine = compute_outputs(run, images, prepare, device=here.device, rows=rows)
    if here.world == 1:
        return mine
    shared = torch.zeros(len(images), mine.shape[1], dtype=torch.float64)
    shared[rows] = torch.from_numpy(mine).double()
    features: Array = sum_over_ranks(shared).float().numpy()
    return features


def score_features(
    bank: Array, labels: NDArray[np.int64], classes: int, tests: Mapping[str, tuple[Array, NDArray[np.int64]]]
) -> dict[str, FeatureScore]:
    """Both judges on features and labels of each test set, knowing a bank of features (M, d) and labels (M,)."""
    probe = judge_probe(bank, labels, classes)
    scores = {}
    for name, (features, truth) in tests.items():
        near = int((knn(bank, labels, features, classes) == truth).sum())
        linear = int((probe.logits(features).argmax(1) == truth).sum())
        count = len(truth)
        scores[name] = FeatureScore(
            images=count,
            knn=near / count,
            knn_interval=wilson_interval(near, count),
            probe=linear / count,
            probe_interval=wilson_interval(linear, count),
        )
    return scores


def judge_encoder(
    module: nn.Module,
    train: ImageSet,
    tests: Mapping[str, ImageSet | None],
    prepare: Preprocessor,
    here: Ranks,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> dict[str, FeatureScore]:
    """Both judges on an encoder, by name of the test set; it runs in evaluation mode and is left as it was.

    Empty sets are left out. All ranks call this, and share the images.
    """
    training = module.training
    module.eval()

    def run(x: Tensor) -> Tensor:
        with context():
            y: Tensor = module(x)
        return y

    bank = select_bank(train)
    bank_features = compute_features(run, bank, prepare, here)
    test_features = {
        name: (compute_features(run, images, prepare, here), images.labels) for name, images in tests.items() if images
    }
    module.train(training)
    return score_features(bank_features, bank.labels, len(train.classes), test_features)


def read_scores(document: Mapping[str, Mapping[str, Any]]) -> dict[str, FeatureScore]:
    """Scores by name of the test set, from JSON."""

    def read(fields: Mapping[str, Any]) -> FeatureScore:
        plain: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in fields.items()}
        return FeatureScore(**plain)

    return {name: read(fields) for name, fields in document.items()}


def format_scores(scores: Mapping[str, FeatureScore]) -> str:
    """validation: kNN 41.2 %, linear probe 55.0 %; test: ..."""
    return "; ".join(
        f"{name}: kNN {100 * score.knn:.1f} %, linear probe {100 * score.probe:.1f} %" for name, score in scores.items()
    )
