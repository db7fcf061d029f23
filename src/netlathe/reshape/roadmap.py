"""What the paper of ConvNeXt prints about every step of its roadmap: data, apart from the rewrites.

Liu et al. 2022, https://arxiv.org/abs/2201.03545, Tables 10 (ResNet-50 to ConvNeXt-T) and 11 (ResNet-200 to
ConvNeXt-B). The paper calls MACs FLOPs; accuracy is ImageNet-1k top-1 at 224 pixels, in Table 10 the mean of three
seeds, with its deviation where it was noted.
"""

from __future__ import annotations

from typing import NamedTuple


class Route(NamedTuple):
    """Where a ladder leads: blocks a stage, the stem's width after `stage ratio`, and that of the ConvNeXt."""

    depths: tuple[int, ...]
    narrow: int
    wide: int


class RoadmapFigure(NamedTuple):
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

FIGURES: dict[str, dict[str, RoadmapFigure]] = {
    "resnet50": {
        "start": RoadmapFigure(76.13, None, 4.09),
        "recipe": RoadmapFigure(78.82, 0.07, 4.09),
        "stage ratio": RoadmapFigure(79.36, 0.07, 4.53),
        "patchify stem": RoadmapFigure(79.51, 0.18, 4.42),
        "depthwise": RoadmapFigure(78.28, 0.08, 2.35),
        "width": RoadmapFigure(80.50, 0.02, 5.27),
        "inverted bottleneck": RoadmapFigure(80.64, 0.03, 4.64),
        "move depthwise up": RoadmapFigure(79.92, 0.08, 4.07),
        "kernel 5": RoadmapFigure(80.35, None, 4.10),
        "kernel 7": RoadmapFigure(80.57, 0.14, 4.15),
        "kernel 9": RoadmapFigure(80.57, None, 4.21),
        "kernel 11": RoadmapFigure(80.47, None, 4.29),
        "gelu": RoadmapFigure(80.62, 0.14, 4.15),
        "fewer activations": RoadmapFigure(81.27, 0.06, 4.15),
        "fewer norms": RoadmapFigure(81.41, 0.09, 4.15),
        "layer norm": RoadmapFigure(81.47, 0.09, 4.46, LAYER_NORM),
        "separate downsampling": RoadmapFigure(81.97, 0.06, 4.49, LAST),
    },
    "resnet200": {
        "start": RoadmapFigure(78.20, None, 15.01),
        "recipe": RoadmapFigure(81.14, None, 15.01),
        "stage ratio": RoadmapFigure(81.33, None, 14.52),
        "patchify stem": RoadmapFigure(81.59, None, 14.38),
        "depthwise": RoadmapFigure(80.54, None, 7.23),
        "width": RoadmapFigure(81.85, None, 16.76),
        "inverted bottleneck": RoadmapFigure(82.64, None, 15.68),
        "move depthwise up": RoadmapFigure(82.04, None, 14.63),
        "kernel 5": RoadmapFigure(82.32, None, 14.70),
        "kernel 7": RoadmapFigure(82.30, None, 14.81),
        "kernel 9": RoadmapFigure(82.27, None, 14.95),
        "kernel 11": RoadmapFigure(82.18, None, 15.13),
        "gelu": RoadmapFigure(82.19, None, 14.81),
        "fewer activations": RoadmapFigure(82.71, None, 14.81),
        "fewer norms": RoadmapFigure(83.17, None, 14.81),
        "layer norm": RoadmapFigure(83.35, None, 14.81),
        "separate downsampling": RoadmapFigure(83.60, None, 15.35),
    },
}
