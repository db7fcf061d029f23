"""What changes during a one-shot search: weights, architecture parameters, their optimisers, the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from netlathe.search.oneshot.options import OneShotOptions
from netlathe.search.oneshot.supernet import Setting, Supernet

SPREAD = 1e-3  # standard deviation of the first architecture parameters


@dataclass
class OneShotState:
    """All of it is in the checkpoint."""

    supernet: Supernet
    alphas: dict[str, Tensor]  # by decision, one value an option
    optimiser: torch.optim.SGD
    alpha_optimiser: torch.optim.Adam
    step: int = 0  # of the weights
    elapsed: float = 0.0  # seconds before this process
    log: list[dict[str, Any]] = field(default_factory=list)  # the lines of the watch
    losses: list[float] = field(default_factory=list)  # since the last line
    counted_from: int = 0  # lines before this one are from before the weight decay was raised
    generation: int = 0

    @property
    def weights(self) -> list[Tensor]:
        """The trained weights of the supernet."""
        return list(self.supernet.parameters())

    def mixture(self) -> dict[str, Tensor]:
        """The setting in which every decision is the softmax of its parameters."""
        return {name: alpha.softmax(0) for name, alpha in self.alphas.items()}

    def shares(self) -> dict[str, NDArray[np.float64]]:
        """The weights of the options, as numbers."""
        return {name: alpha.detach().double().softmax(0).cpu().numpy() for name, alpha in self.alphas.items()}


def initial_state(supernet: Supernet, options: OneShotOptions) -> OneShotState:
    """The state before the first step: alphas are 0.001 N(0, 1)."""
    numbers = torch.Generator().manual_seed(options.seed)
    alphas = {
        name: (SPREAD * torch.randn(len(names), generator=numbers)).requires_grad_()
        for name, names in supernet.decisions.items()
    }
    return OneShotState(
        supernet,
        alphas,
        torch.optim.SGD(
            supernet.parameters(), options.lr, momentum=options.momentum, weight_decay=options.weight_decay
        ),
        torch.optim.Adam(
            list(alphas.values()),
            options.alpha_lr,
            betas=options.alpha_betas,
            weight_decay=options.alpha_weight_decay,
        ),
    )


def loss_of(state: OneShotState, setting: Setting, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy of a batch."""
    return F.cross_entropy(state.supernet(batch[0], setting), batch[1])


def snapshot(state: OneShotState, elapsed: float) -> dict[str, Any]:
    """The state as tensors and plain values."""
    return {
        "supernet": state.supernet.state_dict(),
        "alphas": {name: alpha.detach() for name, alpha in state.alphas.items()},
        "optimiser": state.optimiser.state_dict(),
        "alpha_optimiser": state.alpha_optimiser.state_dict(),
        "step": state.step,
        "elapsed": elapsed,
        "log": state.log,
        "losses": state.losses,
        "counted_from": state.counted_from,
    }


def restore(state: OneShotState, old: Mapping[str, Any]) -> None:
    """Go on from a snapshot."""
    state.supernet.load_state_dict(old["supernet"])
    with torch.no_grad():
        for name, alpha in state.alphas.items():
            alpha.copy_(old["alphas"][name])
    state.optimiser.load_state_dict(old["optimiser"])
    state.alpha_optimiser.load_state_dict(old["alpha_optimiser"])
    state.step, state.elapsed = old["step"], old["elapsed"]
    state.log, state.losses, state.counted_from = list(old["log"]), list(old["losses"]), old["counted_from"]
    state.generation = old["generation"]
