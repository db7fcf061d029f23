"""The probe as the last layer of the network that gave its features: exactly the same logits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netlathe.lower.weights import Array
from netlathe.train.transfer.probe import LinearProbe


def head_tensors(probe: LinearProbe) -> tuple[Array, Array]:
    """Weight (classes, d) and bias (classes,) of a linear layer on plain features: the standardisation is folded in.

    Computed in float64: the mean of a feature may be large beside what it varies by.
    """
    weight = probe.weight.double().numpy()
    mean, std = probe.mean.double().numpy(), probe.std.double().numpy()
    slope = weight[:-1] / std[:, None]
    return slope.T.astype(np.float32), (weight[-1] - mean @ slope).astype(np.float32)


def with_head(tensors: Mapping[str, Array], head: str, probe: LinearProbe) -> dict[str, Array]:
    """The weights of a network by path with the probe in its last layer, which stands at `head` and has a bias."""
    weight, bias = head_tensors(probe)
    return {**tensors, f"{head}.weight": weight.reshape(tensors[f"{head}.weight"].shape), f"{head}.bias": bias}
