"""The gradient of the validation loss with respect to the architecture parameters: DARTS' first and second order.

Liu et al. 2019, https://arxiv.org/abs/1806.09055, section 2.3, equations 5 to 8; details as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Loss = Callable[[], Tensor]  # of the weights and architecture parameters as they are
RADIUS = 0.01


def first_order(valid: Loss, alphas: Sequence[Tensor]) -> list[Tensor]:
    """d L_val(w, alpha) / d alpha at the weights as they are."""
    return list(torch.autograd.grad(valid(), alphas, materialize_grads=True))


def second_order(
    train: Loss,
    valid: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    velocity: Sequence[Tensor | None] = (),
) -> list[Tensor]:
    """d L_val(w', alpha) / d alpha, where w' is the weights after the next step of SGD on the training loss.

    w' = w - lr (momentum * velocity + dL_train/dw + weight_decay * w). The mixed second derivative that this needs is a
    central difference of the training loss's gradient, at w +- R v with v = dL_val/dw' and R = 0.01 / ||v||. `velocity`
    is the momentum buffer of each weight (None, or nothing at all: zero). The weights are afterwards as they were.
    """
    start = [w.detach().clone() for w in weights]
    slopes = torch.autograd.grad(train(), weights, materialize_grads=True)
    moving = list(velocity) or [None] * len(start)
    with torch.no_grad():
        for w, slope, speed in zip(weights, slopes, moving, strict=True):
            step = slope + weight_decay * w if speed is None else momentum * speed + slope + weight_decay * w
            w -= lr * step
    try:
        both = torch.autograd.grad(valid(), [*alphas, *weights], materialize_grads=True)
        direct, v = both[: len(alphas)], both[len(alphas) :]
        norm = torch.sqrt(sum((x.square().sum() for x in v), torch.zeros((), dtype=v[0].dtype, device=v[0].device)))
        if not norm > 0:
            return list(direct)
        radius = float(RADIUS / norm)
        sides = [gradient_at(train, weights, alphas, start, v, sign * radius) for sign in (1.0, -1.0)]
    finally:
        set_weights(weights, start)
    return [d - lr * (up - down) / (2 * radius) for d, up, down in zip(direct, *sides, strict=True)]


def gradient_at(
    train: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    start: Sequence[Tensor],
    v: Sequence[Tensor],
    r: float,
) -> tuple[Tensor, ...]:
    """The gradient of the training loss with respect to the architecture parameters at w + r v."""
    set_weights(weights, [w + r * x for w, x in zip(start, v, strict=True)])
    return torch.autograd.grad(train(), alphas, materialize_grads=True)


def set_weights(weights: Sequence[Tensor], to: Sequence[Tensor]) -> None:
    """Set the weights in place."""
    with torch.no_grad():
        for w, value in zip(weights, to, strict=True):
            w.copy_(value)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norms that use the statistics of the batch and leave the running ones as they are."""
    norms = [(m, m.momentum) for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm, _ in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum
