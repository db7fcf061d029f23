"""The leaves that move numbers about and compute nothing: transposition, parts of channels, shuffles, heads, patches.

A value of three axes is a map (C, H, W) or a stack of matrices (heads, T, C); channels are the first axis of a map and
the last of features, tokens and grids.
"""

from __future__ import annotations

from math import prod

from netlathe.arch.leaf import Leaf, feature_map, need, positive
from netlathe.arch.node import Shape, Size, node
from netlathe.arch.tokens import grid_map, split, token_row
from netlathe.errors import ShapeError


@node
class Transpose(Leaf):
    """y = x with its axes in another order: (1, 0) of tokens is (T, C) -> (C, T). Axis 0 of a grid stays in its place.

    Tolstikhin et al. 2021, MLP-Mixer, https://arxiv.org/abs/2105.01601, mixes tokens by it.
    """

    order: tuple[int, ...] = (1, 0)

    kind = "layout"
    view = True

    def __post_init__(self) -> None:
        need(sorted(self.order) == list(range(len(self.order))), f"order must name every axis once, not {self.order}")
        need(len(self.order) != 4 or self.order[0] == 0, "axis 0 of a grid stays in its place")

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) != len(self.order):
            raise ShapeError(f"transpose orders {len(self.order)} axes, but {xs[0]} arrives")
        return tuple(xs[0][axis] for axis in self.order)

    def __str__(self) -> str:
        return f"transpose {' '.join(map(str, self.order))}"


@node
class Chunk(Leaf):
    """y = part `index` (from 0) of the channels of x in `count` equal parts: (C, H, W) -> (C / count, H, W)."""

    index: int
    count: int = 2

    kind = "select"

    def __post_init__(self) -> None:
        positive(count=self.count)
        need(0 <= self.index < self.count, f"index must be from 0 to {self.count - 1}, not {self.index}")

    def out(self, *xs: Shape) -> Shape:
        axis = channel_axis(xs[0])
        channels = divided(xs[0][axis], self.count, "parts")
        return (*xs[0][:axis], channels, *xs[0][axis + 1 :])

    def __str__(self) -> str:
        return f"channels, part {self.index + 1} of {self.count}"


@node
class Shuffle(Leaf):
    """y = the channels of x, one of each of `groups` groups in turn: (C, H, W).

    Zhang et al. 2017, ShuffleNet, https://arxiv.org/abs/1707.01083, figure 1.
    """

    groups: int = 2

    kind = "layout"

    def __post_init__(self) -> None:
        positive(groups=self.groups)

    def out(self, *xs: Shape) -> Shape:
        x = feature_map(xs[0], "shuffle")
        divided(x[0], self.groups, "groups")
        return x

    def form(self, *xs: Shape) -> str:
        return "shuffle"

    def __str__(self) -> str:
        return f"shuffle {self.groups} groups"


@node
class Heads(Leaf):
    """y = the channels of every token as heads: (T, C) -> (heads, T, C / heads)."""

    heads: int

    kind = "layout"
    view = True

    def __post_init__(self) -> None:
        positive(heads=self.heads)

    def out(self, *xs: Shape) -> Shape:
        t, c = token_row(xs[0], "heads")
        return (self.heads, t, divided(c, self.heads, "heads"))

    def __str__(self) -> str:
        return f"{self.heads} heads"


@node
class Join(Leaf):
    """y = the heads of every token side by side: (heads, T, C) -> (T, heads C)."""

    kind = "layout"
    view = True

    def out(self, *xs: Shape) -> Shape:
        heads, t, c = feature_map(xs[0], "join")
        return (t, heads * c)

    def __str__(self) -> str:
        return "join heads"


@node
class Unfold(Leaf):
    """y = a row for each place in a patch, of the positions at that place: (C, H, W) -> (1, p^2, H W / p^2, C).

    Mehta and Rastegari 2021, MobileViT, https://arxiv.org/abs/2110.02178, section 3.1. `Fold` is the way back.
    """

    patch: int = 2

    kind = "layout"

    def __post_init__(self) -> None:
        positive(patch=self.patch)

    def out(self, *xs: Shape) -> Shape:
        c, h, w = feature_map(xs[0], "unfold")
        p = self.patch
        return (1, p * p, divided(h, p, "patches") * divided(w, p, "patches"), c)

    def form(self, *xs: Shape) -> str:
        return "unfold"

    def __str__(self) -> str:
        return f"unfold {self.patch}x{self.patch}"


