"""A convolution and the depthwise + pointwise pair that replaces it, counted."""

from __future__ import annotations

from fractions import Fraction

from netlathe.arch.build import seq
from netlathe.arch.layers import Conv
from netlathe.arch.node import Node
from netlathe.audit.facts import cost


def separable_pair(kernel: int, out: int) -> Node:
    """One filter a channel, then 1x1."""
    return seq(depthwise=Conv(None, kernel, group_width=1), pointwise=Conv(out))


def separable_ratio(kernel: int, arrive: int, leave: int, side: int = 14) -> Fraction:
    """MACs of the pair over those of the dense convolution, exactly."""
    shape = (arrive, side, side)
    return Fraction(cost(separable_pair(kernel, leave), *shape), cost(Conv(leave, kernel), *shape))
