"""Zero-cost proxies: guesses of how well an untrained network will learn, each a function network -> number.

params     trainable parameters
macs       multiply-accumulates of one image
jacob_cov  how differently the network's gradients answer to different images: Mellor et al. 2021, Neural Architecture
           Search without Training, https://arxiv.org/abs/2006.04647 (the first version's score, on the Jacobian), as
           in Abdelfattah et al. 2021, https://arxiv.org/abs/2101.08134
synflow    the sum of |weight x gradient| of a network of absolute weights on an image of ones: Tanaka et al. 2020,
           https://arxiv.org/abs/2006.05467, equation 8; its logarithm, because it grows with depth beyond bounds

Higher is better. Do not trust one without its rank correlation on your own space: `docs/spaces.md` has measured ones.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite, log

import numpy as np

from netlathe.arch.network import Network
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError

SMALL = 1e-5  # keeps the logarithm of an eigenvalue finite, as in the authors' code


def params_proxy(network: Network, seed: int = 0) -> float:
    """Trainable parameters."""
    return float(totals(network.body, *network.inputs).params)


def macs_proxy(network: Network, seed: int = 0) -> float:
    """Multiply-accumulates of one image."""
    return float(totals(network.body, *network.inputs).macs)


def jacob_cov(network: Network, seed: int = 0, *, batch: int = 16, images: np.ndarray | None = None) -> float:
    """Minus the sum of log(v + k) + 1 / (v + k) over the eigenvalues v of the correlations of the images' gradients.

    Of random weights and, unless `images` (batch, channels, height, width) are given, normal random images, both by
    `seed`; norms see the batch. -inf where an image has no gradient. Raises NetlatheError for fewer than two images.
    """
    import torch

    from netlathe.lower.torch import to_torch

    if images is None:
        images = np.random.default_rng(seed).standard_normal((batch, *network.input), np.float32)
    if len(images) < 2:
        raise NetlatheError("jacob_cov compares images: it needs two at least", code="search.proxy")
    module = to_torch(network, init="he", seed=seed)
    x = torch.from_numpy(np.ascontiguousarray(images, np.float32)).requires_grad_()
    (slopes,) = torch.autograd.grad(module(x).sum(), x)
    rows = slopes.flatten(1).double().numpy()
    if not np.isfinite(rows).all() or (rows.std(axis=1) == 0).any():
        return -inf
    values = np.linalg.eigvalsh(np.corrcoef(rows)) + SMALL
    return float(-np.sum(np.log(values) + 1 / values)) if (values > 0).all() else -inf


def synflow(network: Network, seed: int = 0) -> float:
    """The logarithm of the sum of |weight x gradient| over convolutions and matrices, norms left out; -inf for none."""
    import torch

    from netlathe.lower.torch import to_torch

    module = to_torch(network, init="he", seed=seed).double().eval()  # in this mode a fresh norm is the identity
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    weights = [parameter for parameter in module.parameters() if parameter.dim() > 1]
    total = module(torch.ones(1, *network.input, dtype=torch.float64)).sum()
    slopes = torch.autograd.grad(total, weights, allow_unused=True)
    flow = sum(float((w.detach() * g).abs().sum()) for w, g in zip(weights, slopes, strict=True) if g is not None)
    return log(flow) if isfinite(flow) and flow > 0 else -inf


PROXIES: dict[str, Callable[..., float]] = {
    "params": params_proxy,
    "macs": macs_proxy,
    "jacob_cov": jacob_cov,
    "synflow": synflow,
}
