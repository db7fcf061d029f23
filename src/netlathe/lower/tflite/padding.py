"""Symmetric padding under TensorFlow's two rules, exactly.

LiteRT knows VALID (nothing) and SAME (what gives ceil(n / stride) positions, the odd rest at the end). PyTorch pads
both sides alike: at stride 2 that is another window. A kernel that is one larger, with zeros at the end, moves SAME's
window to where PyTorch's is: 3x3 at stride 2 with padding 1 is 4x4 under SAME, 7x7 with padding 3 is 8x8. That saves a
padded copy of the map, which on a microcontroller decides what fits (MobileNetV2 in int8: 1.5 MB instead of 2.4).
LiteRT's XNNPACK pads within the convolution and is 5 to 26 % faster with an operator that pads.
"""

from __future__ import annotations

from typing import NamedTuple

from netlathe.arch.leaf import Padding, Pair, pads, pair
from netlathe.arch.node import Shape

Sides = tuple[int, int]  # before, after


class WindowPadding(NamedTuple):
    """A rule of TensorFlow, the zeros that enlarge the kernel, and what has to be padded by an operator: by axis."""

    rule: str
    grown: tuple[Sides, Sides] = ((0, 0), (0, 0))
    padded: tuple[Sides, Sides] = ((0, 0), (0, 0))


def same_window(n: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """(positions, padding before) of SAME."""
    count = -(-n // stride)
    return count, max((count - 1) * stride + (kernel - 1) * dilation + 1 - n, 0) // 2


def valid_window(n: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """(positions, padding before) of VALID."""
    return (n - (kernel - 1) * dilation - 1) // stride + 1, 0


RULES = {"VALID": valid_window, "SAME": same_window}
GROWTHS: tuple[Sides, ...] = ((0, 0), (0, 1), (1, 0))  # zeros before and after the kernel


def find_padding(
    x: Shape,
    y: Shape,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: int = 1,
    *,
    may_grow: bool = True,
    rules: tuple[str, ...] = tuple(RULES),
) -> WindowPadding:
    """How a window from x (C, H, W) to y (C, H', W') is written.

    The kernel may grow where it has weights; else, and where no growth fits, an operator pads before.
    """
    before = pads(x, kernel, stride, padding, dilation)[:2]
    axes = list(zip(x[1:], y[1:], pair(kernel), pair(stride), before, strict=True))
    growths = GROWTHS if may_grow else GROWTHS[:1]
    for rule in rules:
        fitting = [
            [g for g in growths if RULES[rule](n, k + sum(g), s, dilation) == (out, top + g[0] * dilation)]
            for n, out, k, s, top in axes
        ]
        if all(fitting):
            return WindowPadding(rule, (fitting[0][0], fitting[1][0]))
    ends = [max(0, (out - 1) * s + (k - 1) * dilation + 1 - n - top) for n, out, k, s, top in axes]
    return WindowPadding("VALID", padded=((before[0], ends[0]), (before[1], ends[1])))
