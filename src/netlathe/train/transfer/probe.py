"""The linear probe: a logistic regression on frozen features, its penalty chosen by cross-validation.

A plain probe ranks pretrained networks on the user's own images (Abou Baker and Handmann 2025,
https://arxiv.org/abs/2510.06448: scores of transferability do no better than rules that never look at the images).
Features are standardised; the loss is the mean cross entropy plus penalty / 2 times the squared weights without the
bias, so a penalty here is 1 / (C N) of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra
from netlathe.lower.weights import Array
from netlathe.train.transfer.folds import FOLDS, stratified_folds

try:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtra("torch", "train") from error

WEAKER = (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4)  # penalties that are tried, one after the other
STRONGER = (0.3, 1.0, 3.0)  # where the first of them is the best
ITERATIONS, TOLERANCE = 100, 1e-6
ENOUGH = 1e-4  # tolerance while penalties are compared
WORSE = 1.02  # of the loss on held-out images: a penalty this much worse than the best ends the way


class LinearProbe(NamedTuple):
    """A linear map of standardised features to logits."""

    weight: Tensor  # (d + 1, classes), the bias last
    mean: Tensor
    std: Tensor
    penalty: float

    def standardise(self, features: Array) -> Tensor:
        """(N, d) -> (N, d + 1), with a column of ones."""
        x = (torch.from_numpy(features) - self.mean) / self.std
        return torch.cat([x, torch.ones(len(x), 1)], 1)

    def logits(self, features: Array) -> NDArray[np.float32]:
        """(N, d) -> (N, classes)."""
        return (self.standardise(features) @ self.weight).numpy()


class ProbeScore(NamedTuple):
    """A probe of all images, and how it did on each image while that was held out.

    `correct` (N,) of the predictions that held-out folds gave, `logits` (N, classes) these; `losses` by penalty, mean
    cross entropy held out.
    """

    probe: LinearProbe
    correct: NDArray[np.bool_]
    logits: NDArray[np.float32]
    losses: dict[float, float]


def blank_probe(features: Array, classes: int, penalty: float) -> LinearProbe:
    """A probe of zeros that standardises by these features; a feature that never varies stays as it is."""
    x = torch.from_numpy(features)
    std, mean = torch.std_mean(x, 0, correction=0)
    return LinearProbe(torch.zeros(x.shape[1] + 1, classes), mean, std.where(std > 1e-6, 1.0), penalty)


def fit_probe(
    features: Array, labels: NDArray[np.int64], classes: int, penalty: float, start: LinearProbe | None = None
) -> LinearProbe:
    """The probe of features (N, d) with labels (N,) under one penalty; `start` only makes it quicker."""
    blank = blank_probe(features, classes, penalty)
    rows, y = blank.standardise(features), torch.from_numpy(labels)
    return blank._replace(weight=minimise(rows, y, blank.weight if start is None else start.weight, penalty))


def cross_validate(
    features: Array,
    labels: NDArray[np.int64],
    classes: int,
    groups: NDArray[np.int64],
    *,
    views: int = 1,
    hurried: Callable[[], bool] = bool,
) -> ProbeScore:
    """The probe of all images under the penalty whose loss is least on held-out ones.

    `features` (views N, d) are those of the N images in one view after the other: images are held out with all their
    views, and judged by the first. The way to weaker penalties, or to stronger ones where the first is the best, ends
    where the held-out loss gets worse, and after `hurried` says that there is no time.
    """
    count = len(labels)
    folds = stratified_folds(labels, groups, min(FOLDS, max(2, count // 2)))
    train_labels, train_folds = np.tile(labels, views), np.tile(folds, views)
    blank = blank_probe(features, classes, WEAKER[0])
    rows, y, truth = blank.standardise(features), torch.from_numpy(train_labels), torch.from_numpy(labels)
    blanks = [blank.weight] * (folds.max(initial=0) + 1)
    scores: dict[float, tuple[float, Tensor, list[Tensor]]] = {}  # held-out loss, logits, weights of the folds

    def hold_out(penalty: float, starts: list[Tensor]) -> float:
        """Fit each fold's weights under a penalty; the loss on what it holds out."""
        logits, weights = torch.zeros(count, classes), []
        for fold, start in enumerate(starts):
            learned, held = torch.from_numpy(train_folds != fold), torch.from_numpy(folds == fold)
            weights.append(minimise(rows[learned], y[learned], start, penalty, ENOUGH))
            logits[held] = rows[:count][held] @ weights[-1]
        loss = float(F.cross_entropy(logits, truth))
        scores[penalty] = loss, logits, weights
        return loss

    def best() -> float:
        return min(scores, key=lambda penalty: scores[penalty][0])

    for way in (WEAKER, STRONGER):
        if scores and best() != WEAKER[0]:
            break
        starts = scores[WEAKER[0]][2] if scores else blanks
        for penalty in way:
            loss = hold_out(penalty, starts)
            starts = scores[penalty][2]
            if loss > WORSE * scores[best()][0] or hurried():
                break
    penalty = best()
    _, kept, weights = scores[penalty]
    probe = blank._replace(weight=minimise(rows, y, torch.stack(weights).mean(0), penalty), penalty=penalty)
    losses = {penalty: scores[penalty][0] for penalty in sorted(scores, reverse=True)}
    return ProbeScore(probe, (kept.argmax(1) == truth).numpy(), kept.numpy(), losses)


def minimise(rows: Tensor, labels: Tensor, start: Tensor, penalty: float, tolerance: float = TOLERANCE) -> Tensor:
    """The weights of the least penalised cross entropy, by L-BFGS from `start` on; the bias, last, is free."""
    weight = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [weight], max_iter=ITERATIONS, history_size=10, tolerance_change=tolerance, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(rows @ weight, labels) + penalty / 2 * weight[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach()
