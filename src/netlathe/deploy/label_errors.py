"""Labels that are likely wrong, by confident learning: Northcutt, Jiang, Chuang 2021, https://arxiv.org/abs/1911.00068.

A class's threshold is the mean probability that its own images get for it. An image is likely of another class where a
probability reaches that class's threshold and its own label is not the most probable of those that do (section 3.1).
The probabilities have to be of images that the network had not learned from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class LabelError(NamedTuple):
    """An image, the class that it is likely of, and by how much that is more probable than its label."""

    row: int
    suggested: int
    margin: float


def find_label_errors(shares: Floats, labels: Integers) -> list[LabelError]:
    """Images whose label is likely wrong, the most certain first, by probabilities (N, classes) and labels (N,).

    Ranked by the normalised margin (section 3.2), the probability of the label minus the largest other one.
    """
    count = np.bincount(labels, minlength=shares.shape[1])
    own = np.bincount(labels, shares[np.arange(len(labels)), labels], minlength=shares.shape[1])
    thresholds = np.where(count > 0, own / np.maximum(count, 1), np.inf)
    confident = shares >= thresholds
    best = np.where(confident, shares, -1.0).argmax(1)
    rows = np.flatnonzero(confident.any(1) & (best != labels) & (shares.argmax(1) != labels))
    errors = [LabelError(int(i), int(best[i]), float(shares[i, best[i]] - shares[i, labels[i]])) for i in rows]
    return sorted(errors, key=lambda error: (-error.margin, error.row))
