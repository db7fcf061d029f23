"""A mean of independent draws with its interval, and p values corrected for the number of questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from netlathe.stats.student import t_half_width, t_p_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

SAME = 1e-9  # points: values closer than this are one value, for an image in a thousand million is none


class Estimate(NamedTuple):
    """A mean over seeds. Without two different values nothing is known of the noise: no interval, and no p."""

    mean: float
    low: float | None  # of the 95 % interval
    high: float | None
    sd: float | None  # of one seed
    p: float | None  # two-sided, that the mean is zero
    seeds: int


def estimate(values: Array) -> Estimate | None:
    """The mean of one value a seed, with the t interval (Student 1908); NaN is left out; None where none is left."""
    import numpy as np

    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        return None
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else None
    if sd is None or sd < SAME:
        return Estimate(mean, None, None, sd, None, n)
    half = t_half_width(sd, n)
    return Estimate(mean, mean - half, mean + half, sd, t_p_value(mean / (sd / n**0.5), n - 1), n)


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
