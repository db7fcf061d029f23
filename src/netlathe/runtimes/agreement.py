"""How the outputs of two ways to compute one network agree.

The signal-to-noise ratio is 10 log10 (sum of squares of the reference / sum of squares of the difference), over all
outputs of all images. Exact engines reach 102 dB and more; bf16 about 20 to 44 dB, int8 less.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10
from typing import TYPE_CHECKING, Any

from netlathe.errors import NetlatheError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SNR_DB, RELATIVE = 100.0, 1e-4  # either shows that fp32 is exact


@dataclass(frozen=True, slots=True)
class Parity:
    """How outputs agree with those of the reference, on `images` images.

    `relative_error` is the largest difference in units of the largest output of the reference; `same_top1` the share
    of images with the same first class.
    """

    images: int
    snr_db: float
    relative_error: float
    same_top1: float

    @property
    def exact(self) -> bool:
        """Whether they agree as fp32 should."""
        return self.snr_db >= SNR_DB or self.relative_error <= RELATIVE


def compare_outputs(reference: NDArray[np.floating[Any]], outputs: NDArray[np.floating[Any]]) -> Parity:
    """How `outputs` agree with `reference`, both (N, classes). Raises NetlatheError where the shapes differ."""
    import numpy as np

    if reference.shape != outputs.shape or not len(reference):
        message = f"the file gives {outputs.shape}, the network {reference.shape}"
        raise NetlatheError(message, code="deploy.parity")
    a, b = reference.astype(np.float64), outputs.astype(np.float64)
    if not np.isfinite(b).all():
        return Parity(len(a), -inf, inf, float((a.argmax(1) == b.argmax(1)).mean()))
    noise, signal = float(((a - b) ** 2).sum()), float((a**2).sum())
    snr = inf if noise == 0 else 10 * log10(signal / noise) if signal else -inf
    largest = float(np.abs(a).max())
    return Parity(
        len(a),
        snr,
        float(np.abs(a - b).max()) / largest if largest else inf,
        float((a.argmax(1) == b.argmax(1)).mean()),
    )
