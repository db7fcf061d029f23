"""Whether anything was learned: a network that is no better than naming the largest class is not worth deploying."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import Exit, NetlatheError


def refuse_chance(
    name: str, hits: int, labels: NDArray[np.int64], classes: Sequence[str], helps: Sequence[str]
) -> None:
    """Raise NetlatheError where the best candidate gets no more of the images (N,) right than the largest class has."""
    counts = np.bincount(labels, minlength=len(classes))
    largest = int(counts.argmax())
    if hits > counts[largest]:
        return
    share, chance = 100 * hits / len(labels), 100 * counts[largest] / len(labels)
    error = NetlatheError(
        f"nothing was learned: the best candidate, {name}, gets {share:.1f} % of {len(labels):,} held-out images "
        f"right, and naming the largest class, {classes[largest]}, gets {chance:.1f} %",
        code="fit.chance",
        hint=f"what would help: {'; '.join(helps)}; or look at the labels: netlathe inspect",
    )
    error.exit = Exit.CHECK_FAILED
    raise error
