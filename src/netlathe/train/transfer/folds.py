"""Folds of a cross-validation: every class is spread over all of them, and what belongs together stays together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOLDS = 5


def stratified_folds(labels: NDArray[np.int64], groups: NDArray[np.int64], folds: int = FOLDS) -> NDArray[np.int64]:
    """The fold (0..folds-1) of each image (N,): images of a `groups` number (N,) share one, of each class as even.

    Groups, the largest first, go where the class has the fewest images; ties go to the fold with the fewest of all.
    Depends on labels and groups alone.
    """
    _, group = np.unique(groups, return_inverse=True)
    _, label = np.unique(labels, return_inverse=True)
    count = np.zeros((group.max(initial=-1) + 1, label.max(initial=-1) + 1), np.int64)
    np.add.at(count, (group, label), 1)
    held = np.zeros((folds, count.shape[1]), np.int64)
    fold_of = np.zeros(len(count), np.int64)
    order = np.lexsort((count.argmax(1), -count.sum(1)))  # large groups first, then class by class
    for number in order:
        mine = count[number]
        present = mine > 0
        least = np.lexsort((held.sum(1), (held[:, present] * mine[present]).sum(1)))[0]
        held[least] += mine
        fold_of[number] = least
    return fold_of[group]


def same_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A number for each image (N, H, W, C), the same for images of equal pixels: the least grouping of a set."""
    from hashlib import blake2b

    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(blake2b(x.tobytes(), digest_size=16).digest(), len(seen)) for x in pixels])
