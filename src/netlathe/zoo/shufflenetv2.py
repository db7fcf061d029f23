"""ShuffleNetV2.

Ma et al. 2018, ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design,
https://arxiv.org/abs/1807.11164, Fig. 3 and Table 5. A unit passes half of the channels on and processes the other
half; a shuffle mixes both. Where the side is halved, both halves are processed.
"""

from __future__ import annotations

from netlathe.arch.axes import Chunk, Shuffle
from netlathe.arch.build import concat, conv, depthwise, head, seq, stage
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.zoo.registry import Variant, variant


@block
def unit(half: Size) -> Node:
    """shuffle([a, f(b)]) of the halves a and b, f = 1x1, depthwise 3x3, 1x1."""
    process = seq(half=Chunk(1), squeeze=conv(half), process=depthwise(act=None), expand=conv(half))
    return seq(split=concat(passed=Chunk(0), processed=process), shuffle=Shuffle(2))


@block
def down(half: Size) -> Node:
    """shuffle([g(x), f(x)]), each to half of the channels and half of the side, g = depthwise 3x3, 1x1."""
    passed = seq(process=depthwise(stride=2, act=None), expand=conv(half))
    process = seq(squeeze=conv(half), process=depthwise(stride=2, act=None), expand=conv(half))
    return seq(split=concat(passed=passed, processed=process), shuffle=Shuffle(2))


def shufflenetv2(widths: tuple[int, ...], last: Size = 1024, depths: tuple[int, ...] = (4, 8, 4),
                 classes: Size = 1000) -> Node:  # fmt: skip
    """A stem of 24 channels, three stages, and a 1x1 to `last`."""
    stages = {
        f"stage{i}": stage(unit(width // 2), depth, first=down(width // 2))
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True), 2)
    }
    stem = conv(24, 3, 2) >> Pool("max", 3, 2, padding=1)
    return seq(stem=stem, **stages, top=conv(last), head=head(classes))


NETWORKS: dict[str, Variant] = {
    "shufflenetv2_050": variant(shufflenetv2, widths=(48, 96, 192)),
    "shufflenetv2": variant(shufflenetv2, widths=(116, 232, 464)),
    "shufflenetv2_200": variant(shufflenetv2, widths=(244, 488, 976), last=2048),
}
