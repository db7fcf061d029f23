"""The table that strategies are compared on: every network of a space with what was measured of it, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.search.genotype import Genotype, genotype_text
from netlathe.search.space import SearchSpace
from netlathe.train.experiment.scores import Array


class BenchmarkView(NamedTuple):
    """One run's view of all networks, by row: what its search is told, and what its winner is worth."""

    seen: Array
    worth: Array


@dataclass(frozen=True, eq=False)
class BenchmarkTable:
    """The rows of a table are its networks: isomorphic ones were each trained, and are two networks here.

    `trained` has the shape (networks, trainings), in percent: what a search may see.

    `judged`: what a winner is worth where that is another score, such as the accuracy on test images; else it is the
    mean of the trainings that the search did not see, or of all where it saw their mean.
    """

    name: str
    space: SearchSpace
    genotypes: Sequence[Genotype]
    trained: Array
    judged: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", replace(self.space, merge=genotype_text))

    @cached_property
    def rows(self) -> dict[Genotype, int]:
        """The row of every genotype."""
        return {genotype: row for row, genotype in enumerate(self.genotypes)}

    @cached_property
    def values(self) -> Array:
        """What every network is worth when everything is known of it."""
        return self.trained.mean(1) if self.judged is None else self.judged

    @property
    def best(self) -> float:
        """The most that can be found: regret is counted from here."""
        return float(self.values.max())

    def describe_view(self, noisy: bool) -> str:
        """What a search is told of a network, in words."""
        if self.judged is not None:
            return "the validation accuracy of its training; winners are judged by test accuracy"
        return (
            "one training, the same in a run; winners are judged by the others"
            if noisy
            else "the mean of its trainings"
        )

    def clean(self) -> BenchmarkView:
        """The search sees the mean of all trainings."""
        return BenchmarkView(self.trained.mean(1), self.values)

    def noisy(self, rng: np.random.Generator) -> BenchmarkView:
        """The search sees one training of every network, always the same in a run; the others tell its worth.

        Raises NetlatheError where networks were trained once.
        """
        n, seeds = self.trained.shape
        if seeds < 2:
            raise NetlatheError(
                f"{self.name} has one training of each network: there is no other to judge a noisy search by",
                code="search.noisy",
                hint="leave --noisy out, or use a table with several seeds, such as macro",
            )
        seen = self.trained[np.arange(n), rng.integers(seeds, size=n)]
        others = (self.trained.sum(1) - seen) / (seeds - 1)
        return BenchmarkView(seen, others if self.judged is None else self.judged)
