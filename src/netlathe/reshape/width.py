"""The knob width: every free width of a network times a factor, by a named rounding rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import gcd, lcm
from typing import NamedTuple

from netlathe.arch.axes import Chunk, Heads, RowAttention, Shuffle, channel_axis
from netlathe.arch.graph import Graph
from netlathe.arch.layers import Conv, ConvTranspose, Linear, Norm
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.rounding import floor, nearest, ten_percent
from netlathe.arch.tokens import Attention, Embedding, WindowAttention
from netlathe.errors import unknown
from netlathe.reshape.legal import checked_body, knob_error, positive
from netlathe.reshape.visit import classifiers, path_matches, rewrite_everywhere

Wide = Conv | ConvTranspose | Linear | Embedding  # the leaves with a width of their own

# How a scaled width becomes a whole number: the rule and its usual multiple.
ROUNDING: dict[str, tuple[Callable[[float, int], int], int]] = {
    "ten_percent": (ten_percent, 8),
    "nearest": (nearest, 8),
    "floor": (floor, 1),
}


def width(network: Network, factor: float, rounding: str = "ten_percent", keep: tuple[str, ...] = ()) -> Network:
    """Every free width times `factor`, but neither classes nor what arrives; `keep` names paths left alone.

    Equal widths stay equal, so sums stay legal, and a width that is split into groups or heads stays their multiple:
    the numbers of groups and heads, and the width of a group where that is the free choice, are as before. A width is
    rounded to the rule's multiple where it was one, else to the largest power of two in both. Where a network adds
    what it has concatenated (NASNet), widths that were doubles of each other stay so: the smallest is rounded.
    Raises NetlatheError for an unknown rule and where the shapes no longer fit.
    """
    positive("width", factor)
    if rounding not in ROUNDING:
        raise unknown("rounding rule", rounding, ROUNDING, code="knob.rounding")
    if factor == 1:
        return network
    last, units, families = width_surroundings(network)
    met = False

    def turn(path: str, node: Node) -> Node:
        nonlocal met
        if not isinstance(node, Wide) or not isinstance(node.width, int) or path in last or path_matches(path, keep):
            return node
        met = True
        base = families.get(node.width, node.width)
        return replace(node, width=node.width // base * round_width(base, factor, rounding, units))

    body = rewrite_everywhere(network.body, turn)
    if not met:
        raise knob_error("width", network, "no convolution or linear layer has a free width")
    return checked_body("width", network, body, factor)


class WidthSurroundings(NamedTuple):
    """What the widths of a network depend on; remembered, because a search asks for many widths of one network."""

    last: frozenset[str]  # paths of the classifiers
    units: dict[int, int]  # see `multiples`
    families: dict[int, int]  # by width: the smallest it is a double of, where these must stay doubles


@lru_cache(maxsize=64)
def width_surroundings(network: Network) -> WidthSurroundings:
    """The surroundings of the free widths of a network."""
    graph = network.graph(training=True)
    free = {op.leaf.width for op in graph.ops if isinstance(op.leaf, Wide) and isinstance(op.leaf.width, int)}
    adds_what_it_concatenated = {"cat", "add"} <= {op.kind for op in graph.ops}
    smallest = {w: min(v for v in free if odd_part(v) == odd_part(w)) for w in free}
    return WidthSurroundings(classifiers(graph), width_multiples(graph), smallest if adds_what_it_concatenated else {})


def odd_part(width: int) -> int:
    """A number without its factors of two."""
    return width // (width & -width)


def round_width(old: int, factor: float, rounding: str, units: dict[int, int]) -> int:
    """A width times a factor, to the multiple that it must have."""
    rule, usual = ROUNDING[rounding]
    unit = lcm(units.get(old, 1), gcd(old, usual))
    return max(unit, rule(factor * old, unit))


def width_multiples(graph: Graph) -> dict[int, int]:
    """By free width: the number that must divide it, because groups or heads split it or a multiple of it."""
    free = {op.leaf.width for op in graph.ops if isinstance(op.leaf, Wide)}
    multiples: dict[int, int] = {}

    def need(channels: int, unit: int) -> None:
        for wide in {channels} & free or {w for w in free if isinstance(w, int) and channels % w == 0}:
            assert isinstance(wide, int)
            multiples[wide] = lcm(multiples.get(wide, 1), unit // gcd(unit, channels // wide))

    for op in graph.ops:
        match op.leaf:
            case Conv(group_width=None, groups=count) if count > 1:
                need(op.in_shapes[0][0], count)
                need(op.out_shape[0], count)
            case Conv(group_width=int(inner)) if inner > 1:
                need(op.in_shapes[0][0], inner)
                if op.out_shape[0] % inner == 0:
                    need(op.out_shape[0], inner)
            case Norm(mode="group", groups=count):
                need(op.in_shapes[0][0], count)
            case Shuffle(groups=count) | Chunk(count=count):
                need(op.in_shapes[0][channel_axis(op.in_shapes[0])], count)
            case Heads(heads=count):
                need(op.in_shapes[0][-1], count)
            case Attention(heads=count) | WindowAttention(heads=count) | RowAttention(heads=count):
                need(op.out_shape[-1], count)
    return multiples
