"""Constrained evolution over several objectives: accuracy against latency, memory, MACs (NSGA-II, Deb et al. 2002).

The objectives are the score and every cost of an outcome. A network that breaks a limit loses against one that keeps
it, and two that break limits are compared by how much; so the search walks towards the feasible part instead of
guessing. No network is asked twice. A generation ends when as many children as the population are told; open trials
join the next.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.search.strategies.fresh import FreshSampler
from netlathe.search.strategy import Proposal, TrialResult
from netlathe.stats.pareto import crowding, ranks, violation

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace


class Individual(NamedTuple):
    """A network that was told: its objectives (all to be made small), how far it breaks limits, its place."""

    genotype: Genotype
    point: tuple[float, ...]
    violation: float
    place: tuple[float, float] = (inf, 0.0)  # rank, minus crowding: smaller is better


class ParetoEvolution:
    """NSGA-II with uniform crossover and one mutation a child."""

    def __init__(
        self,
        space: SearchSpace,
        rng: Generator,
        *,
        evaluations: int | None,
        population: int,
        crossover: float,
        limits: str,
    ) -> None:
        self.space, self.rng, self.size, self.crossover = space, rng, population, crossover
        self.limits = parse_limits(limits)
        self.fresh = FreshSampler(space, rng)
        self.asked = 0
        self.parents: list[Individual] = []
        self.children: list[Individual] = []

    def ask(self) -> Proposal | None:
        """A random network for the first population, then a child. None where the space is exhausted."""
        self.asked += 1
        parents = self.parents or self.children
        if self.asked <= self.size or not parents:
            genotype = self.fresh.draw()
        else:
            genotype = self.fresh.first_new(lambda: self._child(parents)) or self.fresh.draw()
        return None if genotype is None else Proposal(genotype)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """A child; a full generation is sorted and halved."""
        failed = not outcome.score > -inf
        far = inf if failed and not outcome.costs else violation(outcome.costs, self.limits)
        self.children.append(Individual(proposal.genotype, (-outcome.score, *outcome.costs), far))
        if len(self.children) >= self.size:
            self.parents = select_survivors(self.parents + self.children, self.size)
            self.children = []

    def _child(self, parents: list[Individual]) -> Genotype:
        mother, father = self._winner(parents), self._winner(parents)
        genotype = mother.genotype
        if self.rng.random() < self.crossover:
            from_father = self.rng.random(len(genotype)) < 0.5
            pairs = zip(mother.genotype, father.genotype, from_father, strict=True)
            genotype = self.space.normal(tuple(f if swap else m for m, f, swap in pairs))
        return self.space.mutate(genotype, self.rng)

    def _winner(self, parents: list[Individual]) -> Individual:
        """A tournament of two."""
        one, two = (parents[int(i)] for i in self.rng.integers(len(parents), size=2))
        return two if two.place < one.place else one


def select_survivors(members: list[Individual], size: int) -> list[Individual]:
    """The `size` best by rank, then by crowding, with their places."""
    width = max(len(member.point) for member in members)
    points = np.array([member.point + (inf,) * (width - len(member.point)) for member in members])
    finite = np.where(np.isfinite(points), points, np.finfo(float).max / 4)
    rank = ranks(finite, np.array([member.violation for member in members]))
    gap = np.zeros(len(members))
    for value in np.unique(rank):
        here = np.flatnonzero(rank == value)
        gap[here] = crowding(finite[here])
    placed = [member._replace(place=(float(r), -float(g))) for member, r, g in zip(members, rank, gap, strict=True)]
    return sorted(placed, key=lambda member: member.place)[:size]


def parse_limits(text: str) -> tuple[float, ...]:
    """`15,inf,4e6`: a limit for each cost, in the run's order. Raises NetlatheError for anything else."""
    try:
        limits = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        limits = (-1.0,)
    if not all(limit > 0 for limit in limits):
        hint = "one positive number for each cost, in the run's order, inf for none: 15,inf,4e6"
        raise NetlatheError(f"limits={text} cannot be read", code="search.option", hint=hint)
    return limits
