"""What a search strategy is: it is asked for a network, told how good it was, and asked again.

A strategy is pure under (space, rng): the same tells in the same order give the same asks, in any process. So a stored
search resumes by replay, and a comparison is repeated from its seeds. Several asks may be open at once (parallel
trials), and tells may come in any order. `STRATEGIES` is the registry: a row names the file, the options and their
legal ranges; the file is imported when the strategy is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from netlathe.errors import NetlatheError, unknown

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace


class Proposal(NamedTuple):
    """A network to evaluate. `rung`: multi-fidelity strategies only, an index into their `fractions`; None: the whole
    evaluation. `tag`: the strategy's own mark; it comes back in `tell`."""

    genotype: Genotype
    rung: int | None = None
    tag: int = 0


class TrialResult(NamedTuple):
    """What an evaluation gave. `score`: higher is better, -inf where it failed, was NaN or infeasible.
    `costs`: lower is better, in the order of the run's objectives (ms, bytes, MACs)."""

    score: float
    costs: tuple[float, ...] = ()


class Strategy(Protocol):
    """The whole interface. A multi-fidelity strategy also has `fractions`, ascending and ending in 1: the share of the
    whole training at every rung. A rung is a schedule of its own, annealed to its end, never a truncated longer one."""

    def ask(self) -> Proposal | None:
        """The next network to evaluate, or None: nothing more (if no trial is open), or first tell me the open ones."""

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """The outcome of a proposal, once."""


Value = bool | int | float | str


class Option(NamedTuple):
    """An option of a strategy: its default (which fixes the type), what it means, and what is legal."""

    default: Value
    meaning: str
    low: float = -inf
    high: float = inf
    choices: tuple[str, ...] = ()

    def legal(self) -> str:
        """The legal values in words."""
        if isinstance(self.default, bool):
            return "true or false"
        if self.choices:
            return " or ".join(self.choices)
        if isinstance(self.default, str):
            return "text"
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        if self.high < inf:
            return f"{kind} from {self.low:g} to {self.high:g}"
        return f"{kind}, at least {self.low:g}" if self.low > -inf else kind

    def read(self, value: Value) -> Value:
        """`value`, also as text, in the option's type. Raises ValueError where it is not legal."""
        kind = type(self.default)
        if kind is bool:
            if str(value).lower() not in ("true", "false"):
                raise ValueError(value)
            return str(value).lower() == "true"
        if isinstance(value, bool):
            raise ValueError(value)
        number = kind(value)
        if isinstance(number, str):
            if self.choices and number not in self.choices:
                raise ValueError(value)
            return number
        if (isinstance(value, float) and number != value) or not self.low <= number <= self.high:
            raise ValueError(value)
        return number


@dataclass(frozen=True)
class StrategyFactory:
    """A row of the registry: what a strategy is, and how one is made."""

    name: str
    where: str  # module:class below netlathe.search.strategies
    summary: str
    source: str
    options: Mapping[str, Option] = field(default_factory=dict)
    extra: str = ""  # the extra that it needs

    def settings(self, **options: Value) -> dict[str, Value]:
        """All options, defaults included. Raises NetlatheError for an unknown one and for an illegal value."""
        settings = {name: option.default for name, option in self.options.items()}
        for name, value in options.items():
            if name not in self.options:
                if not self.options:
                    raise NetlatheError(f"strategy {self.name!r} has no options, so no {name!r}", code="search.option")
                raise unknown(f"option of strategy {self.name!r}", name, self.options, code="search.option")
            option = self.options[name]
            try:
                settings[name] = option.read(value)
            except (TypeError, ValueError):
                raise NetlatheError(
                    f"{name}={value} is not legal for strategy {self.name!r}",
                    code="search.option",
                    hint=f"legal: {option.legal()}; default {option.default}",
                ) from None
        return settings

    def __call__(
        self, space: SearchSpace, rng: Generator, *, evaluations: int | None = None, **options: Value
    ) -> Strategy:
        """A strategy at its start. `evaluations`: the budget, where it is known; some strategies plan with it.

        Raises NetlatheError for a wrong option and MissingExtra where the package it needs is not installed.
        """
        module, name = self.where.split(":")
        make: Any = getattr(import_module(f"netlathe.search.strategies.{module}"), name)
        return cast(Strategy, make(space, rng, evaluations=evaluations, **self.settings(**options)))


def get_strategy(name: str) -> StrategyFactory:
    """The row of that name. Raises NetlatheError with the nearest names."""
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES, code="search.strategy")
    return STRATEGIES[name]


_POPULATION = Option(20, "networks alive at once", 2, 100_000)
_SAMPLE = Option(5, "networks drawn, with replacement, for a tournament", 1, 100_000)
_UNIQUE = Option(False, "mutate again rather than ask a network twice")
_ETA = Option(3, "one in so many goes on to the next rung, which trains so many times longer", 2, 16)
_RUNGS = Option(3, "rungs, the last of which is the whole training", 1, 10)

