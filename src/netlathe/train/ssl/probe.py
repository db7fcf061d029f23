"""The linear probe that judges an encoder: it sees features alone and cannot touch the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra
from netlathe.lower.weights import Array
from netlathe.train.transfer.probe import LinearProbe, blank_probe, minimise

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "train") from error

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4)
HELD_OUT = 5  # every fifth image chooses the penalty


def judge_probe(features: Array, labels: NDArray[np.int64], classes: int) -> LinearProbe:
    """The probe of features (N, d) with the penalty that is best on held-out rows, fitted to all rows."""
    blank = blank_probe(features, classes, PENALTIES[0])
    rows, y = blank.standardise(features), torch.from_numpy(labels)
    held = torch.arange(len(y)) % HELD_OUT == HELD_OUT - 1
    chosen = PENALTIES[0]
    if held.any():
        weight, best = blank.weight, -1.0
        for penalty in PENALTIES:
            weight = minimise(rows[~held], y[~held], weight, penalty)
            right = ((rows[held] @ weight).argmax(1) == y[held]).float().mean().item()
            if right > best:
                chosen, best = penalty, right
    return blank._replace(weight=minimise(rows, y, blank.weight, chosen), penalty=chosen)
