"""How torch's views change what they show: only its shape, the order of its axes, a part of it, or by repetition.

In torch none of them costs anything until somebody needs the elements in a row. Runtimes of files have no strides:
there each but the first is a copy (`device.execution`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from netlathe.arch.node import Shape
from netlathe.read.graph_builder import RESHAPED

PERMUTES = frozenset(["permute", "transpose", "t", "swapaxes", "swapdims", "movedim", "numpy_T", "mT", "mH", "adjoint"])
PARTS = frozenset(
    ["slice", "select", "split", "chunk", "unbind", "split_with_sizes", "narrow", "diagonal", "as_strided", "unfold"]
)
REPEATS = frozenset({"expand", "expand_as", "broadcast_to"})


def view_form(name: str, before: Sequence[int], after: Sequence[int], args: Sequence[Any]) -> str:
    """The form of a view (`graph_builder.VIEW_FORMS`): `name` is aten's, `args` follow the tensor that it shows.

    Axes of size 1 that move, and parts that are the whole, change the shape alone.
    """
    if name in PERMUTES:
        return "permute" if is_moved(tuple(before), axes_of(name, len(before), args)) else RESHAPED
    if prod(before) == prod(after):
        return RESHAPED
    return "slice" if name.removeprefix("unsafe_") in PARTS else "expand" if name in REPEATS else RESHAPED


def axes_of(name: str, count: int, args: Sequence[Any]) -> list[int]:
    """The axes of the result as axes of the tensor."""
    if name == "permute":
        return [axis % count for axis in args[0]]
    axes = list(range(count))
    if count > 1:
        a, b = args[:2] if len(args) > 1 and isinstance(args[0], int) else (-2, -1)
        axes[a], axes[b] = axes[b], axes[a]
    return axes


def is_moved(shape: Shape, axes: Sequence[int] | None) -> bool:
    """Whether elements are in another order when axes change places (None: are reversed); those of size 1 do not
    matter."""
    if axes is None:
        axes = range(len(shape))[::-1]
    wide = [axis for axis in axes if shape[axis] != 1]
    return wide != sorted(wide)
