"""The leaves that look at a neighbourhood without weights: pooling and local response norm."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Literal

from netlathe.arch.leaf import Leaf, Pair, feature_map, need, pads, pair, pair_text, positive, window
from netlathe.arch.node import Shape, Size, node


@node
class Pool(Leaf):
    """y = max or mean over a sliding window; `stride` None is the kernel.

    `ceil` keeps a last window that is only partly inside; `count_padding` divides the mean by the whole window.
    """

    mode: Literal["max", "avg"]
    kernel: Pair
    stride: Pair | None = None
    _: KW_ONLY
    padding: Pair | Literal["same"] = 0
    ceil: bool = False
    count_padding: bool = True

    kind = "pool"

    def __post_init__(self) -> None:
        need(self.mode in ("max", "avg"), f"mode must be max or avg, not {self.mode!r}")
        positive(kernel=self.kernel, stride=self.stride)
        for p, k in zip(pair(0 if self.padding == "same" else self.padding), pair(self.kernel), strict=True):
            need(0 <= 2 * p <= k, f"padding must be from 0 to half the kernel {self.kernel}, not {self.padding}")

    def step(self) -> tuple[int, int]:
        """(vertical, horizontal) stride."""
        return pair(self.kernel if self.stride is None else self.stride)

    def out(self, *xs: Shape) -> Shape:
        x = feature_map(xs[0], "pool")
        floor = window(x, self.kernel, self.step(), self.padding, 1, "pool")
        if not self.ceil:
            return (x[0], *floor)
        sizes: list[Size] = []
        top, left, bottom, right = pads(x, self.kernel, self.step(), self.padding)
        sides = ((top, bottom), (left, right))
        for n, k, s, (before, after) in zip(x[1:], pair(self.kernel), self.step(), sides, strict=True):
            count = -(-(n + before + after - k) // s) + 1
            # torch's rule: a window that would start in the padding at the end is dropped
            sizes.append(count - 1 if (count - 1) * s >= n + before else count)
        return (x[0], *sizes)

    def form(self, *xs: Shape) -> str:
        return self.mode

    def __str__(self) -> str:
        stride = "" if self.stride is None else f" /{self.stride}"
        return f"{self.mode} pool {pair_text(self.kernel)}{stride}{f' pad {self.padding}' if self.padding else ''}"


@node
class GlobalPool(Leaf):
    """y = mean over all positions: (C, H, W) -> (C, 1, 1); tokens (T, C) and a grid (1, H, W, C) -> (C,)."""

    kind = "globalpool"

    def out(self, *xs: Shape) -> Shape:
        x = xs[0]
        return (x[-1],) if len(x) in (2, 4) else (feature_map(x, "global pool")[0], 1, 1)

    def __str__(self) -> str:
        return "global pool"


@node
class AdaptivePool(Leaf):
    """y = mean over a grid of size x size windows that cover the map, overlapping where it does not divide."""

    size: int

    kind = "adaptivepool"

    def __post_init__(self) -> None:
        positive(size=self.size)

    def out(self, *xs: Shape) -> Shape:
        return (feature_map(xs[0], "adaptive pool")[0], self.size, self.size)

    def __str__(self) -> str:
        return f"adaptive pool to {pair_text(self.size)}"


@node
class LocalNorm(Leaf):
    """y[c] = x[c] / (bias + alpha / size * sum over `size` channels around c of x^2) ^ beta (AlexNet, section 3.3).

    `alpha` is torch's and ONNX's, divided by the size; the paper's alpha of 1e-4 is not divided: write size * 1e-4.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    kind = "localnorm"

    def __post_init__(self) -> None:
        positive(size=self.size)

    def __str__(self) -> str:
        return f"local norm {self.size}"
