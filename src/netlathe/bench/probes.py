"""The probes of a calibration: small networks, each almost one class of operator, at the shapes that networks use.

A probe repeats its operator until a call takes about a millisecond, so that the call itself weighs little; weights
differ from repeat to repeat, so they come from where a network's weights come from.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlathe.arch.build import batch_norm, conv, depthwise, relu, residual, seq
from netlathe.arch.combinators import Concat, Identity
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Act, Conv, Linear, Norm
from netlathe.arch.leaf import Times
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Shape
from netlathe.arch.pools import GlobalPool, LocalNorm, Pool
from netlathe.arch.tokens import Attention, Grid, Map, Tokens, WindowAttention
from netlathe.zoo.blocks import squeeze_excite

silu, hardswish = Act("silu"), Act("hardswish")
# (channels, size) of the maps of ResNets, MobileNets and EfficientNets, at 224 pixels
WIDE = ((32, 112), (64, 56), (128, 28), (256, 14), (512, 7))
NARROW = ((16, 112), (24, 56), (40, 28), (80, 14), (112, 14), (192, 7))


def repeat_part(name: str, part: Node, count: int, shape: Shape) -> Network:
    """The same part several times in a row."""
    return Network(name, seq(**{f"part{i}": part for i in range(count)}), shape)


def convolution_probes() -> Iterator[Network]:
    """Dense, pointwise, depthwise and grouped convolutions."""
    for width, side in WIDE:
        yield repeat_part(f"dense3 {width}@{side}", conv(width, 3), 2, (width, side, side))
        yield repeat_part(f"pointwise {2 * width}@{side}", conv(2 * width), 2, (2 * width, side, side))
    for width, side in NARROW[::2]:
        barrel = seq(up=conv(6 * width), down=conv(width, act=None))
        yield repeat_part(f"barrel {width}@{side}", barrel, 2, (width, side, side))
    for width, side in NARROW:
        for kernel in (3, 5):
            shape = (6 * width, side, side)
            yield repeat_part(f"depthwise{kernel} {6 * width}@{side}", depthwise(kernel), 3, shape)
        yield repeat_part(f"stride {6 * width}@{side}", depthwise(3, 2), 1, (6 * width, side, side))
    for width, side in ((96, 56), (192, 28), (384, 14), (768, 7)):
        yield repeat_part(f"depthwise7 {width}@{side}", depthwise(7, norm=None, act=None), 2, (width, side, side))
    for width, group, side in ((64, 8, 56), (128, 4, 56), (256, 8, 28), (288, 24, 14), (512, 16, 14), (448, 112, 14)):
        part = conv(width, 3, group_width=group)
        yield repeat_part(f"grouped {width}/{group}@{side}", part, 2, (width, side, side))
    for width, kernel in ((32, 3), (64, 7)):
        yield Network(f"stem {kernel}x{kernel}", conv(width, kernel, 2), (3, 224, 224))
    yield repeat_part("dense5 48@28", conv(48, 5), 2, (48, 28, 28))


def token_probes() -> Iterator[Network]:
    """The parts of Transformers and of ConvNeXt, on tokens and on grids."""
    for count, width in ((14, 192), (14, 384), (14, 768), (7, 768)):
        shape = (width, count, count)
        heads = seq(qkv=Linear(Times(3)), attention=Attention(width // 64), project=Linear(width))
        yield Network(f"attention {width}@{count}", Tokens() >> heads >> heads, shape)
        yield Network(f"layer norm {width}@{count}", seq(Tokens(), *[Norm("layer")] * 6), shape)
    for side, width in ((56, 96), (28, 192), (14, 384)):
        swin = seq(qkv=Linear(Times(3)), attention=WindowAttention(width // 32), project=Linear(width))
        yield Network(f"windows {width}@{side}", Grid() >> swin, (width, side, side))
        norms = seq(Grid(), *[Norm("layer"), Linear(width)] * 2, Map())
        yield Network(f"grid {width}@{side}", norms, (width, side, side))


def other_probes() -> Iterator[Network]:
    """What stands between convolutions: activations, sums, gates, pools, concatenations, classifiers."""
    for width, side in WIDE:
        shape = (width, side, side)
        yield repeat_part(f"add {width}@{side}", residual(f=depthwise(3)), 3, shape)
        yield repeat_part(f"norm {width}@{side}", seq(norm=batch_norm, act=relu), 3, shape)
        yield repeat_part(f"max pool {width}@{side}", Pool("max", 3, 1, padding=1), 2, shape)
        yield repeat_part(f"average pool {width}@{side}", Pool("avg", 2), 1, shape)
        dense = Concat(("old", "new"), (Identity(), Conv(32, 1)))
        yield repeat_part(f"concatenate {width}@{side}", dense, 3, shape)
    for width, side in NARROW:
        shape = (6 * width, side, side)
        yield repeat_part(f"silu {6 * width}@{side}", silu, 3, shape)
        yield repeat_part(f"hardswish {6 * width}@{side}", hardswish, 3, shape)
        squeeze = squeeze_excite(Times(1, 4), Times(4), silu)
        yield repeat_part(f"gate {6 * width}@{side}", squeeze, 2, shape)
    for width, side in ((64, 56), (256, 28)):
        yield Network(f"local norm {width}@{side}", LocalNorm(), (width, side, side))
    for features, classes in ((512, 1000), (2048, 1000), (4096, 4096)):
        yield Network(f"classifier {features}", Flatten() >> Linear(classes), (features, 1, 1))
    yield Network("global pool", GlobalPool(), (1280, 7, 7))
    yield Network("nothing", relu, (1, 1, 1))


def probe_networks() -> list[Network]:
    """All of them."""
    return [*convolution_probes(), *token_probes(), *other_probes()]
