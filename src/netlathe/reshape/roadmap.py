"""What the paper of ConvNeXt prints about every step of its roadmap: data, apart from the rewrites.

Liu et al. 2022, https://arxiv.org/abs/2201.03545, Tables 10 (ResNet-50 to ConvNeXt-T) and 11 (ResNet-200 to
ConvNeXt-B), as transcribed in ../shared/reference/recipes.md, section 4. The paper calls MACs FLOPs; accuracy is
ImageNet-1k top-1 at 224 pixels, in Table 10 the mean of three seeds, with its deviation where the notes have it.
"""

from __future__ import annotations

from typing import NamedTuple


class Route(NamedTuple):
    """Where a ladder leads: blocks a stage, the stem's width after `stage ratio`, and that of the ConvNeXt."""

    depths: tuple[int, ...]
    narrow: int
    wide: int


class Figure(NamedTuple):
    """Top-1 in percent, its deviation, 1e9 MACs as printed, and why the count differs where it does."""

    top1: float
    deviation: float | None
    macs_G: float
    note: str = ""


# ResNet-200 has more blocks than ConvNeXt-B; the paper widens it to 84 to keep its cost.
ROUTES = {
    "resnet50": Route((3, 3, 9, 3), 64, 96),
    "resnet200": Route((3, 3, 27, 3), 84, 128),
}

LAYER_NORM = (
    "the printed 4.46 is the cost of the next row: a norm has no MACs, so the count stays at 4.15, as Table 11 has it"
    " (14.81 before and after)"
)
LAST = (
    "the count is 4.456, which the paper's Table 1 rounds to 4.5; the row prints 0.03 more than its convolutions and"
    " matrix products cost, while Table 11 prints the count (15.35)"
)

FIGURES: dict[str, dict[str, Figure]] = {
    "resnet50": {
        "start": Figure(76.13, None, 4.09),
        "recipe": Figure(78.82, 0.07, 4.09),
        "stage ratio": Figure(79.36, 0.07, 4.53),
        "patchify stem": Figure(79.51, 0.18, 4.42),
        "depthwise": Figure(78.28, 0.08, 2.35),
        "width": Figure(80.50, 0.02, 5.27),
        "inverted bottleneck": Figure(80.64, 0.03, 4.64),
        "move depthwise up": Figure(79.92, 0.08, 4.07),
        "kernel 5": Figure(80.35, None, 4.10),
        "kernel 7": Figure(80.57, 0.14, 4.15),
        "kernel 9": Figure(80.57, None, 4.21),
        "kernel 11": Figure(80.47, None, 4.29),
        "gelu": Figure(80.62, 0.14, 4.15),
        "fewer activations": Figure(81.27, 0.06, 4.15),
        "fewer norms": Figure(81.41, 0.09, 4.15),
        "layer norm": Figure(81.47, 0.09, 4.46, LAYER_NORM),
        "separate downsampling": Figure(81.97, 0.06, 4.49, LAST),
    },
    "resnet200": {
        "start": Figure(78.20, None, 15.01),
        "recipe": Figure(81.14, None, 15.01),
        "stage ratio": Figure(81.33, None, 14.52),
        "patchify stem": Figure(81.59, None, 14.38),
        "depthwise": Figure(80.54, None, 7.23),
        "width": Figure(81.85, None, 16.76),
        "inverted bottleneck": Figure(82.64, None, 15.68),
        "move depthwise up": Figure(82.04, None, 14.63),
        "kernel 5": Figure(82.32, None, 14.70),
        "kernel 7": Figure(82.30, None, 14.81),
        "kernel 9": Figure(82.27, None, 14.95),
        "kernel 11": Figure(82.18, None, 15.13),
        "gelu": Figure(82.19, None, 14.81),
        "fewer activations": Figure(82.71, None, 14.81),
        "fewer norms": Figure(83.17, None, 14.81),
        "layer norm": Figure(83.35, None, 14.81),
        "separate downsampling": Figure(83.60, None, 15.35),
    },
}
