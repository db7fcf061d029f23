"""Where pixels come from: crops, mirroring, resizing, affine maps. Integers in, integers out.

Resizing antialiases, as Pillow does and with it every published recipe: each output pixel averages all input pixels
below it. Torch has that for uint8 images as an integer kernel (`F.interpolate` with `antialias`), one call an image
because every image has its own box; it is faster than sampling the batch with `grid_sample`, which skips pixels, and an
image's result cannot depend on the rest of its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.train.rng import CounterRNG

try:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtra("torch", "train") from error

Box = tuple[int, int, int, int]  # top, left, height, width
TRIES = 10


def random_boxes(
    rng: CounterRNG, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> list[Box]:
    """Boxes of a random share `scale` of the area and a random width / height `ratio` (Szegedy et al. 2014, section 6).

    As everyone has drawn them since: the ratio uniform in its logarithm, ten tries, and if none fits the largest
    centred box within the bounds of `ratio`.
    """
    area = height * width * _between(scale, rng.uniform("crop area", TRIES))
    aspect = np.exp(_between((np.log(ratio[0]), np.log(ratio[1])), rng.uniform("crop ratio", TRIES)))
    heights, widths = np.rint(np.sqrt(area / aspect)), np.rint(np.sqrt(area * aspect))
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first = np.arange(len(rng)), fits.argmax(1)
    has_fit = fits[first]
    whole = np.clip(width / height, *ratio)
    h = np.where(has_fit, heights[first], min(height, round(width / whole)))
    w = np.where(has_fit, widths[first], min(width, round(height * whole)))
    places = rng.uniform("crop place", 2).double().numpy()
    top = np.where(has_fit, np.floor(places[:, 0] * (height - h + 1)), (height - h) // 2)
    left = np.where(has_fit, np.floor(places[:, 1] * (width - w + 1)), (width - w) // 2)
    return [(int(a), int(b), int(c), int(d)) for a, b, c, d in zip(top, left, h, w, strict=True)]


def _between(bounds: tuple[float, float], share: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return bounds[0] + (bounds[1] - bounds[0]) * share.double().numpy()


def resample(pixels: Tensor, boxes: Sequence[Box], size: tuple[int, int], modes: Sequence[str]) -> Tensor:
    """Each image's box resized to `size`: (N, H, W, C) uint8 -> (N, *size, C) uint8. A mode an image."""
    images = pixels.permute(0, 3, 1, 2).chunk(len(pixels))
    parts = [
        resize(image[:, :, top : top + height, left : left + width], size, mode)
        for image, (top, left, height, width), mode in zip(images, boxes, modes, strict=True)
    ]
    return torch.cat(parts).permute(0, 2, 3, 1)


