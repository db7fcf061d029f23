"""Random search: uniform draws, without replacement by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlathe.search.strategies.fresh import FreshSampler
from netlathe.search.strategy import Proposal, TrialResult

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import SearchSpace


class RandomSearch:
    """Learns nothing from what it is told."""

    def __init__(self, space: SearchSpace, rng: Generator, *, evaluations: int | None, replacement: bool) -> None:
        self.space, self.rng = space, rng
        self.fresh = None if replacement else FreshSampler(space, rng)

    def ask(self) -> Proposal | None:
        """A draw; None where every network was asked."""
        if self.fresh is None:
            return Proposal(self.space.sample(self.rng))
        genotype = self.fresh.draw()
        return None if genotype is None else Proposal(genotype)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """Nothing to learn."""
