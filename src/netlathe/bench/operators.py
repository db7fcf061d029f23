"""Operators alone, with data in the caches and with everything out of them: the table of a calibrated card.

The same operator takes longer in a network than in a loop that repeats it: other layers have emptied the caches of its
weights. Warm is the median of repeated calls; cold the median of calls before each of which the worker sweeps over more
memory than its caches hold (`bench.worker`), so that input, weights and the runtime's own code come from memory. Both
are of one whole call: a runtime that copies its input into a layout of its own pays for that here, as it would at the
end of a graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from netlathe.arch.joins import Add, Cat, Flatten, Mul
from netlathe.arch.layers import Act, Conv, Linear, Norm
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Shape
from netlathe.arch.pools import GlobalPool, LocalNorm, Pool
from netlathe.arch.tokens import Attention
from netlathe.device.card import Operator
from netlathe.device.features import EDGE, fused

COLD_RUNS = 5


class LoneOperator(NamedTuple):
    """An operator and what it reads."""

    words: str
    node: Node
    inputs: tuple[Shape, ...]


def lone_operators() -> Iterator[LoneOperator]:
    """The operators, at shapes of ResNets, MobileNets, RegNets, ConvNeXts and ViTs."""
    yield LoneOperator("7x7/2 of the image", Conv(64, 7, 2), ((3, 224, 224),))
    for width, side in ((64, 56), (256, 14), (512, 7)):
        yield LoneOperator(f"3x3, {width} to {width}", Conv(width, 3), ((width, side, side),))
    for width, to, side in ((64, 256, 56), (256, 1024, 14), (2048, 512, 7)):
        yield LoneOperator(f"1x1, {width} to {to}", Conv(to, 1), ((width, side, side),))
    for width, kernel, side in ((144, 3, 56), (480, 3, 14), (240, 5, 28), (384, 7, 14)):
        yield LoneOperator(
            f"{kernel}x{kernel}, each channel", Conv(None, kernel, group_width=1), ((width, side, side),)
        )
    for width, group, side in ((128, 4, 56), (192, 48, 28)):
        yield LoneOperator(f"3x3, groups of {group}", Conv(width, 3, group_width=group), ((width, side, side),))
    yield LoneOperator("384 to 1536", Linear(1536), ((196, 384),))
    yield LoneOperator("3072 to 768", Linear(768), ((49, 3072),))
    for width, to in ((2048, 1000), (4096, 4096)):
        yield LoneOperator(f"{width} to {to}", Flatten() >> Linear(to), ((width, 1, 1),))
    yield LoneOperator("6 heads of 64", Attention(6), ((196, 3 * 384),))
    yield LoneOperator("of tokens", Norm("layer"), ((196, 768),))
    yield LoneOperator("5 channels", LocalNorm(), ((64, 56, 56),))
    yield LoneOperator("max 3x3/2", Pool("max", 3, 2, padding=1), ((64, 112, 112),))
    yield LoneOperator("mean of all", GlobalPool(), ((1280, 7, 7),))
    for act, width, side in (("relu", 256, 56), ("silu", 144, 56), ("gelu", 384, 28)):
        yield LoneOperator(act, Act(act), ((width, side, side),))
    yield LoneOperator("sum of two", Add(), ((256, 56, 56), (256, 56, 56)))
    yield LoneOperator("product with a gate", Mul(), ((144, 56, 56), (144, 1, 1)))
    yield LoneOperator("joined with 32", Cat(), ((256, 28, 28), (32, 28, 28)))


def operator_networks() -> list[Network]:
    """As networks of one operator each; the name is the words and the shape of the first input."""
    return [
        Network(f"{one.words}, {'x'.join(map(str, one.inputs[0]))}", one.node, one.inputs[0], one.inputs[1:])
        for one in lone_operators()
    ]


def operator_record(network: Network, rule: str, width: int, warm_ms: float, cold_ms: float) -> Operator:
    """The row of the table: class under the runtime's rule, MACs, and bytes of inputs, output and weights, each once.

    `width` is the bytes of an element.
    """
    graph = network.graph()
    groups = [group for group in fused(graph, rule) if group.class_ != EDGE and group.calls]
    main = max(groups, key=lambda group: (group.macs, group.read))
    macs, weights = sum(op.macs for op in graph.ops), sum(op.params for op in graph.ops)
    elements = weights + sum(prod(shape) for shape in (*network.inputs, graph.ops[-1].out_shape))
    return Operator(main.class_, network.name, macs, width * elements, round(warm_ms, 5), round(cold_ms, 5))
