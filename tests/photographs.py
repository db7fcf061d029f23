"""Images to augment, and how far apart two are."""

from dataclasses import replace

import torch

from netlathe.train.recipe import Augment

PLAIN = Augment(crop="none", flip=0)
RAND = replace(PLAIN, policy="randaugment", magnitude=9, magnitude_std=0.5, policy_prob=0.5)


def photos(count: int, height: int = 32, width: int = 32, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Images with smooth parts, edges and noise: (N, H, W, C) uint8."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    noise = torch.randn(count, channels, height, width, generator=generator) * 0.03
    smooth[:, :, height // 3 : height // 2, width // 4 : width // 2] += 0.4
    return ((smooth + noise) * 255).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def planes(count: int, height: int = 32, width: int = 32, channels: int = 3) -> torch.Tensor:
    return photos(count, height, width, channels).permute(0, 3, 1, 2).contiguous()
