"""What changes during a training: weights, optimiser, averages, counters. All of it is in the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from netlathe.train.distributed import Ranks
from netlathe.train.ema import WeightAverage
from netlathe.train.optim import build_optimiser
from netlathe.train.plan import Leg, TrainingPlan
from netlathe.train.precision import set_precision
from netlathe.train.recipe import Recipe


@dataclass
class TrainingState:
    """A training after so many images."""

    module: nn.Module  # as lowered: its state dict has the paths of the expression
    run: nn.Module  # the module as it runs: wrapped for several processes, compiled
    optimiser: torch.optim.Optimizer
    average: WeightAverage | None
    plan: TrainingPlan
    seen: int = 0
    best: float | None = None
    evaluated: int = 0
    elapsed: float = 0.0  # seconds of training before this process
    generation: int = 0
    losses: list[float] = field(default_factory=list)  # since the last line of metrics

    @property
    def averaged(self) -> nn.Module:
        """The module that is tested and kept: the average where there is one."""
        return self.module if self.average is None else self.average.module

    def is_finite(self) -> bool:
        """Whether no weight is infinite or not a number."""
        return all(bool(p.isfinite().all()) for p in self.module.parameters())


def start_state(module: nn.Module, recipe: Recipe, plan: TrainingPlan, precision: str, here: Ranks) -> TrainingState:
    """The state before the first step, on the device of this rank; `precision` names the policy."""
    module = set_precision(module, precision).to(here.device)
    average = WeightAverage(module, recipe.regularise.ema) if recipe.regularise.ema else None
    optimiser = build_optimiser(module, recipe.optimiser, plan.batch)
    return TrainingState(module, here.wrap(module), optimiser, average, plan)


def snapshot(state: TrainingState, elapsed: float, lines: int) -> dict[str, Any]:
    """The state as a dictionary of tensors and plain values; `lines` of metrics were written."""
    plan = state.plan
    return {
        "module": state.module.state_dict(),
        "average": None if state.average is None else state.average.module.state_dict(),
        "updates": 0 if state.average is None else state.average.updates,
        "optimiser": state.optimiser.state_dict(),
        "plan": (plan.batch, plan.steps, tuple(map(tuple, plan.legs))),
        "seen": state.seen,
        "best": state.best,
        "evaluated": state.evaluated,
        "losses": state.losses,
        "elapsed": elapsed,
        "lines": lines,
    }


def restore(state: TrainingState, old: Mapping[str, Any]) -> None:
    """Go on from a snapshot."""
    state.module.load_state_dict(old["module"])
    state.optimiser.load_state_dict(old["optimiser"])
    if state.average is not None:
        state.average.module.load_state_dict(old["average"])
        state.average.updates = old["updates"]
    batch, steps, legs = old["plan"]
    state.plan = TrainingPlan(batch, steps, tuple(Leg(*leg) for leg in legs))
    state.seen, state.best, state.evaluated = old["seen"], old["best"], old["evaluated"]
    state.elapsed, state.generation = old["elapsed"], old["generation"]
    state.losses = list(old["losses"])
