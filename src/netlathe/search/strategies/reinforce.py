"""REINFORCE without a network: one softmax a decision, as in NATS-Bench (Dong and Yang 2020), and Adam in numpy.

Logits start at 1e-3 N(0, 1); the reward is the score; the baseline is a moving average, corrected for its start;
Adam makes the step independent of the score's unit. NATS-Bench's learning rate, 0.01, learns little in 100 evaluations.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netlathe.search.strategy import Proposal, TrialResult

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace

Array = NDArray[np.float64]


class Adam:
    """Kingma and Ba 2015, algorithm 1, on one array that is changed in place."""

    def __init__(self, rate: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.rate, self.betas, self.eps = rate, betas, eps
        self.step = 0
        self.mean: Array | float = 0.0
        self.square: Array | float = 0.0

    def descend(self, parameters: Array, gradient: Array) -> None:
        """One step against the gradient."""
        first, second = self.betas
        self.step += 1
        self.mean = first * self.mean + (1 - first) * gradient
        self.square = second * self.square + (1 - second) * gradient**2
        mean = self.mean / (1 - first**self.step)
        square = self.square / (1 - second**self.step)
        parameters -= self.rate * mean / (np.sqrt(square) + self.eps)


class RewardBaseline:
    """An exponential moving average of rewards, corrected for starting at zero."""

    def __init__(self, decay: float) -> None:
        self.decay, self.sum, self.weight = decay, 0.0, 0.0

    def update(self, reward: float) -> float:
        """The average with this reward in it."""
        self.sum = self.decay * self.sum + (1 - self.decay) * reward
        self.weight = self.decay * self.weight + (1 - self.decay)
        return self.sum / self.weight


class Reinforce:
    """Asks draws of the policy; repeats happen, and grow as it becomes sure."""

    def __init__(
        self,
        space: SearchSpace,
        rng: Generator,
        *,
        evaluations: int | None,
        learning_rate: float,
        decay: float,
        batch: int,
    ) -> None:
        self.space, self.rng, self.batch = space, rng, batch
        counts = np.array([len(decision.options) for decision in space.decisions])
        self.legal = np.arange(counts.max()) < counts[:, None]  # [decision, option]
        self.logits: Array = np.where(self.legal, 1e-3 * rng.standard_normal(self.legal.shape), -inf)
        self.adam, self.baseline = Adam(learning_rate), RewardBaseline(decay)
        self.worst = inf  # the lowest finite score: what a failed network is worth
        self.seen: set[Genotype] = set()
        self.drawn: dict[int, Genotype] = {}  # by tag, before normal form: what the gradient is of
        self.asked = 0
        self.gradients: list[Array] = []

    def policy(self) -> Array:
        """Probabilities [decision, option]."""
        powers = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        policy: Array = powers / powers.sum(axis=1, keepdims=True)
        return policy

    def ask(self) -> Proposal | None:
        """A draw of the policy. None where the whole space was asked."""
        if len(self.seen) >= self.space.size:
            return None
        below = self.policy().cumsum(axis=1)
        drawn = (below < self.rng.random((len(below), 1)) * below[:, -1:]).sum(axis=1)
        self.asked += 1
        raw = tuple(int(i) for i in drawn)
        self.drawn[self.asked] = raw
        genotype = self.space.normal(raw)
        self.seen.add(genotype)
        return Proposal(genotype, tag=self.asked)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """One step of the policy for every `batch` outcomes."""
        raw = self.drawn.pop(proposal.tag, proposal.genotype)
        if outcome.score > -inf:
            self.worst = min(self.worst, outcome.score)
        elif self.worst == inf:
            return  # nothing to compare a failure with
        reward = max(outcome.score, self.worst)
        advantage = reward - self.baseline.update(reward)
        chosen = np.zeros_like(self.logits)
        chosen[np.arange(len(raw)), raw] = 1
        self.gradients.append(-advantage * (chosen - self.policy()))
        if len(self.gradients) == self.batch:
            self.adam.descend(self.logits, np.where(self.legal, np.mean(self.gradients, axis=0), 0))
            self.gradients = []
