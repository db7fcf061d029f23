"""Parity: does the file in its runtime compute what the torch network computes, on real images?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netlathe.arch.trainable import Trainable
from netlathe.deploy.package import Preprocessing
from netlathe.deploy.session import compute_outputs_isolated
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.runtimes.agreement import RELATIVE, SNR_DB, Parity, compare_outputs
from netlathe.runtimes.registry import DEFAULT

if TYPE_CHECKING:
    from netlathe.runtimes.base import Logits, Pixels


def torch_outputs(
    network: Trainable, weights: Mapping[str, Any], preprocessing: Preprocessing, pixels: Pixels
) -> Logits:
    """What the torch network gives in float32 for images (N, r, r, C) uint8: (N, classes)."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    from netlathe.train.augment.pipeline import normalise

    module = network.module(weights).eval()
    outputs = []
    with torch.no_grad():
        for start in range(0, len(pixels), 64):
            part = torch.from_numpy(np.array(pixels[start : start + 64]))
            x = part.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last).div_(255)
            outputs.append(module(normalise(x, preprocessing.mean, preprocessing.std)).float().numpy())
    return np.concatenate(outputs)


def parity(
    network: Trainable,
    weights: Mapping[str, Any],
    preprocessing: Preprocessing,
    path: str | Path,
    pixels: Pixels,
    *,
    runtime: str = DEFAULT,
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


def require_exact(same: Parity, path: str | Path) -> None:
    """The gate of fp32. Raises NetlatheError where a file does not compute what the network computes."""
    if not same.exact:
        raise NetlatheError(
            f"this file does not compute what the torch network computes: {same.snr_db:.1f} dB and a relative error "
            f"of {same.relative_error:.1e} on {same.images} images, where fp32 has {SNR_DB:g} dB or {RELATIVE:g}",
            code="deploy.parity",
            path=str(path),
            hint="a bug in Netlathe or in the runtime: please report the network and both versions",
        )
