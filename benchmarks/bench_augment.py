"""Our augmentation of batches against torchvision's of images: python benchmarks/bench_augment.py [32 64 96]

Images of 1.5 times the resolution in both (with pad: of the resolution), one thread, to normalised float batches.
`PIL` is torchvision v2 on Pillow images, as its classification reference trains; `tensor` is v2 on uint8 tensors. Both
get decoded images and go through them one by one, since a v2 transform draws once a call. A ratio above 1 says that
ours is faster. Afterwards, what antialiasing is worth: how many levels a crop's pixels are from Pillow's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from peers import duel, load_timm
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from netlathe.train.augment.geometry import random_boxes, resample
from netlathe.train.augment.pipeline import augment_images, normalise, prepare_images
from netlathe.train.recipe import Augment, Evaluate
from netlathe.train.rng import CounterRNG

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COUNT = 128
STILL = Augment(crop="none", flip=0)
RECIPES = {
    "pad, flip": Augment(crop="pad"),
    "crop, flip": Augment(),
    "randaugment": Augment(policy="randaugment", increasing=True),
    "trivial": Augment(policy="trivial"),
    "autoaugment": Augment(policy="autoaugment"),
    "simclr": Augment(jitter=(0.8, 0.8, 0.8, 0.2), jitter_prob=0.8, grey=0.2, blur=0.5),
}


def photos(count: int, side: int) -> Tensor:
    """Smooth images with noise: (N, side, side, 3) uint8."""
    generator = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.rand(count, 3, 6, 6, generator=generator), side, mode="bicubic")
    noisy = smooth + torch.randn(smooth.shape, generator=generator) * 0.05
    return (noisy * 255).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def theirs(v2: Any, name: str, resolution: int) -> list[Any]:
    """torchvision's transforms of the same name."""
    crop = [v2.RandomResizedCrop(resolution, antialias=True), v2.RandomHorizontalFlip()]
    taps = 2 * max(1, resolution // 20) + 1
    return {
        "pad, flip": [v2.RandomCrop(resolution, padding=4), v2.RandomHorizontalFlip()],
        "crop, flip": crop,
        "randaugment": [*crop, v2.RandAugment(2, 9, interpolation=v2.InterpolationMode.BILINEAR)],
        "trivial": [*crop, v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR)],
        "autoaugment": [*crop, v2.AutoAugment(interpolation=v2.InterpolationMode.BILINEAR)],
        "simclr": [
            *crop,
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(taps, (0.1, 2.0))], 0.5),
        ],
        "test images": [v2.Resize(int(resolution / 0.875), antialias=True), v2.CenterCrop(resolution)],
    }[name]


def ours(name: str, pixels: Tensor, resolution: int) -> Callable[[], object]:
    """A batch from pixels to what a network sees."""
    rng = CounterRNG(0, 0, np.arange(len(pixels)))
    if name == "test images":
        evaluate = Evaluate(resolution=resolution, crop=0.875)
        return lambda: normalise(prepare_images(pixels, evaluate, resolution), MEAN, STD)
    return lambda: normalise(augment_images(pixels, RECIPES[name], resolution, rng), MEAN, STD)


def one_by_one(steps: Callable[[Any], Tensor], images: list[Any]) -> Callable[[], object]:
    return lambda: torch.stack([steps(image) for image in images])


def antialiasing(resolution: int) -> None:
    """Mean difference from Pillow in levels, of ours and of bilinear sampling as by `grid_sample`, by size of image."""
    for side in (resolution * 3 // 2, resolution * 4):
        pixels = photos(COUNT, side)
        boxes = random_boxes(CounterRNG(0, 0, np.arange(COUNT)), side, side, (0.08, 1), (3 / 4, 4 / 3))
        made = resample(pixels, boxes, (resolution, resolution), ["bilinear"] * COUNT)
        wrong: list[tuple[float, float]] = []
        for image, (top, left, height, width), mine in zip(pixels, boxes, made, strict=True):
            part = Image.fromarray(image.numpy()).crop((left, top, left + width, top + height))
            pillow = torch.tensor(np.asarray(part.resize((resolution, resolution), Image.Resampling.BILINEAR))).float()
            cut = image[top : top + height, left : left + width].permute(2, 0, 1)[None].float()
            plain = F.interpolate(cut, (resolution, resolution), mode="bilinear")[0].permute(1, 2, 0)
            wrong.append(((mine - pillow).abs().mean().item(), (plain - pillow).abs().mean().item()))
        mine, plain = np.mean(wrong, 0)
        print(f"levels from Pillow, {side} -> {resolution} px   ours {mine:.3f}   not antialiased {plain:.2f}")


def main() -> None:
    load_timm()
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    torch.empty(7_900_000).fill_(0)  # a training has freed large tensors before, after which malloc keeps pages
    sides = [int(word) for word in sys.argv[1:]] or [32, 64, 96]
    print("                       images/s ours     ratio to PIL   ratio to tensor")
    for side in sides:
        for name in (*RECIPES, "test images"):
            pixels = photos(COUNT, side if name == "pad, flip" else side * 3 // 2)
            ending = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
            peers = {
                "PIL": ([v2.ToImage()], [Image.fromarray(image.numpy()) for image in pixels]),
                "tensor": ([], list(pixels.permute(0, 3, 1, 2))),
            }
            found = [
                duel(
                    ours(name, pixels, side), one_by_one(v2.Compose([*theirs(v2, name, side), *to, *ending]), images), 3
                )
                for to, images in peers.values()
            ]
            speed = COUNT / min(result.ours for result in found) * 1e3
            print(
                f"{side:3} px  {name:12} {speed:12.0f} " + "".join(f"{result.ratio:16.1f}" for result in found),
                flush=True,
            )
    for side in sides:
        antialiasing(side)


if __name__ == "__main__":
    main()
