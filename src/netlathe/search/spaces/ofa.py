"""The MobileNetV3 space of Once-for-All: kernel, expansion, depth, width and resolution, some 10^19 networks a width.

Cai et al. 2020, Once-for-All, https://arxiv.org/abs/1908.09791, section 3.2, and the released networks,
https://github.com/mit-han-lab/once-for-all (ofa_mbv3). Five stages of two to four inverted residuals; the third and
fourth block of a stage are open only where its depth reaches them. Width is a factor of all channels (1.0 and 1.2 were
released), rounded to multiples of 8 by the rule of 10 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netlathe.arch.build import conv, depthwise, relu, residual, seq
from netlathe.arch.combinators import Choice, Identity
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Act, Linear
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool
from netlathe.arch.rounding import ten_percent
from netlathe.search.space import SearchSpace
from netlathe.zoo.blocks import squeeze_excite

KERNELS, EXPANSIONS, DEPTHS = (3, 5, 7), (3, 4, 6), (2, 3, 4)
WIDTHS = (1.0, 1.2)
RESOLUTIONS = tuple(range(128, 225, 4))
hardswish, hardsigmoid = Act("hardswish"), Act("hardsigmoid")


class OfaStage(NamedTuple):
    """A stage: width, stride of its first block, squeeze-excite, activation."""

    out: int
    stride: int
    se: bool
    act: Act


STAGES = (
    OfaStage(24, 2, False, relu),
    OfaStage(40, 2, True, relu),
    OfaStage(80, 2, False, hardswish),
    OfaStage(112, 1, True, hardswish),
    OfaStage(160, 2, True, hardswish),
)


def named_choice(name: str, options: dict[str, Node]) -> Choice:
    """A choice from named options."""
    return Choice(tuple(options), tuple(options.values()), name)


@block
def inverted(name: str, narrow: Size, out: Size, stride: int, row: OfaStage) -> Node:
    """x + f(x), f = 1x1 expand, depthwise, (squeeze-excite,) linear 1x1 squeeze; `narrow` channels arrive.

    Expansion and squeeze-excite follow one decision.
    """
    wide = {f"x{ratio}": narrow * ratio for ratio in EXPANSIONS}
    parts: dict[str, Node] = {
        "expand": named_choice(f"{name}.expansion", {ratio: conv(size, act=row.act) for ratio, size in wide.items()}),
        "process": named_choice(f"{name}.kernel", {f"{k}x{k}": depthwise(k, stride, act=row.act) for k in KERNELS}),
    }
    if row.se:
        excited = {r: squeeze_excite(ten_percent(size // 4), size, relu, hardsigmoid) for r, size in wide.items()}
        parts["se"] = named_choice(f"{name}.expansion", excited)
    return residual(seq(**parts, squeeze=conv(out, act=None)), optional=True)


@block
def ofa_stage(name: str, narrow: Size, out: Size, row: OfaStage) -> Node:
    """Two blocks, and up to two more by the depth that is chosen."""
    inner = [
        inverted(f"{name}.block{i}", narrow if i == 1 else out, out, row.stride if i == 1 else 1, row)
        for i in range(1, max(DEPTHS) + 1)
    ]
    blocks = {f"block{i}": body for i, body in enumerate(inner, 1)}
    more = {str(d): seq(**{f"block{i}": blocks[f"block{i}"] for i in range(3, d + 1)}) for d in DEPTHS[1:]}
    return seq(block1=inner[0], block2=inner[1], more=named_choice(f"{name}.depth", {"2": Identity(), **more}))


@block
def ofa_network(factor: float, classes: Size) -> Node:
    """The open network of one width."""

    def scaled(width: int) -> int:
        return ten_percent(factor * width)

    first = seq(process=depthwise(3), squeeze=conv(scaled(16), act=None))
    stages: dict[str, Node] = {}
    narrow = scaled(16)
    for i, row in enumerate(STAGES, 1):
        stages[f"stage{i}"] = ofa_stage(f"stage{i}", narrow, scaled(row.out), row)
        narrow = scaled(row.out)
    return seq(
        stem=conv(scaled(16), 3, 2, act=hardswish),
        first=residual(first),
        **stages,
        top=conv(scaled(960), act=hardswish),
        head=seq(
            pool=GlobalPool(),
            flatten=Flatten(),
            hidden=Linear(scaled(1280), bias=False),
            act=hardswish,
            classifier=Linear(classes),
        ),
    )


def ofa(classes: int = 1000, widths: Iterable[float] = WIDTHS, resolutions: Iterable[int] = RESOLUTIONS) -> SearchSpace:
    """The space; one width is no decision, several are decided first."""
    bodies = {f"{factor:.0%}": ofa_network(factor, classes) for factor in widths}
    body = named_choice("width", bodies) if len(bodies) > 1 else next(iter(bodies.values()))
    sizes = tuple(resolutions)
    return SearchSpace("ofa", Network("ofa", body, (3, sizes[-1], sizes[-1])), sizes)
