"""Classes of unequal size: how often their images are drawn, and what an error on them weighs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netlathe.train.rng import shuffled_order

Integers = NDArray[np.int64]
SALT = 0x2545F491  # keeps the order of the epoch apart from that within the classes
BETA = 0.999  # of the effective number of images


def class_shares(labels: Integers, classes: int, sampling: float) -> NDArray[np.float64]:
    """The share of each class in an epoch, proportional to its images to the power 1 - sampling.

    1 draws all classes alike, 0.5 by the square root (Mahajan et al. 2018, https://arxiv.org/abs/1805.00932, section
    2.2; both compared by Kang et al. 2019, https://arxiv.org/abs/1910.09217, section 3).
    """
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    wanted = np.where(counts > 0, np.maximum(counts, 1) ** (1 - sampling), 0.0)
    shares: NDArray[np.float64] = wanted / wanted.sum()
    return shares


def balanced_order(seed: int, epoch: int, labels: Integers, classes: int, sampling: float) -> tuple[Integers, Integers]:
    """The images of an epoch of len(labels) draws, and how often each was drawn before in it.

    Of a class that is drawn more often than it has images, all are drawn before one is drawn again; of others, each
    epoch draws other ones. The numbers of draws are those of `class_shares`, rounded.
    """
    order = shuffled_order(seed, epoch, len(labels))
    ends = np.round(np.cumsum(class_shares(labels, classes, sampling)) * len(labels)).astype(np.int64)
    draws, again = [], []
    for label, count in enumerate(np.diff(ends, prepend=0).tolist()):
        members = order[labels[order] == label]
        if len(members) and count:
            draws.append(np.resize(members, count))
            again.append(np.arange(count) // len(members))
    mixed = shuffled_order(seed ^ SALT, epoch, len(labels))
    return np.concatenate(draws)[mixed], np.concatenate(again)[mixed]


def class_weights(labels: Integers, classes: int, rule: str) -> NDArray[np.float32] | None:
    """What an image of each class weighs in the loss (classes,), on average over the images 1; None for "none".

    inverse: one over the images of the class. effective: (1 - b) / (1 - b^n) with b = 0.999 for n images (Cui et al.
    2019, https://arxiv.org/abs/1901.05555, equation 5), which no longer falls where a class has thousands.
    """
    if rule == "none":
        return None
    counts = np.bincount(labels, minlength=classes)
    whole = np.maximum(counts, 1)
    weights = 1.0 / whole if rule == "inverse" else (1 - BETA) / (1 - BETA**whole)
    return np.asarray(weights * len(labels) / (weights * counts).sum(), np.float32)
