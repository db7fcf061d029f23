"""Parity: does the file in its runtime compute what the torch network computes, on real images?

The signal-to-noise ratio is 10 log10 (sum of squares of the reference / sum of squares of the difference), over all
outputs of all images. Exact engines reach 102 dB and more; bf16 about 20 to 44 dB, int8 less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log10
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.network import Network
from netlathe.deploy.package import Preprocessing
from netlathe.deploy.session import Logits, Pixels, compute_outputs_isolated
from netlathe.errors import MissingExtra, NetlatheError

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


def compare_outputs(reference: NDArray[np.floating[Any]], found: NDArray[np.floating[Any]]) -> Parity:
    """How `found` agrees with `reference`, both (N, classes). Raises NetlatheError where the shapes differ."""
    if reference.shape != found.shape or not len(reference):
        message = f"the file gives {found.shape}, the network {reference.shape}"
        raise NetlatheError(message, code="deploy.parity")
    a, b = reference.astype(np.float64), found.astype(np.float64)
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


def torch_outputs(network: Network, weights: Mapping[str, Any], preprocessing: Preprocessing, pixels: Pixels) -> Logits:
    """What the torch network gives in float32 for images (N, r, r, C) uint8: (N, classes)."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    from netlathe.lower.torch import to_torch
    from netlathe.train.augment.pipeline import normalise

    module = to_torch(network, weights).eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(pixels), 64):
            part = torch.from_numpy(np.array(pixels[start : start + 64]))
            x = part.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last).div_(255)
            found.append(module(normalise(x, preprocessing.mean, preprocessing.std)).float().numpy())
    return np.concatenate(found)


def parity(
    network: Network,
    weights: Mapping[str, Any],
    preprocessing: Preprocessing,
    path: str | Path,
    pixels: Pixels,
    *,
    runtime: str = "onnxruntime",
    precision: str | None = None,
    threads: int = 1,
) -> Parity:
    """The torch network against a file under a runtime, loaded in a process of its own, on images (N, r, r, C).

    Raises process.call.CallFailed where the runtime crashes.
    """
    reference = torch_outputs(network, weights, preprocessing, pixels)
    return compare_outputs(
        reference, compute_outputs_isolated(path, pixels, runtime=runtime, precision=precision, threads=threads)
    )


def require_exact(found: Parity, path: str | Path) -> None:
    """The gate of fp32. Raises NetlatheError where a file does not compute what the network computes."""
    if not found.exact:
        raise NetlatheError(
            f"this file does not compute what the torch network computes: {found.snr_db:.1f} dB and a relative error "
            f"of {found.relative_error:.1e} on {found.images} images, where fp32 has {SNR_DB:g} dB or {RELATIVE:g}",
            code="deploy.parity",
            path=str(path),
            hint="a bug in Netlathe or in the runtime: please report the network and both versions",
        )
