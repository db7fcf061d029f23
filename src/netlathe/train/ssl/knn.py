"""What nearest neighbours say of an image: the cheapest test of features, without anything to train."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra
from netlathe.lower.weights import Array

try:
    import torch
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtra("torch", "train") from error

NEIGHBOURS, TEMPERATURE = 20, 0.07
AT_A_TIME = 1024


def knn(
    bank: Array,
    labels: NDArray[np.int64],
    features: Array,
    classes: int,
    *,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> NDArray[np.int64]:
    """The class of each row of `features` (N, d) by its nearest rows of `bank` (M, d), whose classes are `labels` (M,).

    Each neighbour votes with exp(cosine / temperature): Wu et al. 2018, https://arxiv.org/abs/1805.01978, section 3.4.
    """
    bank_features = F.normalize(torch.from_numpy(bank), dim=1)
    votes_of = F.one_hot(torch.from_numpy(labels), classes).float()
    predicted = []
    for start in range(0, len(features), AT_A_TIME):
        queries = torch.from_numpy(features[start : start + AT_A_TIME])
        cosines, nearest = (F.normalize(queries, dim=1) @ bank_features.T).topk(
            min(neighbours, len(bank_features)), dim=1
        )
        weights = ((cosines - cosines[:, :1]) / temperature).exp()
        predicted.append((weights[:, :, None] * votes_of[nearest]).sum(1).argmax(1))
    return torch.cat(predicted).numpy() if predicted else np.zeros(0, np.int64)
