"""What the runs of a study reached, as an array over its factors and seeds; means with their intervals.

Everything that is estimated is a contrast of cells, computed once a seed and then averaged over seeds, with the t
interval of the mean (Student 1908). Runs of one seed share their data order and their part of the training images, so
this pairing removes what they have in common; and it assumes neither equal noise in all cells nor independence between
the cells of a seed, only that seeds are independent draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.train.experiment.student import t_p, t_quantile

Array: TypeAlias = NDArray[np.float64]
Level: TypeAlias = str | float

FACTORS = ("network", "recipe", "fraction")  # the first axes of the array; the last one is the seed
CONFIDENCE = 0.95
SAME = 1e-9  # points: values closer than this are one value, for an image in a thousand million is none


class Estimate(NamedTuple):
    """A mean over seeds. Without two different values nothing is known of the noise: no interval, and no p."""

    mean: float
    low: float | None  # of the 95 % interval
    high: float | None
    sd: float | None  # of one seed
    p: float | None  # two-sided, that the mean is zero
    seeds: int


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


def estimate(values: Array) -> Estimate | None:
    """The mean of one value a seed; NaN seeds are left out; None where none is left."""
    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        return None
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else None
    if sd is None or sd < SAME:
        return Estimate(mean, None, None, sd, None, n)
    error = sd / n**0.5
    half = error * t_quantile((1 + CONFIDENCE) / 2, n - 1)
    return Estimate(mean, mean - half, mean + half, sd, t_p(mean / error, n - 1), n)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p values corrected for having asked several questions (Holm 1979); None stays None and counts as a question.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(ps) - rank)))
        corrected[i] = highest
    return corrected
