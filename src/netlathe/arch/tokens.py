"""The leaves of Transformers: layouts, tokens, positions, attention.

Channels come last where tokens are meant: (T, C), or (1, H, W, C) where the grid of positions has to be remembered.
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from math import prod

from netlathe.arch.leaf import Leaf, feature_map, positive
from netlathe.arch.node import Shape, Size, node
from netlathe.errors import ShapeError


def grid_map(x: Shape, who: str) -> Shape:
    """x itself, if it is (1, height, width, channels)."""
    if len(x) != 4:
        raise ShapeError(
            f"{who} needs a grid (1, height, width, channels), but {x} arrives", hint="put Grid() before it"
        )
    return x


def token_row(x: Shape, who: str) -> Shape:
    """x itself, if it is (tokens, channels)."""
    if len(x) != 2:
        raise ShapeError(f"{who} needs (tokens, channels), but {x} arrives", hint="put Tokens() before it")
    return x


@node
class Grid(Leaf):
    """The same numbers, channels last: (C, H, W) -> (1, H, W, C)."""

    kind = "layout"
    view = True

    def out(self, *xs: Shape) -> Shape:
        c, h, w = feature_map(xs[0], "grid")
        return (1, h, w, c)

    def __str__(self) -> str:
        return "channels last"


@node
class Map(Leaf):
    """The same numbers, channels first: (1, H, W, C) -> (C, H, W)."""

    kind = "layout"
    view = True

    def out(self, *xs: Shape) -> Shape:
        _, h, w, c = grid_map(xs[0], "map")
        return (c, h, w)

    def __str__(self) -> str:
        return "channels first"


@node
class Tokens(Leaf):
    """The same numbers, one token a position, row by row: (C, H, W) -> (H W, C)."""

    kind = "layout"
    view = True

    def out(self, *xs: Shape) -> Shape:
        c, h, w = feature_map(xs[0], "tokens")
        return (h * w, c)

    def __str__(self) -> str:
        return "tokens"


@node
class Merge(Leaf):
    """y = the 2x2 neighbours of every second position, channels one after the other: (1, H, W, C) -> (1, H/2, W/2, 4C).

    The order is (even, even), (odd, even), (even, odd), (odd, odd) of (row, column), Swin's; an odd side is padded.
    """

    kind = "merge"

    def out(self, *xs: Shape) -> Shape:
        _, h, w, c = grid_map(xs[0], "merge")
        return (1, (h + 1) // 2, (w + 1) // 2, 4 * c)

    def __str__(self) -> str:
        return "merge 2x2"


@node
class ClassToken(Leaf):
    """y = a trained token, then those of x: (T, C) -> (T + 1, C)."""

    kind = "token"

    def out(self, *xs: Shape) -> Shape:
        t, c = token_row(xs[0], "class token")
        return (t + 1, c)

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        return {"token": (xs[0][1],)}

    def __str__(self) -> str:
        return "class token"


@node
class FirstToken(Leaf):
    """y = the first token: (T, C) -> (C,)."""

    kind = "select"

    def out(self, *xs: Shape) -> Shape:
        return (token_row(xs[0], "first token")[1],)

    def __str__(self) -> str:
        return "first token"


@node
class Position(Leaf):
    """y = x + a trained vector for every position: (T, C)."""

    kind = "position"

    def out(self, *xs: Shape) -> Shape:
        return token_row(xs[0], "position")

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        return {"weight": xs[0]}

    def __str__(self) -> str:
        return "position"


@node
class Embedding(Leaf):
    """y[t] = the vector of the token id x[t]: (T,) -> (T, width). A look-up, so no MACs."""

    vocabulary: int
    width: Size

    kind = "embedding"

    def __post_init__(self) -> None:
        positive(vocabulary=self.vocabulary, width=self.width)

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) != 1:
            raise ShapeError(f"embedding needs a row of token ids, but {xs[0]} arrives")
        return (xs[0][0], self.width)

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        return {"weight": (self.vocabulary, self.width)}

    def __str__(self) -> str:
        return f"embedding {self.vocabulary} x {self.width}"


@node
class Sinusoid(Leaf):
    """y = [cos(t f_i)], [sin(t f_i)], f_i = 10000^(-i / half), of a time step t: (1,) -> (width,).

    Vaswani et al. 2017, section 3.5, as diffusion models embed time (Ho et al. 2020, https://arxiv.org/abs/2006.11239).
    """

    width: int

    kind = "position"

    def __post_init__(self) -> None:
        positive(width=self.width)

    def out(self, *xs: Shape) -> Shape:
        if xs[0] != (1,) or self.width % 2:
            raise ShapeError(
                f"sinusoid needs one time step (1,) and an even width, but {xs[0]} and {self.width} arrive"
            )
        return (self.width,)

    def __str__(self) -> str:
        return f"sinusoid {self.width}"


@node
class Attention(Leaf):
    """y = softmax(q k^T / sqrt(d)) v by head, on [q, k, v] side by side: (T, 3C) -> (T, C).

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2. MACs are those of both products: 2 T^2 C. On a
    grid (1, H, W, 3C) every position is a token, T = H W, and a grid (1, H, W, C) leaves.
    """

    heads: Size

    kind = "attention"

    def __post_init__(self) -> None:
        positive(heads=self.heads)

    def out(self, *xs: Shape) -> Shape:
        x = xs[0] if len(xs[0]) == 4 else token_row(xs[0], "attention")
        return (*x[:-1], split(x[-1], self.heads))

    def macs(self, y: Shape, *xs: Shape) -> Size:
        tokens = prod(y[:-1])
        return 2 * tokens * tokens * y[-1]

    def inner(self, *xs: Shape) -> Size:
        tokens = prod(xs[0][:-1])
        return self.heads * tokens * tokens

    def form(self, *xs: Shape) -> str:
        return "global"

    def __str__(self) -> str:
        return f"attention {self.heads} head{'s' * (self.heads != 1)}"


@node
class WindowAttention(Leaf):
    """y = softmax(q k^T / sqrt(d) + b) v by head inside windows: (1, H, W, 3C) -> (1, H, W, C).

    Liu et al. 2021, Swin, https://arxiv.org/abs/2103.14030, section 3.2. b is a trained number for each of the
    (2 size - 1)^2 offsets and each head. With `shift` the grid is first rolled by it, and positions that were not
    neighbours do not see each other. A grid that the window does not divide is padded; one no larger than the window
    is a single window without shift.
    """

    heads: Size
    size: int = 7
    _: KW_ONLY
    shift: int = 0

    kind = "attention"

    def __post_init__(self) -> None:
        positive(heads=self.heads, size=self.size)
        if not 0 <= self.shift < self.size:
            raise ValueError(f"shift must be from 0 to {self.size - 1}, not {self.shift}")

    def window(self, x: Shape) -> tuple[int, int]:
        """(side of a window, shift) on a grid: not larger than the grid."""
        return (self.size, self.shift) if min(x[1], x[2]) > self.size else (min(x[1], x[2]), 0)

    def out(self, *xs: Shape) -> Shape:
        _, h, w, c = grid_map(xs[0], "window attention")
        return (1, h, w, split(c, self.heads))

    def weights(self, *xs: Shape) -> dict[str, Shape]:
        side, _ = self.window(xs[0])
        return {"bias": ((2 * side - 1) ** 2, self.heads)}

    def macs(self, y: Shape, *xs: Shape) -> Size:
        side, _ = self.window(xs[0])
        windows = -(-y[1] // side) * -(-y[2] // side)
        return windows * 2 * side**4 * y[3]

    def inner(self, *xs: Shape) -> Size:
        side, _ = self.window(xs[0])
        return self.heads * -(-xs[0][1] // side) * -(-xs[0][2] // side) * side**4

    def form(self, *xs: Shape) -> str:
        return "window"

    def __str__(self) -> str:
        return f"window attention {self.heads} heads {self.size}x{self.size}{f' shift {self.shift}' * bool(self.shift)}"


def split(channels: Size, heads: Size) -> Size:
    """The channels of a value, given those of query, key and value together."""
    if isinstance(channels, int) and isinstance(heads, int) and channels % (3 * heads):
        raise ShapeError(f"{channels} channels are not query, key and value of {heads} heads")
    return channels // 3
