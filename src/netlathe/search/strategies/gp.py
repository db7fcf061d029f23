"""Our strategy for small budgets: a Gaussian process over genotypes, and expected improvement near the best.

Networks are alike as far as their decisions are equal: k(a, b) = exp(-scale * decisions that differ). The process is
fitted to the ranks of the scores, so their unit and a long tail of bad networks do not matter. What is asked next is
the network of the highest expected improvement (Mockus 1978; Jones et al. 1998) among the neighbours of the best,
mutants of these and random draws. Where networks failed or broke a limit, improvement counts by how likely a network
is not to, which the same process says (Gardner et al. 2014). Nothing is known of MACs or latency.

What keeps a step about a millisecond: the inverse grows by a border, improvement is computed for a few candidates only,
and the process has a largest size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netlathe.search.strategies.fresh import FreshSampler
from netlathe.search.strategy import Proposal, TrialResult

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace

Array = NDArray[np.floating[Any]]

ELITES = 5  # the best networks, whose neighbours are candidates
DRAWS = 50  # mutants of these, and random networks, drawn a step
CHANGES = 3  # decisions that a mutant redraws, on average
MAX_CANDIDATES = 256  # candidates a step, at most: a space of many decisions has a thousand neighbours
GREEDY, CURIOUS = 16, 32  # candidates whose improvement is computed: of the highest mean, and any others
SCALES = (2.0, 4.0, 8.0)  # times 1 / decisions
NOISES = (1e-3, 1e-1)  # variance of an observation that the process does not explain
GROWTH = 1.3  # scale and noise are fitted again when there are so many times more networks
MAX_NETWORKS = 200  # networks in the process; beyond, the best half of it and random others stay


class GaussianProcess:
    """Asks no network twice. With several open trials, each is the best of what is not asked yet."""

    def __init__(self, space: SearchSpace, rng: Generator, *, evaluations: int | None, first: int) -> None:
        self.space, self.rng, self.first = space, rng, first
        self.counts = np.array([len(decision.options) for decision in space.decisions])
        self.offsets = np.cumsum(self.counts) - self.counts
        self.fresh = FreshSampler(space, rng)
        self.seen: set[Genotype] = set()
        self.asked, self.told = 0, 0
        self.genotypes: list[Genotype] = []  # in the process
        self.scores: list[float] = []
        self.codes = self.code([])  # [networks, options], one-hot
        self.inverse: Array = np.zeros((0, 0))  # of the covariance of what was told
        self.scale, self.noise = 0.0, 0.0
        self.fit_at = 0.0
        self.near: dict[Genotype, list[Genotype]] = {}  # neighbours of networks that were among the best

    def ask(self) -> Proposal | None:
        """A random network at first, then the most promising one. None where the space is exhausted."""
        self.asked += 1
        chosen = self.choose() if self.asked > self.first and sum(map(math.isfinite, self.scores)) > 1 else None
        genotype = chosen or self.fresh.draw()
        if genotype is None:
            return None
        self.seen.add(genotype)
        return Proposal(genotype)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """The network joins the process."""
        code = self.code([proposal.genotype])
        if len(self.inverse):
            self.inverse = grow_inverse(self.inverse, self.kernel(self.codes, code)[:, 0], 1 + self.noise)
        self.told += 1
        self.genotypes.append(proposal.genotype)
        self.scores.append(outcome.score)
        self.codes = np.concatenate([self.codes, code])

    def code(self, genotypes: list[Genotype]) -> Array:
        """Genotypes as one-hot rows."""
        codes = np.zeros((len(genotypes), int(self.counts.sum())), np.float32)
        if genotypes:
            codes[np.arange(len(genotypes))[:, None], np.array(genotypes) + self.offsets] = 1
        return codes

    def kernel(self, a: Array, b: Array) -> Array:
        """Covariances of two sets of one-hot rows."""
        covariances: Array = np.exp(np.float32(self.scale) * (a @ b.T - np.float32(len(self.counts))))
        return covariances

    def choose(self) -> Genotype | None:
        """The candidate of the highest expected improvement; None where all candidates are known."""
        if len(self.scores) > MAX_NETWORKS:
            self.forget()
        works = np.isfinite(self.scores)
        target = np.zeros(len(works))  # a failed network is an average one, in a place where networks fail
        target[works] = normal_ranks(np.array(self.scores)[works])
        if self.told >= self.fit_at:
            self.fit(target)
            self.fit_at = self.told * GROWTH
        weights = self.inverse @ target
        candidates = self.candidates()
        if not candidates:
            return None
        covariance = self.kernel(self.code(candidates), self.codes)
        mean = covariance @ weights
        order = np.argsort(-mean, kind="stable")
        order[GREEDY:] = self.rng.permutation(order[GREEDY:])
        order = order[: GREEDY + CURIOUS]
        covariance, mean = covariance[order], mean[order]
        left = np.maximum(1 - np.einsum("ij,ij->i", covariance @ self.inverse, covariance), 1e-9)
        spread = np.sqrt(left * max(float(target @ weights) / len(target), 1e-9))
        value = expected_improvement(mean - target.max(), spread)
        if not works.all():
            share = works.mean()
            value *= np.clip(share + covariance @ (self.inverse @ (works - share)), 0.01, 1)
        for i in np.argsort(-value, kind="stable"):
            genotype = self.space.normal(candidates[order[i]])
            self.seen.add(candidates[order[i]])
            if self.fresh.mark(genotype):
                return genotype
        return None

    def candidates(self) -> list[Genotype]:
        """Neighbours of the best, mutants of the best and random draws; nothing that was asked."""
        best = [self.genotypes[i] for i in np.argsort(-np.array(self.scores), kind="stable")[:ELITES]]
        candidates: dict[Genotype, None] = {}
        for genotype in best:
            if genotype not in self.near:
                self.near[genotype] = list(self.space.neighbours(genotype))
            candidates.update(dict.fromkeys(self.near[genotype]))
        drawn = self.rng.integers(self.counts, size=(2 * DRAWS, len(self.counts)))
        parents = np.array(best)[self.rng.integers(len(best), size=DRAWS)]
        change = self.rng.random(parents.shape) < CHANGES / len(self.counts)
        drawn[:DRAWS] = np.where(change, drawn[:DRAWS], parents)
        candidates.update(dict.fromkeys(map(tuple, drawn.tolist())))
        new = [genotype for genotype in candidates if genotype not in self.seen]
        if len(new) <= MAX_CANDIDATES:
            return new
        return [new[i] for i in self.rng.permutation(len(new))[:MAX_CANDIDATES]]

    def fit(self, target: Array) -> None:
        """The scale and noise of the highest marginal likelihood, the process's variance taken out of it."""
        alike = self.codes.astype(float) @ self.codes.T - len(self.counts)
        best = math.inf
        for scale in SCALES:
            base = np.exp(scale / len(self.counts) * alike)
            for noise in NOISES:
                covariance = base + noise * np.eye(len(target))
                inverse = np.linalg.inv(covariance)
                loss = len(target) * math.log(target @ inverse @ target) + np.linalg.slogdet(covariance)[1]
                if loss < best:
                    best, self.scale, self.noise = loss, scale / len(self.counts), noise
                    self.inverse = inverse

    def forget(self) -> None:
        """The best half of what fits and a random quarter stay."""
        order = np.argsort(-np.array(self.scores), kind="stable")
        others = self.rng.choice(order[MAX_NETWORKS // 2 :], MAX_NETWORKS // 4, replace=False)
        keep = sorted([*order[: MAX_NETWORKS // 2].tolist(), *others.tolist()])
        self.genotypes = [self.genotypes[i] for i in keep]
        self.scores = [self.scores[i] for i in keep]
        self.codes = self.codes[keep]
        self.inverse = np.linalg.inv(self.kernel(self.codes, self.codes) + self.noise * np.eye(len(keep)))


def normal_ranks(scores: Array) -> Array:
    """Scores as logits of their mean rank, about normal, with variance 1. All equal: ones."""
    ordered = np.sort(scores)
    share = (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / (2 * len(scores))
    logits = np.log(share / (1 - share))
    ranks: Array = (logits + 1e-9) / max(float(logits.std()), 1e-9)
    return ranks


def expected_improvement(gain: Array, spread: Array) -> Array:
    """Expected improvement of normal beliefs: `gain` is the mean above the best, `spread` the standard deviation."""
    z = gain / spread
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([math.erfc(-x / math.sqrt(2)) / 2 for x in z])
    gains: Array = spread * (z * below + density)
    return gains


def grow_inverse(inverse: Array, column: Array, corner: float) -> Array:
    """The inverse of a symmetric matrix that grows by one row: from the inverse before, in n^2 (Schur complement)."""
    n = len(inverse)
    turned = inverse @ column
    left = max(corner - float(column @ turned), 1e-9)
    grown = np.empty((n + 1, n + 1))
    grown[:n, :n] = inverse + np.outer(turned, turned / left)
    grown[:n, n] = grown[n, :n] = -turned / left
    grown[n, n] = 1 / left
    return grown