ROWS = (
    StrategyFactory(
        "random",
        "random:RandomSearch",
        "uniform draws, none twice: the baseline of every comparison",
        "Li and Talwalkar 2019",
        {"replacement": Option(False, "draw with replacement: repeats are asked again")},
    ),
    StrategyFactory(
        "local",
        "local:LocalSearch",
        "first improvement over all one-decision changes in random order; random restarts",
        "White et al. 2020",
    ),
    StrategyFactory(
        "evolution",
        "evolution:Evolution",
        "regularised evolution: the best of a sample is mutated, the oldest dies",
        "Real et al. 2019",
        {"population": _POPULATION, "sample": _SAMPLE, "unique": _UNIQUE},
    ),
    StrategyFactory(
        "evolution-elitist",
        "evolution:ElitistEvolution",
        "evolution without ageing: the worst dies",
        "Real et al. 2017",
        {"population": _POPULATION, "sample": _SAMPLE, "unique": _UNIQUE},
    ),
    StrategyFactory(
        "gp",
        "gp:GaussianProcess",
        "a Gaussian process over decisions, and expected improvement near the best: for small budgets",
        "Jones et al. 1998; White et al. 2021",
        {"first": Option(8, "random networks before the process is asked", 2, 100_000)},
    ),
    StrategyFactory(
        "reinforce",
        "reinforce:Reinforce",
        "a softmax a decision, moved by policy gradient (Adam)",
        "Williams 1992; Dong and Yang 2020 (NATS-Bench: learning rate 0.01)",
        {
            "learning_rate": Option(0.1, "of Adam; decides the result at small budgets", 1e-6, 10.0),
            "decay": Option(0.9, "of the moving average that is the baseline", 0.0, 0.9999),
            "batch": Option(1, "outcomes a step", 1, 10_000),
        },
    ),
    StrategyFactory(
        "controller",
        "controller:Controller",
        "NASNet's controller: an LSTM that writes networks, trained by PPO",
        "Zoph et al. 2018; Schulman et al. 2017",
        {
            "learning_rate": Option(0.003, "of Adam; NASNet: 3.5e-4, for 20,000 networks", 1e-6, 1.0),
            "batch": Option(10, "outcomes a step; NASNet: 20", 1, 10_000),
            "units": Option(100, "of the LSTM", 1, 4096),
            "entropy": Option(1e-5, "weight of the policy's entropy, in units of the score", 0.0, 1e6),
            "decay": Option(0.95, "of the moving average that is the baseline", 0.0, 0.9999),
            "clip": Option(0.2, "of the ratio of probabilities", 1e-3, 1e3),
            "passes": Option(4, "over a batch", 1, 100),
        },
        extra="train",
    ),
    StrategyFactory(
        "halving",
        "halving:SuccessiveHalving",
        "successive halving: many networks on short schedules, 1/eta of them on the next longer one",
        "Jamieson and Talwalkar 2016",
        {"eta": _ETA, "rungs": _RUNGS, "networks": Option(0, "that start a bracket; 0: eta^(rungs-1)", 0, 1_000_000)},
    ),
    StrategyFactory(
        "hyperband",
        "halving:Hyperband",
        "halving brackets from many short trainings to few whole ones",
        "Li et al. 2018",
        {"eta": _ETA, "rungs": _RUNGS},
    ),
    StrategyFactory(
        "asha",
        "halving:Asha",
        "asynchronous halving for parallel trials: promotes whenever it can, else starts a network",
        "Li et al. 2020",
        {"eta": _ETA, "rungs": _RUNGS},
    ),
    StrategyFactory(
        "pareto",
        "pareto:ParetoEvolution",
        "accuracy against latency, memory and other costs under limits (NSGA-II)",
        "Deb et al. 2002",
        {
            "population": _POPULATION,
            "crossover": Option(0.5, "probability that a child has two parents", 0.0, 1.0),
            "limits": Option("", "of the costs in the run's order, as 15,inf,4e6"),
        },
    ),
    StrategyFactory(
        "optuna-tpe",
        "optuna:OptunaTPE",
        "Optuna's tree-structured Parzen estimators",
        "Bergstra et al. 2011",
        extra="optuna",
    ),
    StrategyFactory(
        "optuna-nsga2",
        "optuna:OptunaNSGA2",
        "Optuna's NSGA-II",
        "Deb et al. 2002",
        {
            "population": Option(50, "networks alive at once", 2, 100_000),
            "costs": Option(0, "how many costs are minimised beside the score", 0, 16),
        },
        extra="optuna",
    ),
    StrategyFactory(
        "optuna-gp",
        "optuna:OptunaGP",
        "Optuna's Gaussian process; needs torch as well",
        "Akiba et al. 2019",
        extra="optuna",
    ),
)
STRATEGIES: dict[str, StrategyFactory] = {row.name: row for row in ROWS}
