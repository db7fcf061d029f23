"""The networks that benchncnn times, as expressions: what github.com/Tencent/ncnn @a4d2ea1 has in benchmark/*.param.

Nine are networks of the zoo (ResNet-50 is the first version, with the stride in the 1x1; GoogLeNet that of the paper;
ResNet-18 has one projection more, 0.7 % of its MACs). Five differ from a network of that name, or have none, and are
written out here. Channel shuffles have no leaf, and detectors are not classifiers: these rows are left out.
"""

from __future__ import annotations

from functools import cache

from netlathe import zoo
from netlathe.arch.build import concat, conv, depthwise, head, relu, residual, seq, stage
from netlathe.arch.graph import Graph, graph
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Act, Linear
from netlathe.arch.node import Node
from netlathe.arch.pools import GlobalPool, Pool
from netlathe.zoo.blocks import squeeze_excite
from netlathe.zoo.efficientnet import mbconv
from netlathe.zoo.efficientnetv2 import fused, norm

hardswish, hardsigmoid, silu = Act("hardswish"), Act("hardsigmoid"), Act("silu")


def inverted(wide: int, kernel: int, out: int, stride: int = 1, act: Act = relu, se: bool = False) -> Node:
    """x + f(x), f = 1x1 expand to `wide` channels, depthwise, squeeze-excite, linear 1x1 squeeze."""
    parts: dict[str, Node] = {"expand": conv(wide, act=act), "process": depthwise(kernel, stride, act=act)}
    if se:
        parts["se"] = squeeze_excite(wide // 4, wide, relu, hardsigmoid)
    return residual(seq(**parts, squeeze=conv(out, act=None)), optional=True)


def separable(first: int, rows: tuple[tuple[int, int, int, int], ...]) -> Node:
    """A stem of 32, a depthwise-separable block of `first` channels, inverted residuals (wide, kernel, out, stride)."""
    blocks = {f"block{i}": inverted(*row) for i, row in enumerate(rows, 1)}
    start = seq(process=depthwise(), squeeze=conv(first, act=None))
    return seq(stem=conv(32, 3, 2), start=start, **blocks, top=conv(1280), head=head(1000))


def fire(squeeze: int, expand: int) -> Node:
    """1x1 squeeze, then 1x1 and 3x3 side by side."""
    sides = concat(one=conv(expand, norm=None), three=conv(expand, 3, norm=None))
    return seq(squeeze=conv(squeeze, norm=None), expand=sides)


def squeezenet() -> Node:
    """SqueezeNet 1.1, whose last 1x1 is padded here."""
    pool = Pool("max", 3, 2, ceil=True)
    return seq(
        stem=conv(64, 3, 2, padding=0, norm=None),
        pool1=pool,
        fire2=fire(16, 64),
        fire3=fire(16, 64),
        pool3=pool,
        fire4=fire(32, 128),
        fire5=fire(32, 128),
        pool5=pool,
        fire6=fire(48, 192),
        fire7=fire(48, 192),
        fire8=fire(64, 256),
        fire9=fire(64, 256),
        top=conv(1000, padding=1, norm=None),
        pool=GlobalPool(),
        flat=Flatten(),
    )


def mobilenet_v2() -> Node:
    """MobileNetV2 whose first block expands too, 32 to 32."""
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    narrow, blocks = 32, {}
    for i, (t, out, depth, stride) in enumerate(table):
        for j in range(depth):
            blocks[f"block{i}_{j}"] = inverted(t * narrow, 3, out, stride if j == 0 else 1)
            narrow = out
    return seq(stem=conv(32, 3, 2), **blocks, top=conv(1280), head=head(1000))


def mobilenet_v3() -> Node:
    """An early MobileNetV3-Large: the map shrinks one block later, and gates stand before their activation."""
    rows = (
        (16, 3, 16, 1, relu, False), (64, 3, 24, 2, relu, False), (72, 3, 24, 1, relu, False),
        (72, 5, 40, 2, relu, True), (120, 5, 40, 1, relu, True), (120, 5, 40, 1, relu, True),
        (240, 3, 80, 2, hardswish, False), (200, 3, 80, 1, hardswish, False), (184, 3, 80, 1, hardswish, False),
        (184, 3, 80, 1, hardswish, False), (480, 3, 112, 1, hardswish, True), (672, 3, 112, 1, hardswish, True),
        (672, 5, 160, 1, hardswish, True), (672, 5, 160, 2, hardswish, True), (960, 5, 160, 1, hardswish, True),
    )  # fmt: skip
    blocks: dict[str, Node] = {f"block{i}": inverted(*row) for i, row in enumerate(rows)}
    blocks["block0"] = residual(seq(process=depthwise(), squeeze=conv(16, act=None)))
    last = seq(pool=GlobalPool(), flatten=Flatten(), hidden=Linear(1280), act=hardswish, classifier=Linear(1000))
    return seq(stem=conv(16, 3, 2, act=hardswish), **blocks, top=conv(960, act=hardswish), head=last)


def efficientnetv2_b0() -> Node:
    """EfficientNetV2-B0 of Keras."""
    rows = (
        (True, 4, 2, 32, 2),
        (True, 4, 2, 48, 2),
        (False, 4, 2, 96, 3),
        (False, 6, 1, 112, 5),
        (False, 6, 2, 192, 8),
    )

    def block(is_fused: bool, t: int, stride: int, out: int) -> Node:
        return fused(out, t, stride) if is_fused else mbconv(out, t, 3, stride, norm)

    stages = {
        f"stage{i}": stage(block(f, t, 1, out), depth, first=block(f, t, s, out))
        for i, (f, t, s, out, depth) in enumerate(rows, 2)
    }
    first = conv(16, 3, norm=norm, act=silu)
    return seq(stem=conv(32, 3, 2, act=silu), stage1=first, **stages, top=conv(1280, act=silu), head=head(1000))


MNASNET = (
    (48, 3, 24, 2), (72, 3, 24, 1), (72, 3, 24, 1), (72, 5, 40, 2), (120, 5, 40, 1), (120, 5, 40, 1),
    (240, 5, 80, 2), (480, 5, 80, 1), (480, 5, 80, 1), (480, 3, 96, 1), (576, 3, 96, 1),
    (576, 5, 192, 2), (1152, 5, 192, 1), (1152, 5, 192, 1), (1152, 5, 192, 1), (1152, 3, 320, 1),
)  # fmt: skip
PROXYLESS = (
    (48, 5, 32, 2), (96, 3, 32, 1), (96, 7, 40, 2), (120, 3, 40, 1), (120, 5, 40, 1), (120, 5, 40, 1),
    (240, 7, 80, 2), (240, 5, 80, 1), (240, 5, 80, 1), (240, 5, 80, 1), (480, 5, 96, 1), (288, 5, 96, 1),
    (288, 5, 96, 1), (288, 5, 96, 1), (576, 7, 192, 2), (1152, 7, 192, 1), (576, 7, 192, 1), (576, 7, 192, 1),
    (1152, 7, 320, 1),
)  # fmt: skip
OF_ZOO = {
    "mobilenet": "mobilenetv1", "efficientnet_b0": "efficientnet_b0", "regnety_400m": "regnety_400mf",
    "googlenet": "googlenet_paper", "resnet18": "resnet18", "alexnet": "alexnet_grouped", "vgg16": "vgg16",
    "resnet50": "resnet50_v1", "vision_transformer": "vit_base_patch32@384",
}  # fmt: skip
OWN = {
    "squeezenet": (squeezenet, 227), "mobilenet_v2": (mobilenet_v2, 224), "mobilenet_v3": (mobilenet_v3, 224),
    "mnasnet": (lambda: separable(16, MNASNET), 224), "proxylessnasnet": (lambda: separable(32, PROXYLESS), 224),
    "efficientnetv2_b0": (efficientnetv2_b0, 224),
}  # fmt: skip
NAMES = (*OF_ZOO, *OWN)


@cache
def network(name: str) -> Graph:
    """The graph of a network by benchncnn's name."""
    if name in OF_ZOO:
        zoo_name, _, size = OF_ZOO[name].partition("@")
        net = zoo.get(zoo_name)
        return (net.at(int(size)) if size else net).graph()
    build, size = OWN[name]
    return graph(build(), (3, size, size))
