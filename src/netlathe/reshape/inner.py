"""The knob inner: the widths inside residual blocks, a bottleneck's squeeze or an inverted one's expansion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import gcd

from netlathe.arch.axes import RowAttention
from netlathe.arch.combinators import Concat, Dag, Gate, Residual, Seq, Stage
from netlathe.arch.leaf import Times
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.rewrite import walk
from netlathe.arch.tokens import Attention, WindowAttention
from netlathe.errors import unknown
from netlathe.reshape.legal import checked_body, knob_error, positive
from netlathe.reshape.visit import path_matches, rewrite_everywhere
from netlathe.reshape.width import ROUNDING, Wide, round_width, width_surroundings


def inner(network: Network, factor: float, rounding: str = "ten_percent", keep: tuple[str, ...] = ()) -> Network:
    """The widths inside residual blocks times `factor`; what leaves a block stays, and so does the squeeze of a gate
    that is relative to what enters the block.

    A relative width is rounded to what every number of arriving channels can be divided by (1/8 for multiples of 8).
    Raises NetlatheError for a network without such blocks, an unknown rule, and where the shapes no longer fit.
    """
    positive("inner", factor)
    if rounding not in ROUNDING:
        raise unknown("rounding rule", rounding, ROUNDING, code="knob.rounding")
    scale = InnerScale(factor, rounding, width_surroundings(network).units, max(1, width_step(network)))
    body = rewrite_everywhere(
        network.body, lambda path, node: node if path_matches(path, keep) else scale_block(node, scale)
    )
    if not scale.met:
        hint = "legal for bottlenecks, inverted bottlenecks and basic blocks: resnet*, mobilenetv2*, vit_*"
        raise knob_error("inner", network, why_not(network.body), hint)
    return network if factor == 1 else checked_body("inner", network, body, factor)


def why_not(body: Node) -> str:
    """What keeps the blocks of a network from having a width inside."""
    blocks = [(path, node) for path, node in walk(body) if isinstance(node, Residual)]
    if not blocks:
        return "it has no residual block"
    path, block = blocks[0]
    wide = [name for name, leaf in inner_leaves(block.body) if isinstance(leaf, Wide) and leaf.width is not None]
    if any(isinstance(leaf, Attention | WindowAttention | RowAttention) for _, leaf in inner_leaves(block.body)):
        return f"in its residual blocks, such as {path}, attention decides the widths"
    if len(wide) > 1:
        return f"its residual blocks, such as {path}, are left alone"
    return f"its residual blocks, such as {path}, have no width of their own before the last layer"


@lru_cache(maxsize=64)
def width_step(network: Network) -> int:
    """The greatest common divisor of the channels that arrive where a width is relative; 0 where none is."""
    divisor = 0
    for op in network.graph().ops:
        if isinstance(op.leaf, Wide) and isinstance(op.leaf.width, Times) and op.leaf.width.num > op.leaf.width.den:
            divisor = gcd(divisor, op.in_shapes[0][0 if op.kind == "conv" else -1])
    return divisor


@dataclass
class InnerScale:
    """How widths inside blocks are scaled, and whether any was."""

    factor: float
    rounding: str
    units: dict[int, int]
    steps: int
    met: bool = False

    def whole(self, old: int) -> int:
        """A width that is a number."""
        return round_width(old, self.factor, self.rounding, self.units)

    def relative(self, old: Times) -> Fraction:
        """What a relative width is multiplied with, so that every number of arriving channels stays whole."""
        ratio = Fraction(old.num, old.den)
        return Fraction(max(1, round(ratio * self.steps * Fraction(str(self.factor)))), self.steps) / ratio


def scale_block(block: Node, scale: InnerScale) -> Node:
    """A residual block with other widths inside; any other node as it is."""
    if not isinstance(block, Residual):
        return block
    leaves = [(name, leaf) for name, leaf in inner_leaves(block.body) if isinstance(leaf, Wide)]
    free = [leaf.width for _, leaf in leaves[:-1] if leaf.width is not None]
    if not free or any(
        isinstance(leaf, Attention | WindowAttention | RowAttention) for _, leaf in inner_leaves(block.body)
    ):
        return block
    scale.met = True
    (last, _), names = leaves[-1], {name for name, _ in leaves[:-1]}
    relative = next((scale.relative(wide) for wide in free if isinstance(wide, Times)), Fraction(1))
    whole = {wide for wide in free if isinstance(wide, int)}

    def within(name: str, part: Node) -> Node:
        if not isinstance(part, Wide) or part.width is None:
            return part
        if isinstance(part.width, Times):
            opens = name in names or (name != last and part.width.num > part.width.den)  # a gate opens as wide
            return replace(part, width=scale_times(part.width, relative if opens else 1 / relative))
        return replace(part, width=scale.whole(part.width)) if name != last and part.width in whole else part

    return replace(block, body=rewrite_everywhere(block.body, within))


def inner_leaves(body: Node, path: str = "") -> list[tuple[str, Node]]:
    """The leaves of a block in order, without those of gates and of blocks inside it.

    Branches that are joined again (StarNet's product of two expansions) are as wide as each other.
    """
    if isinstance(body, Seq | Stage | Dag | Concat):
        return [leaf for name, child in body.children() for leaf in inner_leaves(child, f"{path}.{name}".strip("."))]
    return [] if isinstance(body, Gate) or list(body.children()) else [(path, body)]


def scale_times(relative: Times, factor: Fraction) -> Times:
    """A relative width times a factor, reduced."""
    value = Fraction(relative.num, relative.den) * factor
    return Times(value.numerator, value.denominator)
