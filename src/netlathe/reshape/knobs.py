"""The knobs: width, depth, resolution, groups and the inner width of blocks, on any network that has them.

width       every free width times a factor, by a named rounding rule (MobileNets' alpha, EfficientNet's w)
depth       the blocks of every stage times a factor (EfficientNet's d)
inner       the widths inside a block, which do not leave it, times a factor: the squeeze of a bottleneck, the
            expansion of an inverted one (Wide ResNet's k; ResNeXt's second free choice)
groups      the cardinality of the spatial convolution of a bottleneck (ResNeXt's C)
resolution  the side of the image in pixels (MobileNets' rho, EfficientNet's r)

A knob gives a new network. x1 is the identity, and the cost a knob names never falls when it is turned up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from math import log2
from typing import NamedTuple

from netlathe.arch.combinators import Stage
from netlathe.arch.graph import Graph, Op
from netlathe.arch.layers import Conv
from netlathe.arch.leaf import pair
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.rewrite import walk
from netlathe.arch.rounding import up
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError, unknown
from netlathe.reshape.inner import inner
from netlathe.reshape.legal import checked_body, divisors, knob_error, positive
from netlathe.reshape.visit import Neighbours, path_matches, rewrite_everywhere
from netlathe.reshape.width import width

LARGEST_SIDE = 10**5  # pixels
DEPTH_ROUNDING: dict[str, Callable[[float], int]] = {"up": up, "nearest": round}


def depth(network: Network, factor: float, rounding: str = "up", keep: tuple[str, ...] = ()) -> Network:
    """The blocks of every stage times `factor`, rounded, at least one; `keep` names stages left alone.

    Raises NetlatheError for a network whose blocks do not repeat.
    """
    positive("depth", factor)
    if rounding not in DEPTH_ROUNDING:
        raise unknown("rounding rule", rounding, DEPTH_ROUNDING, code="knob.rounding")
    if not any(isinstance(node, Stage) for _, node in walk(network.body)):
        hint = "stages are written stage(block, depth); blocks that differ from each other cannot be repeated"
        raise knob_error("depth", network, "none of its blocks repeats", hint)
    if factor == 1:
        return network
    exact = Fraction(str(factor)) if isinstance(factor, float) else Fraction(factor)  # 1.4 * 5 is 7, not 7.000000001

    def turn(path: str, node: Node) -> Node:
        if not isinstance(node, Stage) or path_matches(path, keep):
            return node
        return replace(node, depth=max(1, DEPTH_ROUNDING[rounding](exact * node.depth)))  # type: ignore[arg-type]

    return checked_body("depth", network, rewrite_everywhere(network.body, turn), factor)


def resolution(network: Network, pixels: float) -> Network:
    """The network for square images of another side, in pixels. Raises NetlatheError where a window no longer fits."""
    if not 0 <= pixels <= LARGEST_SIDE:  # also what is no number
        message = f"resolution must be at most {LARGEST_SIDE:,} pixels, not {pixels:g}"
        raise NetlatheError(message, code="knob.resolution")
    if pixels != int(pixels):
        raise NetlatheError(f"resolution must be a whole number of pixels, not {pixels:g}", code="knob.resolution")
    resized = network.at(int(pixels))
    return checked_body("resolution", resized, resized.body, pixels)


@lru_cache(maxsize=64)
def cardinal(network: Network) -> tuple[Op, ...]:
    """The convolutions whose groups are a free choice: larger than 1x1, between two 1x1 of its block, not depthwise."""
    return spatial(network.graph())


def spatial(graph: Graph) -> tuple[Op, ...]:
    """Those of a graph."""
    near = Neighbours(graph)

    def point(op: Op, other: Op) -> bool:
        beside = block_of(op.path) == block_of(other.path)
        return beside and isinstance(other.leaf, Conv) and pair(other.leaf.kernel) == (1, 1)

    return tuple(
        op
        for op in graph.ops
        if isinstance(op.leaf, Conv)
        and pair(op.leaf.kernel) != (1, 1)
        and op.form != "depthwise"
        and any(point(op, other) for other in near.before(op))
        and any(point(op, other) for other in near.after(op))
    )


def block_of(path: str) -> str:
    """The path of the block that a convolution, alone or with its norm, is a part of."""
    return path.removesuffix(".conv").rpartition(".")[0]


def groups(network: Network, count: float) -> Network:
    """The cardinality of every bottleneck's spatial convolution.

    Raises NetlatheError where there is none, and with the legal numbers where `count` does not divide the widths.
    """
    ops = cardinal(network)
    if not ops:
        forms = {op.form for op in network.graph().ops if op.kind == "conv"}
        why = "its spatial convolutions are depthwise, so the cardinality is the width" if "depthwise" in forms else (
            "no spatial convolution lies between a 1x1 squeeze and a 1x1 expansion"
        )  # fmt: skip
        raise knob_error(
            "groups", network, why, "legal for bottlenecks: resnet50, wide_resnet50_2, resnext50_32x4d, regnetx_*"
        )
    possible = cardinalities(network)
    if count not in possible:
        legal_counts = ", ".join(map(str, possible))
        raise NetlatheError(
            f"{network.name} cannot have groups={count:g}", code="knob.groups", hint=f"legal: {legal_counts}"
        )
    by_path = {op.path for op in ops}

    def turn(path: str, node: Node) -> Node:
        return (
            replace(node, groups=int(count), group_width=None) if path in by_path and isinstance(node, Conv) else node
        )

    return checked_body("groups", network, rewrite_everywhere(network.body, turn), count)


def cardinalities(network: Network) -> list[int]:
    """Every legal value of `groups`, ascending; empty where the knob has no meaning."""
    return group_counts(cardinal(network))


def group_counts(ops: Iterable[Op]) -> list[int]:
    """The numbers of groups that all these convolutions can have, ascending."""
    return divisors(*(c for op in ops for c in (op.in_shapes[0][0], op.out_shape[0])))


class Knob(NamedTuple):
    """A knob: how it is turned, what its value is, which cost it moves and whether that rises."""

    turn: Callable[..., Network]
    unit: str  # factor, count or pixels
    moves: str  # MACs rise with all but groups
    up: bool = True


# In the order in which they are turned: depth first, because a stage knows its repeated block.
KNOBS: dict[str, Knob] = {
    "depth": Knob(depth, "factor", "macs"),
    "inner": Knob(inner, "factor", "macs"),
    "width": Knob(width, "factor", "macs"),
    "groups": Knob(groups, "count", "macs", up=False),
    "resolution": Knob(resolution, "pixels", "macs"),
}


class KnobRules(NamedTuple):
    """How knobs round, and the paths that they leave alone."""

    width: str = "ten_percent"
    depth: str = "up"
    keep: tuple[str, ...] = ()


USUAL = KnobRules()


def turn_knobs(network: Network, values: Mapping[str, float], rules: KnobRules = USUAL) -> Network:
    """Turn several knobs by name, in the order of KNOBS; the result is named after what was turned."""
    for knob in values:
        if knob not in KNOBS:
            raise unknown("knob", knob, KNOBS, code="knob.unknown")
    turned = network
    for knob, (turn, *_) in KNOBS.items():
        if knob in values:
            rule = () if knob in ("groups", "resolution") else (getattr(rules, knob, rules.width), rules.keep)
            turned = turn(turned, values[knob], *rule)
    suffix = "".join(f"-{knob[0]}{values[knob]:g}" for knob in KNOBS if knob in values)
    return turned if turned is network else replace(turned, name=network.name + suffix)


def reshape(
    network: Network,
    *,
    rounding: str = "ten_percent",
    depth_rounding: str = "up",
    keep: tuple[str, ...] = (),
    **values: float,
) -> Network:
    """Turn several knobs: width=0.5, depth=1.2, inner=2, groups=8, resolution=160."""
    return turn_knobs(network, values, KnobRules(rounding, depth_rounding, keep))


def exponents(network: Network, knob: str) -> dict[str, float]:
    """log2 of what params, MACs and activations become when a knob is doubled: 2 for MACs and width, about."""
    if knob not in KNOBS:
        raise unknown("knob", knob, KNOBS, code="knob.unknown")
    start = {"resolution": network.input[-1], "groups": 1}.get(knob, 1)
    one, two = (turn_knobs(network, {knob: value}) for value in (start, 2 * start))
    a, b = (totals(net.body, net.input, *net.more) for net in (one, two))
    return {name: log2(getattr(b, name) / getattr(a, name)) for name in ("params", "macs", "acts")}
