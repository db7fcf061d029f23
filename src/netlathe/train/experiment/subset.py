"""A part of the training images: by class, nested in larger parts, the same for every network and recipe of a seed.

The draw of the images is one more thing that chance decides, so each seed draws its own part, and the intervals over
seeds cover that too. Validation and test stay whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from netlathe.train.images.sets import ImageSet, Splits
from netlathe.train.rng import shuffled_order

SALT = 0x5BD1E995  # keeps this order apart from the data orders of the same seed


def take_fraction(splits: Splits, fraction: float, seed: int) -> Splits:
    """The same splits with a fraction of the training images; everything for 1."""
    if fraction == 1:
        return splits
    kept = choose_rows(splits.train.labels, fraction, seed)
    return replace(splits, train=select_rows(splits.train, kept))


def choose_rows(labels: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.int64]:
    """Places of ceil(fraction x its images) of every class, ascending; those of a smaller fraction are among them."""
    shuffled = shuffled_order(seed ^ SALT, 0, len(labels))
    kept = []
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        kept.append(members[: ceil(fraction * len(members) - 1e-9)])
    return np.sort(np.concatenate(kept))


def select_rows(images: ImageSet, kept: NDArray[np.int64]) -> ImageSet:
    """The images at some places, copied to memory, with a key of their own."""
    key = hashlib.sha256(images.key.encode() + kept.tobytes()).hexdigest()[: len(images.key)]
    names = tuple(images.names[i] for i in kept.tolist())
    return replace(images, pixels=images.pixels[kept], labels=images.labels[kept], names=names, key=key)
