"""The sign-flip permutation test of paired differences (Fisher 1935, section 21).

It assumes only that without a difference each sign is as likely as the other.
"""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING, TypeAlias

from netlathe.stats.estimates import SAME
from netlathe.stats.power import ALPHA

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

EXACT = 14  # pairs up to which all 2^n signs are tried
FLIPS = 9_999  # draws of signs beyond that


def sign_flip_p_value(differences: Array, rng: np.random.Generator) -> float:
    """The two-sided p of the mean of paired differences: exact up to 14 pairs, else from 9,999 random flips.

    Random flips count the observed one as well (Phipson and Smyth 2010), so that p is never 0.
    """
    import numpy as np

    n = len(differences)
    if n <= EXACT:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.vstack([np.ones((1, n), np.int64), 1 - 2 * rng.integers(2, size=(FLIPS, n))])
    sums = np.abs(signs @ differences)
    return float(np.mean(sums >= sums[0] - SAME * n))


def fewest_pairs(family: int) -> int:
    """The fewest pairs with which the test can show anything, when Holm corrects for `family` questions."""
    return ceil(log2(2 * family / ALPHA))
