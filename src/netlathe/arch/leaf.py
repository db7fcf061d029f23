"""Leaf: what every operator answers, and the arithmetic that leaves share.

A leaf has a rule for each question: `out` (the shape that leaves), `weights` and `buffers` (its tensors), `macs`.
Shapes are of one image, without the batch axis; channels come first in feature maps (C, H, W) and last in tokens
(T, C). MACs are multiply-accumulates of convolutions and matrix products: bias, norm, activation and pooling count 0,
as in the papers of ResNet, MobileNet, EfficientNet and RegNet.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from netlathe.arch.node import Node, Shape, Size, node
from netlathe.errors import ShapeError

Pair: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = Pair | Literal["same"] | None


@node
class Times(Node):
    """A width relative to the channels that arrive: channels * num // den (an expansion or a squeeze)."""

    num: Size
    den: Size = 1

    def __call__(self, channels: Size) -> Size:
        return channels * self.num // self.den

    def __str__(self) -> str:
        return f"x{self.num}" + (f"/{self.den}" if self.den != 1 else "")


Width: TypeAlias = Size | Times | None  # channels that leave: a number, relative to what arrives, or (None) the same


class Leaf(Node):
    """An operator. `kind` and `form` classify it for cost tables, device models and conventions."""

    kind: ClassVar[str] = ""
    inputs: ClassVar[int | None] = 1  # None: any number
    view: ClassVar[bool] = False  # True: the output is the input's memory under another shape

    def out(self, *xs: Shape) -> Shape:
        """The shape that leaves, given the shapes that arrive. Raises ShapeError when they do not fit."""
        return xs[0]

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        """The trainable tensors by name."""
        return {}

    def buffers(self, *xs: Shape) -> dict[str, Shape]:
        """The tensors that are stored but not trained by gradient (running statistics, fixed codes)."""
        return {}

    def macs(self, y: Shape, *xs: Shape) -> Size:
        """Multiply-accumulates for one image, given the shape that leaves and those that arrive."""
        return 0

    def inner(self, *xs: Shape) -> Size:
        """Elements that matrix products inside of it write and that do not leave it, such as scores of attention."""
        return 0

    def form(self, *xs: Shape) -> str:
        """The variety within the kind, such as depthwise for a convolution."""
        return ""


def pair(value: Pair) -> tuple[int, int]:
    """(vertical, horizontal) of a number that may stand for both."""
    return value if isinstance(value, tuple) else (value, value)


def pair_text(value: Pair) -> str:
    """A pair as people write it: 3x3."""
    return "x".join(map(str, pair(value)))


def need(condition: bool, message: str) -> None:
    """Refuse a value that has no meaning when the node is made."""
    if not condition:
        raise ValueError(message)


def positive(**values: object) -> None:
    """Refuse zero and negative whole numbers; symbols pass."""
    for name, value in values.items():
        for size in value if isinstance(value, tuple) else (value,):
            if isinstance(size, int) and size < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")


def resolve(wanted: Width, channels: Size) -> Size:
    """The channels that leave, given those that arrive."""
    return channels if wanted is None else wanted(channels) if isinstance(wanted, Times) else wanted


def feature_map(x: Shape, who: str) -> Shape:
    """x itself, if it is (channels, height, width)."""
    if len(x) != 3:
        raise ShapeError(f"{who} needs (channels, height, width), but {x} arrives")
    return x


def pads(x: Shape, kernel: Pair, stride: Pair, padding: Padding, dilation: int = 1) -> tuple[Size, Size, Size, Size]:
    """(top, left, bottom, right) padding of a window on x; None keeps the size at stride 1, "same" is TensorFlow's.

    TensorFlow pads as much as gives ceil(n / stride) positions, and puts an odd rest at the end.
    """
    (kh, kw), (sh, sw) = pair(kernel), pair(stride)
    if padding == "same":
        high = max((-(-x[1] // sh) - 1) * sh + dilation * (kh - 1) + 1 - x[1], 0)
        wide = max((-(-x[2] // sw) - 1) * sw + dilation * (kw - 1) + 1 - x[2], 0)
        return high // 2, wide // 2, high - high // 2, wide - wide // 2
    ph, pw = (dilation * (kh - 1) // 2, dilation * (kw - 1) // 2) if padding is None else pair(padding)
    return ph, pw, ph, pw


def window(x: Shape, kernel: Pair, stride: Pair, padding: Padding, dilation: int, who: str) -> tuple[Size, Size]:
    """Output height and width of a sliding window: (n + pads - d(k-1) - 1) // s + 1."""
    (kh, kw), (sh, sw) = pair(kernel), pair(stride)
    top, left, bottom, right = pads(x, kernel, stride, padding, dilation)
    high = (x[1] + top + bottom - dilation * (kh - 1) - 1) // sh + 1
    wide = (x[2] + left + right - dilation * (kw - 1) - 1) // sw + 1
    if (isinstance(high, int) and high < 1) or (isinstance(wide, int) and wide < 1):
        window = f"{who} with kernel {pair_text(kernel)} and padding {pair_text((top, left))}"
        raise ShapeError(
            f"{window} does not fit into {x[1]}x{x[2]}",
            hint="raise the resolution, or lower the kernel or the strides before it",
        )
    return high, wide
