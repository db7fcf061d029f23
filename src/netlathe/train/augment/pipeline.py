"""From uint8 pixels to network inputs: `augment_images`, `normalise` and `erase` to train, `prepare_images` to test.

Which random number goes where is said here and in policy.py: every image draws its own, by name (`train.rng`), so an
image's pixels do not depend on its batch. Operations come in the order of the fields of `Augment`.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.train.augment import colour
from netlathe.train.augment.erase import erase
from netlathe.train.augment.geometry import (
    center_crop,
    pad_and_crop,
    random_boxes,
    resample,
    resize_for_test,
    resize_short_side,
    round_to_bytes,
)
from netlathe.train.augment.grouped import apply_grouped
from netlathe.train.augment.policy import augment_by_policy, modes_of
from netlathe.train.recipe import Augment, Evaluate
from netlathe.train.rng import CounterRNG

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise MissingExtra("torch", "train") from error

__all__ = ["augment_images", "erase", "normalise", "prepare_images"]

CHUNK = 256 * 64 * 64  # pixels that go through at a time: many images of a kind together, and memory stays bounded
BLUR = (0.1, 2.0)  # px of standard deviation, SimCLR's


def augment_images(pixels: Tensor, augment: Augment, resolution: int, rng: CounterRNG) -> Tensor:
    """Training images: (N, H, W, C) uint8 -> (N, C, r, r) float32, channels last, of values 0..1; C is 1 or 3.

    All of the recipe but erasing, which comes after `normalise`. Raises NetlatheError for pixels of another shape or
    type, or where the recipe does not resize and the size is another.
    """
    _check(pixels)
    if len(rng) != len(pixels):
        raise NetlatheError(f"{len(pixels)} images and numbers for {len(rng)}", code="augment.draws")
    out = torch.empty((len(pixels), resolution, resolution, pixels.shape[3]), device=pixels.device)
    few = max(1, CHUNK // resolution**2)
    for start in range(0, len(pixels), few):
        rows = slice(start, start + few)
        _augment(out[rows], pixels[rows], augment, rng.at(rows))
    return out.permute(0, 3, 1, 2)


def _augment(out: Tensor, pixels: Tensor, augment: Augment, rng: CounterRNG) -> None:
    """Some of the images, into their place: (n, r, r, C) float32."""
    pixels = crop(pixels, augment, out.shape[1], rng)
    if augment.flip:
        pixels = apply_grouped(pixels, _happens(rng, "flip", augment.flip), lambda x, on, _: x.flip(2) if on else x)
    if augment.policy == "none" and not (any(augment.jitter) or augment.lighting or augment.grey or augment.blur):
        torch.div(pixels, 255, out=out)
    else:
        planes = recolour(pixels.permute(0, 3, 1, 2).contiguous(), augment, rng)
        torch.div(torch.stack(planes.unbind(1), 3), 255, out=out)


def crop(pixels: Tensor, augment: Augment, resolution: int, rng: CounterRNG) -> Tensor:
    """The part of each image that is shown: (N, H, W, C) -> (N, r, r, C) uint8."""
    height, width = pixels.shape[1:3]
    modes = modes_of(augment, rng, "crop mode")
    if augment.crop == "rrc":
        boxes = random_boxes(rng, height, width, augment.scale, augment.ratio)
        return resample(pixels, boxes, (resolution, resolution), modes)
    if augment.crop == "none":
        if (height, width) != (resolution, resolution):
            raise NetlatheError(
                f"images of {height} x {width} px, and a recipe for {resolution} px that does not resize",
                code="augment.size",
                path="augment.crop",
                hint="crop = 'resize', 'rrc' or 'pad' resizes",
            )
        return pixels
    if min(height, width) != resolution:
        pixels = apply_grouped(pixels, modes, lambda x, mode, _: resize_short_side(x, resolution, mode))
    if augment.crop == "pad":
        return pad_and_crop(pixels, resolution, augment.pad, augment.pad_mode, rng)
    return center_crop(pixels, resolution)


def recolour(x: Tensor, augment: Augment, rng: CounterRNG) -> Tensor:
    """Policy, jitter, lighting, grey and blur: (N, C, r, r) uint8, the same shape out. Each rounds, as in Pillow."""
    if augment.policy != "none":
        x = augment_by_policy(x, augment, rng)
    if any(augment.jitter):
        x = jitter(x, augment, rng)
    if augment.lighting:
        x = round_to_bytes(colour.lighting(x.float(), rng.normal("lighting", 3) * augment.lighting))
    if augment.grey:
        on = _happens(rng, "grey", augment.grey)
        x = apply_grouped(x, on, lambda y, on, _: round_to_bytes(colour.grey(y.float())).expand_as(y) if on else y)
    if augment.blur:
        on = _happens(rng, "blur", augment.blur)
        sigma = BLUR[0] + (BLUR[1] - BLUR[0]) * rng.uniform("blur sigma")
        x = apply_grouped(x, on, lambda y, on, at: round_to_bytes(colour.blur(y.float(), sigma[at])) if on else y)
    return x


def jitter(x: Tensor, augment: Augment, rng: CounterRNG) -> Tensor:
    """Brightness, contrast, saturation and hue, in an order of the image's own, with `jitter_prob`: uint8."""
    operations = (colour.brightness, colour.contrast, colour.saturation, colour.hue)
    strength = torch.tensor(augment.jitter)
    low, high = (1 - strength).clamp(min=0), 1 + strength
    low[3], high[3] = -strength[3], strength[3]
    factor = low + (high - low) * rng.uniform("jitter", 4)

    def one(y: Tensor, turns: tuple[int, ...], at: Tensor) -> Tensor:
        z = y.float()
        for kind in turns:
            z = operations[kind](z, factor[at, kind])
        return round_to_bytes(z) if turns else y

    turns = rng.uniform("jitter order", 4).argsort(stable=True, dim=1).tolist()
    on = _happens(rng, "jitter prob", augment.jitter_prob)
    mine = (tuple(kind for kind in row if augment.jitter[kind]) if o else () for row, o in zip(turns, on, strict=True))
    return apply_grouped(x, mine, one)


