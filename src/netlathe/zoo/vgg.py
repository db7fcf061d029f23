"""VGG.

Simonyan and Zisserman 2015, Very Deep Convolutional Networks, https://arxiv.org/abs/1409.1556, Table 1: configurations
A, B, D, E. Stacks of 3x3 convolutions, and a head of 124 M parameters. `_bn`: batch norm after every convolution, which
keeps its bias, as in torchvision. The head averages to 7x7, which changes nothing at 224 pixels.
"""

from __future__ import annotations

from netlathe.arch.build import batch_norm, conv, seq, stage
from netlathe.arch.node import Node
from netlathe.arch.pools import Pool
from netlathe.zoo.blocks import dense_head
from netlathe.zoo.registry import Variant, variant

WIDTHS = (64, 128, 256, 512, 512)

# Table 1: 3x3 convolutions a stage.
DEPTHS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def vgg(depths: tuple[int, ...], bn: bool = False, widths: tuple[int, ...] = WIDTHS, classes: int = 1000) -> Node:
    """Stages of relu(3x3 conv), each ended by a max pool of 2."""
    norm = batch_norm if bn else None
    stages = {
        f"stage{i}": stage(conv(width, 3, norm=norm, bias=True), depth) >> Pool("max", 2)
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True), 1)
    }
    return seq(**stages, head=dense_head(classes, grid=7))


NETWORKS: dict[str, Variant] = {
    name + suffix: variant(vgg, depths=depths, bn=bool(suffix))
    for suffix in ("", "_bn")
    for name, depths in DEPTHS.items()
}
