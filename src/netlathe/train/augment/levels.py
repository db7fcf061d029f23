"""Operations on levels: uint8 in, uint8 out, (N, C, H, W), with one magnitude an image, (N,). As Pillow's ImageOps."""

from __future__ import annotations

from netlathe.errors import MissingExtra
from netlathe.train.augment.colour import of_images
from netlathe.train.augment.geometry import round_to_bytes

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise MissingExtra("torch", "train") from error


def invert(x: Tensor) -> Tensor:
    """White for black."""
    return ~x


def posterize(x: Tensor, bits: Tensor) -> Tensor:
    """Only the `bits` highest bits of each level stay; 8: all, 0: black."""
    keep = (0xFF00 >> bits.long().clamp(0, 8)) & 0xFF
    return x & keep.to(x.device, torch.uint8).view(-1, 1, 1, 1)


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    """Levels from the threshold on are inverted; 256: none, 0: all."""
    levels = x.float()
    above = torch.ge(levels, of_images(threshold, x), out=torch.empty_like(levels))
    return x ^ above.mul_(255).to(torch.uint8)


def solarize_add(x: Tensor, amount: Tensor) -> Tensor:
    """Levels below 128 grow by whole steps, to at most 255."""
    levels = x.float()
    below = torch.lt(levels, 128, out=torch.empty_like(levels))
    return round_to_bytes(below.mul_(of_images(amount.floor(), x)).add_(levels))


def autocontrast(x: Tensor) -> Tensor:
    """Each channel stretched to 0..255; a flat one stays."""
    levels = x.float()
    low, high = (edge.float() for edge in (x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)))
    flat = high == low
    scale = torch.where(flat, 1.0, 255 / (high - low))
    return levels.sub_(torch.where(flat, 0.0, low)).mul_(scale).clamp_(0, 255).to(torch.uint8)


def equalize(x: Tensor) -> Tensor:
    """Each channel with a histogram as even as a table of levels can make it; nearly flat ones stay.

    Pillow's rule: the step is the count of pixels below the highest level, over 255, and a level becomes the count of
    pixels below it, plus half a step, over the step.
    """
    images, channels, height, width = x.shape
    rows = torch.arange(images * channels, device=x.device).view(images, channels, 1, 1)
    at = x.long() + rows * 256
    counts = torch.bincount(at.view(-1), minlength=rows.numel() * 256).view(-1, 256)
    until = counts.cumsum(1)
    highest = counts.gather(1, until.argmax(1, keepdim=True))
    step = (height * width - highest).div_(255, rounding_mode="floor")
    table = ((until - counts) + step // 2).div_(step.clamp(min=1), rounding_mode="floor").clamp_(0, 255)
    table = torch.where(step == 0, torch.arange(256, device=x.device), table)
    return table.to(torch.uint8).take(at)