@node
class Fold(Leaf):
    """y = the map that `Unfold` took apart, of the size of a second: (1, p^2, N, C) and (., H, W) -> (C, H, W)."""

    patch: int = 2

    kind = "layout"
    inputs = 2

    def __post_init__(self) -> None:
        positive(patch=self.patch)

    def out(self, *xs: Shape) -> Shape:
        _, places, positions, c = grid_map(xs[0], "fold")
        _, h, w = feature_map(xs[1], "fold")
        if (places, places * positions) != (self.patch**2, h * w):
            raise ShapeError(f"cannot fold {xs[0]} into patches of {self.patch}x{self.patch} of {h}x{w}")
        return (c, h, w)

    def form(self, *xs: Shape) -> str:
        return "fold"

    def __str__(self) -> str:
        return f"fold {self.patch}x{self.patch}"


@node
class Multiply(Leaf):
    """y = a b, a matrix product in every head: (T, S) and (S, C) -> (T, C), or (heads, T, S) and (heads, S, C).

    `transposed` turns the first (a^T b) or the second (a b^T) around before.
    """

    transposed: str = ""

    kind = "matmul"
    inputs = 2

    def __post_init__(self) -> None:
        legal = ("", "first", "second")
        need(self.transposed in legal, f"transposed must be first, second or nothing, not {self.transposed!r}")

    def turned(self, *xs: Shape) -> tuple[Shape, Shape]:
        """Both shapes as they are multiplied."""
        first, second = (
            (*x[:-2], x[-1], x[-2]) if self.transposed == which else x
            for x, which in zip(xs, ("first", "second"), strict=True)
        )
        return first, second

    def out(self, *xs: Shape) -> Shape:
        if any(len(x) not in (2, 3) for x in xs):
            raise ShapeError(f"a product needs matrices or heads of matrices, but {' and '.join(map(str, xs))} arrive")
        a, b = self.turned(*xs)
        if a[:-2] != b[:-2] or a[-1] != b[-2]:
            raise ShapeError(f"cannot multiply {a} by {b}", hint="the inner sizes and the heads must be equal")
        return (*a[:-1], b[-1])

    def macs(self, y: Shape, *xs: Shape) -> Size:
        return prod(y) * self.turned(*xs)[0][-1]

    def __str__(self) -> str:
        return "matrix product" + (f", the {self.transposed} transposed" if self.transposed else "")


@node
class RowAttention(Leaf):
    """y = softmax(q k^T / sqrt(d)) v by head, within each row of a grid: (1, R, N, 3C) -> (1, R, N, C)."""

    heads: int

    kind = "attention"

    def __post_init__(self) -> None:
        positive(heads=self.heads)

    def out(self, *xs: Shape) -> Shape:
        _, r, n, c = grid_map(xs[0], "row attention")
        return (1, r, n, split(c, self.heads))

    def macs(self, y: Shape, *xs: Shape) -> Size:
        return 2 * y[1] * y[2] * y[2] * y[3]

    def inner(self, *xs: Shape) -> Size:
        return self.heads * xs[0][1] * xs[0][2] * xs[0][2]

    def form(self, *xs: Shape) -> str:
        return "rows"

    def __str__(self) -> str:
        return f"row attention {self.heads} head{'s' * (self.heads != 1)}"


def channel_axis(x: Shape) -> int:
    """Which axis has the channels."""
    return 0 if len(x) in (1, 3) else len(x) - 1


def divided(size: Size, count: int, what: str) -> Size:
    """size / count; raises ShapeError where that is no whole number."""
    if isinstance(size, int) and size % count:
        raise ShapeError(f"{size} cannot be split into {count} {what}")
    return size // count
