"""The linear probe: a logistic regression on frozen features. It sees features alone and cannot touch the network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra
from netlathe.lower.weights import Array

try:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtra("torch", "train") from error

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4)
HELD_OUT = 5  # every fifth image chooses the penalty
ITERATIONS = 100


class LinearProbe(NamedTuple):
    """A linear map of standardised features to classes."""

    weight: Tensor  # (d + 1, classes), the bias last
    mean: Tensor
    std: Tensor
    penalty: float

    def __call__(self, features: Array) -> NDArray[np.int64]:
        """The class of each row (N, d)."""
        predicted: NDArray[np.int64] = (self.standard(features) @ self.weight).argmax(1).numpy()
        return predicted

    def standard(self, features: Array) -> Tensor:
        """Standardised, with a column of ones: (N, d + 1)."""
        x = (torch.from_numpy(features) - self.mean) / self.std
        return torch.cat([x, torch.ones(len(x), 1)], 1)


def fit_probe(features: Array, labels: NDArray[np.int64], classes: int) -> LinearProbe:
    """The logistic regression of features (N, d) with the penalty that is best on held-out rows, fitted to all rows.

    Cross entropy plus penalty / 2 times the squared weights, by L-BFGS from strong penalties to weak.
    """
    x = torch.from_numpy(features)
    std, mean = torch.std_mean(x, 0, correction=0)
    blank = LinearProbe(torch.zeros(x.shape[1] + 1, classes), mean, std.where(std > 1e-6, 1.0), 0.0)
    rows, y = blank.standard(features), torch.from_numpy(labels)
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


def minimise(rows: Tensor, labels: Tensor, start: Tensor, penalty: float) -> Tensor:
    """The weights of the least penalised cross entropy, from `start` on; the bias, last, is not penalised."""
    weight = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [weight], max_iter=ITERATIONS, history_size=10, tolerance_change=1e-6, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(rows @ weight, labels) + penalty / 2 * weight[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach()
