"""Stand-ins for spaces, and a driver of one or several open trials, for tests of strategies."""

from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from netlathe.search.strategy import STRATEGIES, Proposal, TrialResult


class Decision(NamedTuple):
    name: str
    options: tuple[str, ...]


class Flat:
    """Independent decisions of the given numbers of options. What a strategy knows of a space, in 20 lines."""

    def __init__(self, *counts: int) -> None:
        self.counts = counts
        self.decisions = tuple(Decision(f"d{i}", tuple(map(str, range(n)))) for i, n in enumerate(counts))
        self.size = prod(counts)

    def sample(self, rng):
        return tuple(int(i) for i in rng.integers(self.counts))

    def mutate(self, genotype, rng):
        free = [i for i, n in enumerate(self.counts) if n > 1]
        if not free:
            return genotype
        i = free[int(rng.integers(len(free)))]
        other = int(rng.integers(self.counts[i] - 1))
        return (*genotype[:i], other + (other >= genotype[i]), *genotype[i + 1 :])

    def neighbours(self, genotype) -> Iterator[tuple[int, ...]]:
        for i, n in enumerate(self.counts):
            for other in range(n):
                if other != genotype[i]:
                    yield (*genotype[:i], other, *genotype[i + 1 :])

    def normal(self, genotype):
        return tuple(genotype)

    def all(self):
        return product(*map(range, self.counts))

    def key(self, genotype) -> str:
        return "-".join(map(str, genotype))


class Merged(Flat):
    """Two genotypes of one multiset are the same network."""

    def key(self, genotype) -> str:
        return "-".join(map(str, sorted(genotype)))


def additive(genotype) -> float:
    """The sum of the options: best at the last of each."""
    return float(sum(genotype))


def made(name, space, seed=0, evaluations=None, **options):
    """A strategy of the registry."""
    return STRATEGIES[name](space, np.random.default_rng(seed), evaluations=evaluations, **options)


def drive(
    strategy, evaluations: int, score: Callable = additive, *, workers: int = 1, costs: Callable | None = None, seed=0
) -> list[tuple[Proposal, TrialResult]]:
    """What was told, in order. With several workers, trials end in a random order."""
    rng = np.random.default_rng(seed)
    told, open_trials = [], []
    while len(told) < evaluations:
        while len(open_trials) < workers and len(told) + len(open_trials) < evaluations:
            proposal = strategy.ask()
            if proposal is None:
                break
            open_trials.append(proposal)
        if not open_trials:
            break
        proposal = open_trials.pop(int(rng.integers(len(open_trials))))
        outcome = TrialResult(score(proposal.genotype), costs(proposal.genotype) if costs else ())
        strategy.tell(proposal, outcome)
        told.append((proposal, outcome))
    return told
