"""How much of the differences between runs is architecture, recipe, amount of data, their interactions, and seed noise.

Analysis of variance by least squares with effect coding: every cell counts the same however many seeds it has, and the
sum of squares of a term is what the fit loses without it (type III; Searle, Linear Models for Unbalanced Data, 1987,
chapter 4). Where all cells have the same seeds this is the textbook decomposition, and the shares add up to the total.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from itertools import combinations
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.stats.estimates import SAME
from netlathe.stats.student import f_p_value
from netlathe.train.experiment.scores import FACTORS, Array, ScoreTable

Term: TypeAlias = tuple[int, ...]  # axes of the scores
Places: TypeAlias = NDArray[np.intp]
NOISE = "seed noise"


class VarianceSource(NamedTuple):
    """A row of the decomposition. `size` is the root mean square of the effects, for the noise the sd of a run."""

    name: str
    df: int
    squares: float  # points squared
    size: float  # points
    share: float  # of the sum of all rows, 0..1
    beyond_noise: float  # the same with the part taken off that noise alone would give: omega squared, at least 0
    f: float | None
    p: float | None


def decompose(scores: ScoreTable) -> tuple[VarianceSource, ...]:
    """Factors, their interactions, then seed noise. Empty where a cell is empty, or where no cell has two runs.

    The noise holds what the runs of one seed share, too: where that is much, the F tests here are cautious, and the
    paired comparisons say more.
    """
    axes = scores.factors
    present = ~np.isnan(scores.values)
    counts = present.sum(-1)
    df_noise = int(counts.sum() - counts.size)
    if not axes or counts.min() == 0 or df_noise == 0:
        return ()
    y, rows, cells = scores.values[present], np.argwhere(present), np.argwhere(counts)
    terms = [term for size in range(1, len(axes) + 1) for term in combinations(axes, size)]
    shape = scores.values.shape
    columns = {term: encode_term(term, shape, rows) for term in terms}
    weights, noise = fit_terms(columns, y)
    squares = {
        term: max(0.0, fit_terms({other: columns[other] for other in terms if other != term}, y)[1] - noise)
        for term in terms
    }
    total = sum(squares.values()) + noise
    variance = noise / df_noise  # of one run around its cell
    sources = []
    for term in terms:
        df = columns[term].shape[1]
        effects = encode_term(term, shape, cells) @ weights[term]
        size = float(np.sqrt((effects**2).mean()))
        f = squares[term] / df / variance if variance > SAME**2 else None
        sources.append(
            VarianceSource(
                " x ".join(FACTORS[axis] for axis in term),
                df,
                squares[term],
                size,
                share=squares[term] / total if total else 0.0,
                beyond_noise=max(0.0, squares[term] - df * variance) / (total + variance) if total else 0.0,
                f=f,
                p=f_p_value(f, df, df_noise) if f is not None else None,
            )
        )
    rest = 1 - sum(source.beyond_noise for source in sources)
    return (
        *sources,
        VarianceSource(NOISE, df_noise, noise, variance**0.5, noise / total if total else 0.0, rest, None, None),
    )


def encode_term(term: Term, shape: tuple[int, ...], rows: Places) -> Array:
    """Columns of a term for rows of places (one a factor): effects that sum to zero over every factor of the term."""
    parts = []
    for axis in term:
        k = shape[axis]
        parts.append(np.vstack([np.eye(k - 1), -np.ones(k - 1)])[rows[:, axis]])
    return reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(len(a), -1), parts)


def fit_terms(columns: Mapping[Term, Array], y: Array) -> tuple[dict[Term, Array], float]:
    """Least squares with a constant: the weights of each term, and the sum of squares that is left."""
    design = np.hstack([np.ones((len(y), 1)), *columns.values()])
    weights = np.asarray(np.linalg.lstsq(design, y, rcond=None)[0], np.float64)
    ends = np.cumsum([1, *(part.shape[1] for part in columns.values())])
    return dict(zip(columns, np.split(weights, ends)[1:], strict=False)), float(((y - design @ weights) ** 2).sum())
