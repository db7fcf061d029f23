"""Optuna's samplers as strategies (`optuna` extra): every decision is a categorical parameter.

Optuna does not avoid repeats, by its design; the study's cache answers them.
"""

from __future__ import annotations

import warnings
from math import inf
from typing import TYPE_CHECKING, Any

from netlathe.errors import MissingExtra
from netlathe.search.strategy import Proposal, TrialResult

try:
    import optuna
except ImportError:
    raise MissingExtra("optuna", "optuna") from None

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace


class OptunaStrategy:
    """A study in memory, asked and told. `costs`: how many costs of an outcome are minimised beside the score."""

    def __init__(
        self,
        space: SearchSpace,
        rng: Generator,
        *,
        evaluations: int | None,
        costs: int = 0,
        storage: Any = None,
    ) -> None:
        self.space, self.costs = space, costs
        self.names = [decision.name for decision in space.decisions]
        self.options = [tuple(range(len(decision.options))) for decision in space.decisions]
        self.seen: set[Genotype] = set()
        self.trials: dict[int, Any] = {}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(
            directions=["maximize", *["minimize"] * costs],  # type: ignore[list-item]
            sampler=self.sampler(int(rng.integers(2**31))),
            storage=storage,
        )

    def sampler(self, seed: int) -> Any:
        """The sampler of that seed."""
        raise NotImplementedError

    def ask(self) -> Proposal | None:
        """Optuna's next suggestion. None where the whole space was asked."""
        if len(self.seen) >= self.space.size:
            return None
        trial = self.study.ask()
        pairs = zip(self.names, self.options, strict=True)
        genotype = self.space.normal(tuple(trial.suggest_categorical(name, options) for name, options in pairs))
        self.seen.add(genotype)
        self.trials[trial.number] = trial
        return Proposal(genotype, tag=trial.number)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """A failed network is a failed trial, which Optuna's samplers ignore."""
        trial = self.trials.pop(proposal.tag)
        if outcome.score == -inf:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(trial, [outcome.score, *outcome.costs[: self.costs]])


class OptunaTPE(OptunaStrategy):
    """Tree-structured Parzen estimators, Optuna's default."""

    def sampler(self, seed: int) -> Any:
        """Optuna's settings."""
        return optuna.samplers.TPESampler(seed=seed)


class OptunaNSGA2(OptunaStrategy):
    """Optuna's NSGA-II."""

    def __init__(self, space: SearchSpace, rng: Generator, *, population: int, **options: Any) -> None:
        self.population = population
        super().__init__(space, rng, **options)

    def sampler(self, seed: int) -> Any:
        """Of the given population."""
        return optuna.samplers.NSGAIISampler(population_size=self.population, seed=seed)


class OptunaGP(OptunaStrategy):
    """Optuna's Gaussian process; needs torch (`train` extra) too."""

    def sampler(self, seed: int) -> Any:
        """Of that seed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it announces that it is experimental
            return optuna.samplers.GPSampler(seed=seed)
