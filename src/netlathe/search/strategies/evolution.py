"""Regularised evolution (Real et al. 2019) and its twin without ageing (Real et al. 2017).

The published algorithm, exactly: the initial population is random and counts against the budget; the sample is drawn
with replacement; its best is the parent; one decision of the parent changes; the child joins and the oldest dies.
Sources: Real et al. 2019, section 3.1 and algorithm 1; the authors' notebook in google-research.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from netlathe.search.strategies.fresh import FreshSampler
from netlathe.search.strategy import Proposal, TrialResult

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace


class Evolution:
    """The oldest dies. With several open trials, the population is what has been told."""

    def __init__(
        self, space: SearchSpace, rng: Generator, *, evaluations: int | None, population: int, sample: int, unique: bool
    ) -> None:
        self.space, self.rng = space, rng
        self.size, self.sample, self.unique = population, sample, unique
        self.asked = 0
        self.fresh = FreshSampler(space, rng)  # unique only: it costs a canonical key each
        self.seen: set[Genotype] = set()
        self.population: deque[tuple[float, Genotype]] = deque()  # oldest first

    def ask(self) -> Proposal | None:
        """A random network for the first population, then a mutant. None where the whole space was asked."""
        if len(self.seen) >= self.space.size:
            return None
        self.asked += 1
        make = self._mutant if self.asked > self.size and self.population else lambda: self.space.sample(self.rng)
        genotype = (self.fresh.first_new(make) or self.fresh.draw()) if self.unique else make()
        if genotype is None:
            return None
        self.seen.add(genotype)
        return Proposal(genotype)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """The network joins; beyond the size, one dies."""
        self.population.append((outcome.score, proposal.genotype))
        if len(self.population) > self.size:
            self._die()

    def _mutant(self) -> Genotype:
        drawn = self.rng.integers(len(self.population), size=self.sample)
        parent = max((self.population[i] for i in drawn), key=lambda one: one[0])
        return self.space.mutate(parent[1], self.rng)

    def _die(self) -> None:
        self.population.popleft()


class ElitistEvolution(Evolution):
    """The worst dies; of equals the oldest."""

    def _die(self) -> None:
        worst = min(range(len(self.population)), key=lambda i: self.population[i][0])
        del self.population[worst]
