"""How far two measures rank the same things alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def kendall_tau(a: Sequence[float] | NDArray[np.float64], b: Sequence[float] | NDArray[np.float64]) -> float:
    """Kendall's tau-b, which allows for ties: 1 the same order, -1 the reverse one."""
    from scipy.stats import kendalltau

    return float(kendalltau(a, b).statistic)
