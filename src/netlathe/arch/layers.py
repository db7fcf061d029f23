"""The leaves with weights: convolution, linear, norm, activation, scale.

The only place that knows their arithmetic.
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from math import prod
from typing import Literal

from netlathe.arch.leaf import Leaf, Padding, Pair, Width, feature_map, need, pair, pair_text, positive, resolve, window
from netlathe.arch.node import Shape, Size, node
from netlathe.errors import ShapeError


@node
class Conv(Leaf):
    """y[o] = sum_i w[o, i] * x[i]: a 2-D convolution, (C, H, W) -> (out, H', W').

    `groups` splits the channels (cardinality); `group_width` says instead how many channels a group has, so
    group_width=1 is depthwise whatever arrives. `padding`: see `leaf.pads`.
    """

    width: Width
    kernel: Pair = 1
    stride: Pair = 1
    _: KW_ONLY
    groups: Size = 1
    group_width: Size | None = None
    dilation: int = 1
    padding: Padding = None
    bias: bool = False

    kind = "conv"

    def __post_init__(self) -> None:
        positive(width=self.width, kernel=self.kernel, stride=self.stride, groups=self.groups,
                 group_width=self.group_width, dilation=self.dilation)  # fmt: skip

    def group_count(self, x: Shape) -> Size:
        """How many groups the channels of x are split into."""
        return self.groups if self.group_width is None else x[0] // self.group_width

    def out(self, *xs: Shape) -> Shape:
        x = feature_map(xs[0], "conv")
        wide = resolve(self.width, x[0])
        inner, groups = self.group_width, self.group_count(x)
        if isinstance(x[0], int) and isinstance(inner, int) and x[0] % inner:
            raise ShapeError(f"{x[0]} input channels cannot be split into groups of {inner}")
        for channels, side in ((x[0], "input"), (wide, "output")):
            if isinstance(channels, int) and isinstance(groups, int) and channels % groups:
                raise ShapeError(
                    f"{channels} {side} channels cannot be split into {groups} groups",
                    hint=f"{x} arrives, {wide} channels leave: both must be multiples of the groups",
                )
        return (wide, *window(x, self.kernel, self.stride, self.padding, self.dilation, "conv"))

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        x = xs[0]
        wide = resolve(self.width, x[0])
        inner = self.group_width if self.group_width is not None else x[0] // self.groups
        weight: dict[str, Shape] = {"weight": (wide, inner, *pair(self.kernel))}
        return weight | {"bias": (wide,)} if self.bias else weight

    def macs(self, y: Shape, *xs: Shape) -> Size:
        return prod(self.weights(*xs)["weight"]) * y[1] * y[2]

    def form(self, *xs: Shape) -> str:
        groups = self.group_count(xs[0])
        if groups != 1:
            return "depthwise" if groups == xs[0][0] else "grouped"
        return "pointwise" if pair(self.kernel) == (1, 1) else "dense"

    def __str__(self) -> str:
        wide = "" if self.width is None else f" {self.width}"
        grouped = f" groups {self.groups}" if self.groups != 1 else ""
        if self.group_width is not None:
            grouped = " depthwise" if self.group_width == 1 else f" group width {self.group_width}"
        stride = f" /{self.stride}" if self.stride != 1 else ""
        padding = f" pad {self.padding}" if self.padding is not None else ""
        dilation = f" dilation {self.dilation}" if self.dilation != 1 else ""
        return f"conv {pair_text(self.kernel)}{wide}{stride}{grouped}{dilation}{padding}{' bias' * self.bias}"


@node
class ConvTranspose(Leaf):
    """y = a k x k patch an input position, `stride` apart, overlaps added: (C, H, W) -> (out, H', W'), H' = (H-1)s + k.

    MACs are those of the input positions: each is multiplied by the whole kernel.
    """

    width: Width
    kernel: Pair = 2
    stride: Pair = 2
    _: KW_ONLY
    bias: bool = True

    kind = "conv"

    def __post_init__(self) -> None:
        positive(width=self.width, kernel=self.kernel, stride=self.stride)

    def out(self, *xs: Shape) -> Shape:
        x = feature_map(xs[0], "transposed conv")
        (kh, kw), (sh, sw) = pair(self.kernel), pair(self.stride)
        return (resolve(self.width, x[0]), (x[1] - 1) * sh + kh, (x[2] - 1) * sw + kw)

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        wide = resolve(self.width, xs[0][0])
        weight: dict[str, Shape] = {"weight": (xs[0][0], wide, *pair(self.kernel))}
        return weight | {"bias": (wide,)} if self.bias else weight

    def macs(self, y: Shape, *xs: Shape) -> Size:
        return prod(self.weights(*xs)["weight"]) * xs[0][1] * xs[0][2]

    def form(self, *xs: Shape) -> str:
        return "transposed"

    def __str__(self) -> str:
        wide = "" if self.width is None else f" {self.width}"
        return f"transposed conv {pair_text(self.kernel)}{wide} /{self.stride}"


@node
class Linear(Leaf):
    """y = W x + b over the last axis of features (C,), tokens (T, C) or a grid (1, H, W, C)."""

    width: Width
    bias: bool = True

    kind = "linear"

    def __post_init__(self) -> None:
        positive(width=self.width)

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) == 3:
            hint = "flatten it first, or read it as Grid() or Tokens()"
            raise ShapeError(f"linear needs features, tokens or a grid, but the map {xs[0]} arrives", hint=hint)
        return (*xs[0][:-1], resolve(self.width, xs[0][-1]))

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        wide = resolve(self.width, xs[0][-1])
        weight: dict[str, Shape] = {"weight": (wide, xs[0][-1])}
        return weight | {"bias": (wide,)} if self.bias else weight

    def macs(self, y: Shape, *xs: Shape) -> Size:
        return prod(y) * xs[0][-1]

    def __str__(self) -> str:
        wide = "" if self.width is None else f" {self.width}"
        return f"linear{wide}{'' if self.bias else ' no bias'}"


@node
class Norm(Leaf):
    """y = (x - mean) / sqrt(var + eps) * w + b, w and b by channel.

    mean and var are those of a channel over the data (`batch`, running statistics at inference), of all channels at a
    position (`layer`), or of a map's `groups` groups of channels over all positions (`group`; Wu and He 2018,
    https://arxiv.org/abs/1803.08494).
    """

    mode: Literal["batch", "layer", "group"] = "batch"
    eps: float = 1e-5
    groups: int = 32  # of mode `group`

    kind = "norm"

    def __post_init__(self) -> None:
        need(self.mode in ("batch", "layer", "group"), f"mode must be batch, layer or group, not {self.mode!r}")
        need(self.eps > 0, f"eps must be positive, not {self.eps}")
        positive(groups=self.groups)

    def out(self, *xs: Shape) -> Shape:
        if self.mode == "group":
            channels = feature_map(xs[0], "group norm")[0]
            if isinstance(channels, int) and channels % self.groups:
                raise ShapeError(f"{channels} channels cannot be normed in {self.groups} groups")
        return xs[0]

    def channels(self, x: Shape) -> Size:
        """The size of the channel axis: the first of a map, else the last."""
        return x[0] if len(x) == 3 else x[-1]

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        return {"weight": (self.channels(xs[0]),), "bias": (self.channels(xs[0]),)}

    def buffers(self, *xs: Shape) -> dict[str, Shape]:
        if self.mode != "batch":
            return {}
        return {"running_mean": (self.channels(xs[0]),), "running_var": (self.channels(xs[0]),)}

    def form(self, *xs: Shape) -> str:
        return self.mode

    def __str__(self) -> str:
        return f"{self.mode} norm"


ACTS = ("relu", "relu6", "silu", "gelu", "sigmoid", "tanh", "scaled_tanh", "hardswish", "hardsigmoid", "softmax")


@node
class Act(Leaf):
    """y = f(x), element by element (softmax: over the last axis)."""

    function: str = "relu"

    kind = "act"

    def __post_init__(self) -> None:
        need(self.function in ACTS, f"function must be one of {', '.join(ACTS)}, not {self.function!r}")

    def form(self, *xs: Shape) -> str:
        return self.function

    def __str__(self) -> str:
        return self.function


@node
class ResponseNorm(Leaf):
    """y = x + w x n + b, n = |x_c| / mean over channels of |x_c|, |x_c| the length of a channel over all positions.

    Woo et al. 2023, ConvNeXt V2, https://arxiv.org/abs/2301.00808, section 3 (global response normalisation): maps
    (C, H, W) and grids (1, H, W, C).
    """

    eps: float = 1e-6

    kind = "norm"

    def __post_init__(self) -> None:
        need(self.eps > 0, f"eps must be positive, not {self.eps}")

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) not in (3, 4):
            raise ShapeError(f"response norm needs a map or a grid, but {xs[0]} arrives")
        return xs[0]

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        channels = xs[0][0] if len(xs[0]) == 3 else xs[0][-1]
        return {"weight": (channels,), "bias": (channels,)}

    def form(self, *xs: Shape) -> str:
        return "response"

    def __str__(self) -> str:
        return "response norm"


@node
class Scale(Leaf):
    """y = w * x (+ b), one trainable factor a channel."""

    bias: bool = False

    kind = "scale"

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        channels = xs[0][0] if len(xs[0]) == 3 else xs[0][-1]
        return {"weight": (channels,), "bias": (channels,)} if self.bias else {"weight": (channels,)}

    def __str__(self) -> str:
        return "scale and shift" if self.bias else "scale"