def resize(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """(N, C, H, W) uint8 -> (N, C, *size) uint8 by nearest, bilinear or bicubic; the last two antialias."""
    if images.shape[2:] == size:
        return images
    if mode == "nearest":
        return F.interpolate(images, size, mode="nearest-exact")
    if images.device.type == "cpu":
        return F.interpolate(images, size, mode=mode, antialias=True)
    return round_to_bytes(F.interpolate(images.float(), size, mode=mode, antialias=True))


def resize_short_side(pixels: Tensor, side: int, mode: str) -> Tensor:
    """The whole images resized so that the short side has `side` px: (N, H, W, C) uint8, the same shape of four."""
    height, width = pixels.shape[1:3]
    size = (side, side * width // height) if height <= width else (side * height // width, side)
    return resize(pixels.permute(0, 3, 1, 2), size, mode).permute(0, 2, 3, 1)


def resize_for_test(pixels: Tensor, side: int, mode: str, *, stretch: bool) -> Tensor:
    """The same, or, to `stretch` them, with both sides of `side` px."""
    if not stretch:
        return resize_short_side(pixels, side, mode)
    return resize(pixels.permute(0, 3, 1, 2), (side, side), mode).permute(0, 2, 3, 1)


def center_crop(pixels: Tensor, side: int) -> Tensor:
    """The square in the middle: (N, H, W, C) -> (N, side, side, C)."""
    top, left = (round((length - side) / 2) for length in pixels.shape[1:3])
    return pixels[:, top : top + side, left : left + side]


def pad_and_crop(pixels: Tensor, side: int, pad: int, mode: Literal["zero", "reflect"], rng: CounterRNG) -> Tensor:
    """A random square of the images with `pad` px more on each side: (N, H, W, C) uint8 -> (N, side, side, C).

    He et al. 2015, section 4.2, with zeros; `reflect` mirrors at the border pixels, which are not repeated. Raises
    NetlatheError for a border that is wider than the image behind it.
    """
    height, width = pixels.shape[1:3]
    if mode == "reflect" and pad >= min(height, width):
        raise NetlatheError(f"{pad} px cannot be reflected at images of {height} x {width}", code="augment.pad")
    if mode == "zero":
        pixels = F.pad(pixels, (0, 0, pad, pad, pad, pad))
    else:
        for axis, length in ((1, height), (2, width)):
            before, behind = pixels.narrow(axis, 1, pad), pixels.narrow(axis, length - 1 - pad, pad)
            pixels = torch.cat([before.flip(axis), pixels, behind.flip(axis)], axis)
    room = torch.tensor([height + 2 * pad - side + 1, width + 2 * pad - side + 1])
    places = (rng.uniform("pad place", 2).double() * room).floor().int().tolist()
    # One copy an image: gathering all pixels by their numbers takes several times as long.
    cuts = zip(pixels.unbind(), places, strict=True)
    return torch.stack([image[top : top + side, left : left + side] for image, (top, left) in cuts])


def round_to_bytes(x: Tensor) -> Tensor:
    """float 0..255 -> uint8, to the nearest, in place where it can."""
    return x.round_().clamp_(0, 255).to(torch.uint8)


# Affine maps, from the magnitude of each image to (N, 6): an output pixel at (x, y) shows the input at
# (ax + by + c, dx + ey + f), in px from the top left corner of the image.


def _matrices(magnitude: Tensor, **terms: Tensor) -> Tensor:
    zero, one = torch.zeros_like(magnitude), torch.ones_like(magnitude)
    return torch.stack([terms.get(name, one if name in "ae" else zero) for name in "abcdef"], 1)


def shear_x(magnitude: Tensor, height: int, width: int) -> Tensor:
    """Rows move in proportion to their height."""
    return _matrices(magnitude, b=magnitude)


def shear_y(magnitude: Tensor, height: int, width: int) -> Tensor:
    """Columns move in proportion to their place."""
    return _matrices(magnitude, d=magnitude)


def translate_x(magnitude: Tensor, height: int, width: int) -> Tensor:
    """To the right, in px."""
    return _matrices(magnitude, c=-magnitude)


def translate_y(magnitude: Tensor, height: int, width: int) -> Tensor:
    """Down, in px."""
    return _matrices(magnitude, f=-magnitude)


def translate_x_share(magnitude: Tensor, height: int, width: int) -> Tensor:
    """To the right, in shares of the width."""
    return translate_x(magnitude * width, height, width)


def translate_y_share(magnitude: Tensor, height: int, width: int) -> Tensor:
    """Down, in shares of the height."""
    return translate_y(magnitude * height, height, width)


def rotate(magnitude: Tensor, height: int, width: int) -> Tensor:
    """About the centre, in degrees, against the clock."""
    angle = np.deg2rad(magnitude.double().numpy())
    cos, sin = torch.from_numpy(np.cos(angle)), torch.from_numpy(np.sin(angle))
    x, y = width / 2, height / 2
    turned = _matrices(magnitude, a=cos, b=-sin, c=x - cos * x + sin * y, d=sin, e=cos, f=y - sin * x - cos * y)
    return turned.to(magnitude.dtype)


MAPS: Mapping[str, Callable[[Tensor, int, int], Tensor]] = {
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
    "translate_x_share": translate_x_share,
    "translate_y_share": translate_y_share,
    "rotate": rotate,
}


def warp(x: Tensor, matrices: Tensor, mode: str, fill: int) -> Tensor:
    """Images seen through affine maps, `fill` where there is nothing: (N, C, H, W) uint8, and (N, 6).

    Nothing is antialiased: none of these maps shrinks. The grid is made of single products and sums, so that its bits
    do not depend on the size of the batch.
    """
    count, _, height, width = x.shape
    a, b, c, d, e, f = matrices.to(x.device, torch.float32)[:, :, None, None].unbind(1)
    columns = torch.arange(width, device=x.device) + 0.5
    rows = torch.arange(height, device=x.device)[:, None] + 0.5
    grid = torch.empty(count, height, width, 2, device=x.device)
    grid[..., 0] = (a * columns + b * rows + c) * (2 / width) - 1
    grid[..., 1] = (d * columns + e * rows + f) * (2 / height) - 1
    shown = F.grid_sample(x.float() - fill if fill else x.float(), grid, mode=mode, align_corners=False)
    return round_to_bytes(shown.add_(fill) if fill else shown)
