"""One step of each method: DARTS moves the architecture and then the weights, RSWS the weights of one path."""

from __future__ import annotations

from math import cos, pi

import numpy as np
import torch
from torch import Tensor, nn

from netlathe.search.oneshot.family import OneShotFamily
from netlathe.search.oneshot.gradient import first_order, frozen_statistics, second_order
from netlathe.search.oneshot.options import OneShotOptions
from netlathe.search.oneshot.split import DataSplit
from netlathe.search.oneshot.state import OneShotState, loss_of
from netlathe.search.oneshot.supernet import Setting


def darts_step(state: OneShotState, split: DataSplit, options: OneShotOptions) -> float:
    """Algorithm 1 of the paper; the training loss."""
    batch = split.batch_of("train", state.step)
    if state.step >= options.rest * split.steps:
        held_out = split.batch_of("valid", state.step)
        move_alphas(state, batch, held_out, options)
    with torch.no_grad():
        setting = state.mixture()
    return weight_step(state, setting, batch, options)


def move_alphas(
    state: OneShotState, batch: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], options: OneShotOptions
) -> None:
    """The step of the architecture parameters; the running statistics of batch norms stay as they are."""
    alphas, weights = list(state.alphas.values()), state.weights

    def train() -> Tensor:
        return loss_of(state, state.mixture(), batch)

    def valid() -> Tensor:
        return loss_of(state, state.mixture(), held_out)

    with frozen_statistics(state.supernet):
        if options.order == 1:
            slopes = first_order(valid, alphas)
        else:
            [group] = state.optimiser.param_groups
            slopes = second_order(
                train,
                valid,
                weights,
                alphas,
                lr=group["lr"],
                momentum=group["momentum"],
                weight_decay=group["weight_decay"],
                velocity=[state.optimiser.state[w].get("momentum_buffer") for w in weights],
            )
    for alpha, slope in zip(alphas, slopes, strict=True):
        alpha.grad = slope
    state.alpha_optimiser.step()


def rsws_step(state: OneShotState, split: DataSplit, options: OneShotOptions, family: OneShotFamily) -> float:
    """Train the weights of one network drawn at random (Li and Talwalkar 2019, https://arxiv.org/abs/1902.07638)."""
    genotype = family.draw(np.random.default_rng((options.seed, state.step)))
    return weight_step(state, family.setting(genotype), split.batch_of("train", state.step), options)


def weight_step(state: OneShotState, setting: Setting, batch: tuple[Tensor, Tensor], options: OneShotOptions) -> float:
    """SGD with momentum on the weights that a setting uses, clipped; the loss."""
    state.optimiser.zero_grad(set_to_none=True)
    loss = loss_of(state, setting, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([w for w in state.weights if w.grad is not None], options.clip)
    state.optimiser.step()
    state.step += 1
    return float(loss.detach())


def set_lr(state: OneShotState, options: OneShotOptions, progress: float) -> None:
    """The cosine from lr to final_lr, at a share of the search."""
    lr = options.final_lr + (options.lr - options.final_lr) * (1 + cos(pi * min(progress, 1.0))) / 2
    for group in state.optimiser.param_groups:
        group["lr"] = lr
