"""Random erasing (Zhong et al. 2017), on normalised images: there 0 is the mean colour and noise has variance 1."""

from __future__ import annotations

import numpy as np

from netlathe.errors import MissingExtra
from netlathe.train.recipe import Augment
from netlathe.train.rng import CounterRNG

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise MissingExtra("torch", "train") from error

AREA = (0.02, 1 / 3)  # share of the image; these and the ratio are the paper's, section 4.2, and everyone's since
RATIO = (0.3, 1 / 0.3)  # height / width
TRIES = 10


def erase(x: Tensor, augment: Augment, rng: CounterRNG) -> Tensor:
    """One rectangle an image, with probability `erase`, becomes the mean colour or normal noise; in place.

    x: (N, C, H, W), normalised. Ten tries to find a rectangle that is smaller than the image, else nothing.
    """
    if not augment.erase:
        return x
    height, width = x.shape[2:]
    share, ratio, places = (
        rng.uniform(f"erase {what}", count).double().numpy()
        for what, count in (("area", TRIES), ("ratio", TRIES), ("place", 2))
    )
    area = (AREA[0] + (AREA[1] - AREA[0]) * share) * height * width
    aspect = np.exp(np.log(RATIO[0]) + np.log(RATIO[1] / RATIO[0]) * ratio)
    heights, widths = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (heights < height) & (widths < width)
    wanted = (rng.uniform("erase prob") < augment.erase).numpy() & fits.any(1)
    for image in wanted.nonzero()[0].tolist():
        attempt = fits[image].argmax()
        h, w = int(heights[image, attempt]), int(widths[image, attempt])
        top, left = int(places[image, 0] * (height - h + 1)), int(places[image, 1] * (width - w + 1))
        x[image, :, top : top + h, left : left + w] = _paint(augment, rng.at([image]), (x.shape[1], h, w)).to(x)
    return x


def _paint(augment: Augment, rng: CounterRNG, shape: tuple[int, int, int]) -> Tensor:
    """What covers a rectangle of an image."""
    if augment.erase_mode == "const":
        return torch.zeros(())
    return rng.normal("erase noise", shape[0] * shape[1] * shape[2]).view(shape)
