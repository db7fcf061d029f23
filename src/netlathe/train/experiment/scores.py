"""What the runs of an experiment reached, as an array over its factors and seeds; means with their intervals.

Everything that is estimated is a contrast of cells, computed once a seed and then averaged over seeds, with the t
interval of the mean (Student 1908). Runs of one seed share their data order and their part of the training images, so
this pairing removes what they have in common; and it assumes neither equal noise in all cells nor independence between
the cells of a seed, only that seeds are independent draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.stats.estimates import Estimate, estimate

Array: TypeAlias = NDArray[np.float64]
Level: TypeAlias = str | float

FACTORS = ("network", "recipe", "fraction")  # the first axes of the array; the last one is the seed


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """`values` has the shape (networks, recipes, fractions, seeds), in percent; NaN where a run is missing."""

    networks: tuple[str, ...]
    recipes: tuple[str, ...]
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    values: Array

    @property
    def levels(self) -> tuple[tuple[Level, ...], ...]:
        """The levels of each factor, in the order of FACTORS."""
        return (self.networks, self.recipes, self.fractions)

    @property
    def factors(self) -> tuple[int, ...]:
        """The axes that vary."""
        return tuple(axis for axis, levels in enumerate(self.levels) if len(levels) > 1)

    @property
    def missing(self) -> int:
        """Runs without a score."""
        return int(np.isnan(self.values).sum())

    def cell(self, *at: int) -> Estimate | None:
        """The mean of a cell, at (network, recipe, fraction); None where no run has finished."""
        return estimate(self.values[at])


def collect_scores(
    networks: Sequence[str],
    recipes: Sequence[str],
    fractions: Sequence[float],
    seeds: Sequence[int],
    runs: Iterable[tuple[str, str, float, int, float]],
) -> ScoreTable:
    """Scores from rows (network, recipe, fraction, seed, percent) in any order; what no row names is missing."""
    axes = [{level: i for i, level in enumerate(levels)} for levels in (networks, recipes, fractions, seeds)]
    values = np.full([len(axis) for axis in axes], np.nan)
    for *where, value in runs:
        values[tuple(axis[level] for axis, level in zip(axes, where, strict=True))] = value
    return ScoreTable(tuple(networks), tuple(recipes), tuple(fractions), tuple(seeds), values)


def format_condition(level: Level) -> str:
    """A level for people; numbers are fractions of the training images."""
    return level if isinstance(level, str) else f"{100 * level:g} % of images"
