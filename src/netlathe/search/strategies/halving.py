"""Successive halving, Hyperband and ASHA: many networks trained a little, the best of them longer.

A rung is a whole schedule, annealed to its end, `fractions[rung]` of the longest one. A truncated cosine is not a
shorter schedule: with truncation, halving loses to random search on 214 real training curves of DARTS networks. So
these strategies only say which rung; the objective trains for it, from the start or from the weights of the rung below,
and anneals again.
Sources: Jamieson and Talwalkar 2016; Li et al. 2018 (Hyperband, algorithm 1); Li et al. 2020 (ASHA, algorithm 2:
promotion, not stopping).
"""

from __future__ import annotations

from bisect import insort
from itertools import count
from math import ceil, inf
from typing import TYPE_CHECKING

from netlathe.search.strategies.fresh import FreshSampler
from netlathe.search.strategy import Proposal, TrialResult

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace


def rung_fractions(eta: int, rungs: int) -> tuple[float, ...]:
    """The share of the whole training at every rung: eta^-(rungs-1), ..., 1/eta, 1."""
    return tuple(float(eta) ** (rung + 1 - rungs) for rung in range(rungs))


class Bracket:
    """One run of successive halving: `networks` at rung `first`, and 1/eta of them at each further rung."""

    def __init__(self, first: int, last: int, networks: int, eta: int) -> None:
        self.rung, self.last, self.networks, self.eta = first, last, networks, eta
        self.fresh = networks  # how many networks are still to be drawn
        self.waiting: list[Genotype] = []  # promoted, not asked yet, best last
        self.open = 0
        self.told: list[tuple[float, int, Genotype]] = []  # of this rung: minus score, order, genotype

    def tell(self, genotype: Genotype, score: float) -> None:
        """A result of the present rung; the last one promotes."""
        self.open -= 1
        self.told.append((-score, len(self.told), genotype))
        self.promote()

    def promote(self) -> None:
        """Once everything of this rung is told, its best go on; one at least, so that something is trained whole."""
        if self.fresh or self.waiting or self.open or self.rung >= self.last:
            return
        self.networks = max(1, self.networks // self.eta)
        best = sorted(self.told)[: self.networks]
        self.waiting = [genotype for minus, _, genotype in reversed(best) if minus < inf]
        self.told = []
        self.rung += 1

    @property
    def done(self) -> bool:
        """Nothing to ask and nothing to wait for."""
        return not (self.fresh or self.waiting or self.open)


class SuccessiveHalving:
    """Successive halving: one bracket after the other. While a bracket waits for open trials, the next one begins."""

    def __init__(
        self, space: SearchSpace, rng: Generator, *, evaluations: int | None, eta: int, rungs: int, networks: int = 0
    ) -> None:
        self.fractions, self.eta, self.rungs = rung_fractions(eta, rungs), eta, rungs
        self.fresh = FreshSampler(space, rng)
        self.networks = networks or eta ** (rungs - 1)
        self.brackets: dict[int, Bracket] = {}  # those not done, by tag
        self.opened = 0

    def plan(self, number: int) -> tuple[int, int]:
        """The first rung and the networks of the bracket of that number."""
        return 0, self.networks

    def ask(self) -> Proposal | None:
        """From the oldest bracket that has something to ask. None where the space is exhausted."""
        for tag, bracket in self.brackets.items():
            if bracket.fresh and (proposal := self._draw(tag, bracket)):
                return proposal
            if bracket.waiting:
                bracket.open += 1
                return Proposal(bracket.waiting.pop(), bracket.rung, tag)
        self.brackets = {tag: bracket for tag, bracket in self.brackets.items() if not bracket.done}
        first, networks = self.plan(self.opened)
        self.opened += 1
        bracket = self.brackets[self.opened] = Bracket(first, self.rungs - 1, networks, self.eta)
        return self._draw(self.opened, bracket)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """A result of a bracket."""
        bracket = self.brackets[proposal.tag]
        bracket.tell(proposal.genotype, outcome.score)
        if bracket.done:
            del self.brackets[proposal.tag]

    def _draw(self, tag: int, bracket: Bracket) -> Proposal | None:
        genotype = self.fresh.draw()
        if genotype is None:
            bracket.networks -= bracket.fresh
            bracket.fresh = 0
            bracket.promote()
            return None
        bracket.fresh -= 1
        bracket.open += 1
        return Proposal(genotype, bracket.rung, tag)


class Hyperband(SuccessiveHalving):
    """Brackets in turn, from many short trainings to few whole ones: n = ceil((s_max + 1) / (s + 1) eta^s)."""

    def plan(self, number: int) -> tuple[int, int]:
        """The bracket s = s_max, ..., 0 and again."""
        first = number % self.rungs
        s = self.rungs - 1 - first
        return first, ceil(self.rungs * self.eta**s / (s + 1))


class Asha:
    """Asynchronous halving: promotes wherever the top floor(n / eta) of a rung has one to promote, else starts one."""

    def __init__(self, space: SearchSpace, rng: Generator, *, evaluations: int | None, eta: int, rungs: int) -> None:
        self.fractions, self.eta = rung_fractions(eta, rungs), eta
        self.fresh = FreshSampler(space, rng)
        self.numbers = count(1)
        self.told: list[list[tuple[float, int, Genotype]]] = [[] for _ in range(rungs)]  # minus score, tag; best first
        self.promoted: list[set[int]] = [set() for _ in range(rungs)]

    def ask(self) -> Proposal | None:
        """A promotion from the highest rung that has one, else a new network; None where neither is left.

        Once the space is exhausted, the best of a rung goes on even where the rung is smaller than eta.
        """
        promotion = self._promotion(least=0)
        if promotion is not None:
            return promotion
        genotype = self.fresh.draw()
        return self._promotion(least=1) if genotype is None else Proposal(genotype, 0, next(self.numbers))

    def _promotion(self, least: int) -> Proposal | None:
        for rung in range(len(self.told) - 2, -1, -1):
            for minus, tag, genotype in self.told[rung][: max(least, len(self.told[rung]) // self.eta)]:
                if tag not in self.promoted[rung] and minus < inf:
                    self.promoted[rung].add(tag)
                    return Proposal(genotype, rung + 1, tag)
        return None

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """A result of a rung."""
        insort(self.told[proposal.rung or 0], (-outcome.score, proposal.tag, proposal.genotype))
