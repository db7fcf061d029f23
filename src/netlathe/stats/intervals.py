"""Intervals of shares, of medians, and of whatever can be computed from a resample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb, sqrt
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]


def wilson_interval(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927): it stays within 0..1 and holds for few images."""
    from statistics import NormalDist

    if count == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / count
    middle = share + z * z / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The narrowest pair of k-th smallest and k-th largest value that holds the median with that confidence.

    It assumes no distribution (Conover, Practical Nonparametric Statistics, section 3.2). Fewer than six values cannot
    reach 95 %: they give their smallest and largest.
    """
    ordered, n = sorted(values), len(values)
    # The median lies below the k-th smallest of n values with the chance of fewer than k heads in n coin tosses.
    outside, cut = 0.0, 0
    for k in range((n + 1) // 2):
        outside += 2 * comb(n, k) / 2**n
        if outside > 1 - confidence:
            break
        cut = k
    return ordered[cut], ordered[n - 1 - cut]


def bootstrap_mean(
    values: Array, rng: np.random.Generator, *, resamples: int = 1_000, confidence: float = 0.95
) -> tuple[Array, Array]:
    """The percentile interval of the mean over the first axis (Efron 1979): low and high, each an array."""
    import numpy as np

    n = len(values)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
    return percentile_interval(weights @ values, confidence)


def bootstrap_interval(
    values: Array,
    statistic: Callable[[Array], float],
    rng: np.random.Generator,
    *,
    resamples: int = 200,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """The percentile interval of a statistic of the rows of `values`, from resampled rows (Efron 1979)."""
    n = len(values)
    low, high = percentile_interval([statistic(values[rng.integers(n, size=n)]) for _ in range(resamples)], confidence)
    return float(low), float(high)


def percentile_interval(draws: Array | Sequence[object], confidence: float = 0.95) -> tuple[Array, Array]:
    """The quantiles over the first axis of `draws` between which the share `confidence` of them lies."""
    import numpy as np

    low, high = np.quantile(np.asarray(draws), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high
