"""Local search: move to the first better neighbour; at a local optimum, start again at random.

White, Nolen and Savani 2020 ("Local search is state of the art for neural architecture search benchmarks"). A network
is never asked twice: its score is remembered, so a remembered better neighbour is moved to without an evaluation.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from netlathe.search.strategies.fresh import FreshSampler
from netlathe.search.strategy import Proposal, TrialResult

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace


class LocalSearch:
    """First improvement over all one-decision changes in random order, with random restarts."""

    def __init__(self, space: SearchSpace, rng: Generator, *, evaluations: int | None) -> None:
        self.space, self.rng = space, rng
        self.fresh = FreshSampler(space, rng)
        self.scores: dict[str, float] = {}
        self.climb = 0  # how many starts; the tag of proposals, so that a late tell does not move a later climb
        self.open = 0  # trials of this climb that are not told
        self.best = -inf  # the score of the network that the climb stands on
        self.waiting: list[Genotype] = []  # its neighbours that were not looked at, last one first

    def ask(self) -> Proposal | None:
        """The next neighbour that was not evaluated, or a new start. None: wait for the open trials, or exhausted."""
        while self.waiting:
            genotype = self.waiting.pop()
            if self.fresh.mark(genotype):
                return self._propose(genotype)
            if self.scores.get(self.fresh.key(genotype), -inf) > self.best:
                self._stand(genotype)
        if self.open and self.best > -inf:
            return None  # an open neighbour may be the improvement
        if not self.open:
            self.climb, self.best = self.climb + 1, -inf
        start = self.fresh.draw()
        return None if start is None else self._propose(start)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """Moves where the trial is of this climb and better than where it stands."""
        self.scores[self.fresh.key(proposal.genotype)] = outcome.score
        if proposal.tag != self.climb:
            return
        self.open -= 1
        if outcome.score > self.best:
            self._stand(proposal.genotype)

    def _propose(self, genotype: Genotype) -> Proposal:
        self.open += 1
        return Proposal(genotype, tag=self.climb)

    def _stand(self, genotype: Genotype) -> None:
        self.best = self.scores[self.fresh.key(genotype)]
        self.waiting = list(self.space.neighbours(genotype))
        self.rng.shuffle(self.waiting)
