"""Hybrids: convolutions first, then a Vision Transformer on their map.

`vitc_*`: Xiao et al. 2021, Early Convolutions Help Transformers See Better, https://arxiv.org/abs/2106.14881, section 4
and appendix A: 3x3 convolutions of stride 2 replace the patches, and one encoder block goes in return. `vit_*_r*`:
Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929, section 3.1, "Hybrid Architecture": the tokens are the
positions of a ResNet's map, /16 (three stages) or /32. That ResNet has group norm, pads like TensorFlow and was trained
with standardised kernels, which are plain kernels once trained (Kolesnikov et al. 2020, BiT,
https://arxiv.org/abs/1912.11370).
"""

from __future__ import annotations

from netlathe.arch.build import conv, relu, residual, seq, stage
from netlathe.arch.layers import Conv, Norm
from netlathe.arch.leaf import need
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.zoo.registry import Variant, variant
from netlathe.zoo.vit import SIZES, transformer

group_norm = Norm("group")


def vitc(
    width: Size,
    depth: int,
    heads: Size,
    expansion: Size,
    widths: tuple[int, ...],
    strides: tuple[int, ...],
    pool: str = "token",
    classes: Size = 1000,
) -> Node:
    """3x3 convolutions of the given widths and strides, 1x1 to the width of the encoder."""
    need(len(widths) == len(strides), f"{len(widths)} widths need as many strides, not {len(strides)}")
    convs = {f"conv{i}": conv(w, 3, s) for i, (w, s) in enumerate(zip(widths, strides, strict=True), 1)}
    return transformer(seq(**convs, project=Conv(width, bias=True)), depth, heads, expansion, pool, classes)


@block
def bottleneck(out: Size, stride: int = 1) -> Node:
    """relu(x + f(x)), f = 1x1 squeeze, 3x3 process, 1x1 expand, with group norm."""
    body = residual(
        squeeze=conv(out // 4, norm=group_norm),
        process=conv(out // 4, 3, stride, norm=group_norm, padding="same"),
        expand=conv(out, norm=group_norm, act=None),
        project=conv(out, 1, stride, norm=group_norm, act=None),
    )
    return body >> relu


def vit_resnet(
    depths: tuple[int, ...],
    width: Size,
    depth: int,
    heads: Size,
    expansion: Size = 4,
    pool: str = "token",
    classes: Size = 1000,
) -> Node:
    """A ResNet of as many stages as `depths` says, 1x1 to the width of the encoder."""
    down = seq(conv=conv(64, 7, 2, norm=group_norm, padding="same"), pool=Pool("max", 3, 2, padding="same"))
    stages = {
        f"stage{i + 1}": stage(bottleneck(256 * 2**i), blocks, first=bottleneck(256 * 2**i, 2 if i else 1))
        for i, blocks in enumerate(depths)
    }
    stem = seq(down=down, **stages, project=Conv(width, bias=True))
    return transformer(stem, depth, heads, expansion, pool, classes)


def on_resnet(size: str, *depths: int) -> Variant:
    """A size of ViT on a ResNet."""
    width, depth, heads = SIZES[size]
    return variant(vit_resnet, depths=depths, width=width, depth=depth, heads=heads)


EVERY, SECOND = (2, 2, 2, 2), (2, 2, 1, 2, 1, 2)  # strides
DEEP = (64, 128, 128, 256, 256, 512)
NETWORKS: dict[str, Variant] = {
    "vit_small_r26_s32": on_resnet("small", 2, 2, 2, 2),
    "vit_base_r50_s16": on_resnet("base", 3, 4, 9),
    "vit_large_r50_s32": on_resnet("large", 3, 4, 6, 3),
    "vitc_1gf": variant(vitc, width=192, depth=11, heads=3, expansion=3, widths=(24, 48, 96, 192), strides=EVERY),
    "vitc_4gf": variant(vitc, width=384, depth=11, heads=6, expansion=3, widths=(48, 96, 192, 384), strides=EVERY),
    "vitc_18gf": variant(vitc, width=768, depth=11, heads=12, expansion=4, widths=DEEP, strides=SECOND),
    "vitc_36gf": variant(vitc, width=1024, depth=13, heads=16, expansion=4, widths=DEEP, strides=SECOND),
}
