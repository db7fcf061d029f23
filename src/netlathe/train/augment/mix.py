"""Mixup (Zhang et al. 2017) and CutMix (Yun et al. 2019) of neighbours: image i is mixed with image i^1.

Fixed pairs keep a batch the same when it is cut into even slices for several processes; who is whose neighbour is
random all the same, for the order of the images is. Both images of a pair share lambda, and the box.
"""

from __future__ import annotations

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.train.recipe import Mix
from netlathe.train.rng import CounterRNG

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise MissingExtra("torch", "train") from error


def mix_images(x: Tensor, targets: Tensor, mix: Mix, rng: CounterRNG) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and soft targets (N, K), mixed by pairs; the last of an odd number stays as it is.

    With CutMix lambda becomes the exact share of pixels that an image keeps, since the image's edge cuts some boxes.
    Raises NetlatheError where the two do not agree on N.
    """
    if len(x) != len(targets):
        raise NetlatheError(f"{len(x)} images and {len(targets)} targets", code="augment.mix")
    pairs = len(x) // 2
    if not (mix.mixup or mix.cutmix) or not pairs:
        return x, targets
    kept, share = (
        weight.to(x.device) for weight in mixing_weights(x.shape[2], x.shape[3], mix, rng.at(slice(0, 2 * pairs, 2)))
    )
    return _mix_pairs(x, kept[:, None]), _mix_pairs(targets, share[:, None])


def _mix_pairs(x: Tensor, kept: Tensor) -> Tensor:
    """Each of a pair times `kept`, plus its neighbour times the rest. Weights 0 and 1 copy exactly."""
    pairs = x.clone(memory_format=torch.preserve_format)
    end = 2 * len(kept)
    left, right, rest = x[0:end:2], x[1:end:2], 1 - kept
    pairs[0:end:2] = (left * kept).add_(right * rest)
    pairs[1:end:2] = (right * kept).add_(left * rest)
    return pairs


def mixing_weights(height: int, width: int, mix: Mix, rng: CounterRNG) -> tuple[Tensor, Tensor]:
    """What each pair keeps of itself: by pixel, (P, H, W), and of its target, (P,). float32."""
    cut = (
        rng.uniform("mix switch") < mix.switch
        if mix.mixup and mix.cutmix
        else torch.full((len(rng),), bool(mix.cutmix))
    )
    lam = torch.where(cut, rng.beta("cutmix", mix.cutmix or 1), rng.beta("mixup", mix.mixup or 1))
    lam = torch.where(rng.uniform("mix prob") < mix.prob, lam, 1.0)
    side = torch.sqrt(1 - lam)
    inside = [
        _span(length, side, place)
        for length, place in zip((height, width), rng.uniform("cutmix place", 2).T, strict=True)
    ]
    box = inside[0][:, :, None] & inside[1][:, None, :]
    by_pixel = torch.where(cut[:, None, None], 1 - box.float(), lam[:, None, None])
    share = torch.where(cut, 1 - box.sum((1, 2)) / (height * width), lam)
    return by_pixel, share


def _span(length: int, share: Tensor, place: Tensor) -> Tensor:
    """Positions within a share of the length round a place, cut at the ends: (P, length)."""
    size, centre = (share * length).floor()[:, None], (place * length).floor()[:, None]
    start = centre - (size / 2).floor()
    at = torch.arange(length)
    return (at >= start) & (at < start + size)
