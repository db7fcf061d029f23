"""Colour operations: pure functions of float images 0..255, (N, C, H, W), and one factor an image, (N,).

They follow Pillow, which the published recipes ran on: grey is ITU-R 601 luma in whole levels, brightness, contrast and
saturation are blends with black, with the mean grey and with the grey image. Grey images, of one channel, have no
colour to change.

Only single products, sums and comparisons: a fused multiply-add may or may not happen at the end of a vector, and
then the bits of an image would depend on its place in the batch. Sums over an image are of whole numbers, exact in any
order.
"""

from __future__ import annotations

from netlathe.errors import MissingExtra

try:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtra("torch", "train") from error

LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # Pillow's: exact in float32
# Principal components of ImageNet's colours, of values 0..1: eigenvalues, eigenvectors by row (Krizhevsky et al. 2012,
# section 4.1; https://github.com/facebookarchive/fb.resnet.torch/blob/master/datasets/imagenet.lua).
COMPONENTS = (0.2175, 0.0188, 0.0045)
DIRECTIONS = ((-0.5675, -0.5808, -0.5836), (0.7192, -0.0045, -0.6948), (0.4009, -0.8140, 0.4203))


def of_images(factor: Tensor, x: Tensor) -> Tensor:
    """(N,) made to multiply (N, C, H, W)."""
    return factor.to(x.device, torch.float32).view(-1, 1, 1, 1)


def grey(x: Tensor) -> Tensor:
    """Luma in whole levels: (N, C, H, W) -> (N, 1, H, W)."""
    if x.shape[1] == 1:
        return x.round()
    red, green, blue = x.chunk(3, 1)
    return (red * LUMA[0]).add_(green * LUMA[1]).add_(blue * LUMA[2]).add_(0.5).floor_()


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """0: black, 1: as it is."""
    return (x * of_images(factor, x)).clamp_(0, 255)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """0: the mean grey, 1: as it is."""
    mean = grey(x).sum((1, 2, 3), dtype=torch.float64) / (x.shape[2] * x.shape[3])
    return _blend(of_images(mean, x), x, factor)


def saturation(x: Tensor, factor: Tensor) -> Tensor:
    """0: grey, 1: as it is."""
    return _blend(grey(x), x, factor) if x.shape[1] == 3 else x


def _blend(zero: Tensor, one: Tensor, factor: Tensor) -> Tensor:
    share = of_images(factor, one)
    return (one * share).add_(zero * (1 - share)).clamp_(0, 255)


def sharpness(x: Tensor, factor: Tensor) -> Tensor:
    """0: smoothed by (1 1 1, 1 5 1, 1 1 1) / 13, 1: as it is; the border stays."""
    if min(x.shape[2:]) < 3:
        return x
    rows = (x[:, :, 1:-1] + x[:, :, :-2]).add_(x[:, :, 2:])
    smooth = (rows[..., 1:-1] + rows[..., :-2]).add_(rows[..., 2:])
    inside = x[:, :, 1:-1, 1:-1]
    smooth = smooth.add_(inside * 4).mul_(1 / 13).round_()
    y = x.clone()
    y[:, :, 1:-1, 1:-1] = _blend(smooth, inside, factor)
    return y


def hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turned round the colour circle by a share -0.5..0.5 of it, at the same value and saturation."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.chunk(3, 1)
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    # Masks as numbers: torch compares into floats many times faster than it chooses between tensors.
    at_red = torch.eq(value, red, out=torch.empty_like(value))
    at_green = torch.eq(value, green, out=torch.empty_like(value)).mul_(1 - at_red)
    at_blue = 1 - at_red - at_green
    angle = ((green - blue).mul_(at_red)).add_((blue - red).mul_(at_green)).add_((red - green).mul_(at_blue))
    angle.div_(chroma.clamp(min=1e-6)).add_(at_green.mul_(2)).add_(at_blue.mul_(4))  # in sixths of the circle
    angle.add_(of_images(shift * 6, x))
    # A channel is the value less the chroma times a trapezium of the angle, the same for all three, a third apart.
    place = angle + torch.tensor([5.0, 3.0, 1.0], device=x.device).view(3, 1, 1)
    place.sub_((place / 6).floor_().mul_(6))
    return value - torch.minimum(place, 4 - place).clamp_(0, 1).mul_(chroma)


def lighting(x: Tensor, amounts: Tensor) -> Tensor:
    """Each image moved along ImageNet's principal colours, by (N, 3) of their eigenvalues; not clamped."""
    if x.shape[1] == 1:
        return x
    parts = zip(amounts.chunk(3, 1), COMPONENTS, DIRECTIONS, strict=True)
    first, second, third = (amount * (255 * size) * torch.tensor(direction) for amount, size, direction in parts)
    return x + (first + second + third)[:, :, None, None].to(x.device)


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian, of standard deviation `sigma` px, over a tenth of the image (SimCLR, Chen et al. 2020, appendix A)."""
    reach = max(1, min(x.shape[2:]) // 20)
    weights = [of_images(torch.exp(-(step**2) / (2 * sigma.double() ** 2)).float(), x) for step in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    for axis, border in ((3, (reach, reach, 0, 0)), (2, (0, 0, reach, reach))):
        length = x.shape[axis]
        padded = F.pad(x, border, mode="reflect")
        x = padded.narrow(axis, reach, length) * (weights[0] / total)
        for step in range(1, reach + 1):
            pair = padded.narrow(axis, reach - step, length) + padded.narrow(axis, reach + step, length)
            x.add_(pair.mul_(weights[step] / total))
    return x