def normalise(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(x - mean) / std by channel: (N, C, H, W), channels last."""
    count, channels, height, width = x.shape
    # Rows of width x channels: a last axis of 3 would be worked through by threes.
    rows = x.permute(0, 2, 3, 1).reshape(-1, width * channels)
    centre, scale = (torch.tensor(list(part), dtype=x.dtype, device=x.device).repeat(width) for part in (mean, std))
    return (rows - centre).div_(scale).view(count, height, width, channels).permute(0, 3, 1, 2)


def prepare_images(pixels: Tensor, evaluate: Evaluate, resolution: int) -> Tensor:
    """Test images: (N, H, W, C) uint8 -> (N, C, r, r) float32 0..1, channels last; nothing random.

    Resized, antialiased, so that the short side, or with `evaluate.shape` stretch each side, has resolution /
    `evaluate.crop` px, then cut in the middle.
    """
    _check(pixels)
    side = int(resolution / evaluate.crop + 1e-6)  # timm rounds down; 224 / (224 / 232) is to be 232
    resized = resize_for_test(pixels, side, evaluate.interpolation, stretch=evaluate.shape == "stretch")
    return _scale(center_crop(resized, resolution).permute(0, 3, 1, 2))


def _scale(x: Tensor) -> Tensor:
    """uint8 -> float32 0..1, channels last: (N, C, H, W)."""
    return x.to(torch.float32, memory_format=torch.channels_last).div_(255)


def _happens(rng: CounterRNG, what: str, share: float) -> list[bool]:
    happens: list[bool] = (rng.uniform(what) < share).tolist()
    return happens


def _check(pixels: Tensor) -> None:
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
        raise NetlatheError(
            f"images must be uint8 of shape (N, height, width, 1 or 3), not {pixels.dtype} of {tuple(pixels.shape)}",
            code="augment.pixels",
        )
