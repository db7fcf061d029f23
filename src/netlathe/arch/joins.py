"""The leaves that combine, cut or re-read values: add, subtract, multiply, concatenate, select, crop, flatten ..."""

from __future__ import annotations

from netlathe.arch.leaf import Leaf, feature_map, need, positive
from netlathe.arch.node import Shape, node
from netlathe.errors import ShapeError


@node
class Add(Leaf):
    """y = x1 + x2 + ..., equal shapes."""

    kind = "add"
    inputs = None

    def out(self, *xs: Shape) -> Shape:
        if any(x != xs[0] for x in xs):
            raise ShapeError(
                f"cannot add {' and '.join(map(str, xs))}",
                hint="a residual needs equal shapes: set the output width, or give a projection",
            )
        return xs[0]

    def __str__(self) -> str:
        return "add"


@node
class Subtract(Leaf):
    """y = x1 - x2, equal shapes."""

    kind = "add"
    inputs = 2

    def out(self, *xs: Shape) -> Shape:
        if xs[0] != xs[1]:
            raise ShapeError(f"cannot subtract {xs[1]} from {xs[0]}", hint="shapes must be equal")
        return xs[0]

    def form(self, *xs: Shape) -> str:
        return "difference"

    def __str__(self) -> str:
        return "subtract"


@node
class Mul(Leaf):
    """y = x * g, where g has x's shape or is one factor a channel (C, 1, 1)."""

    kind = "mul"
    inputs = 2

    def out(self, *xs: Shape) -> Shape:
        x, gate = xs
        if gate != x and gate != (x[0], 1, 1):
            raise ShapeError(f"cannot multiply {x} by {gate}", hint=f"the gate must be {x} or {(x[0], 1, 1)}")
        return x

    def __str__(self) -> str:
        return "multiply"


@node
class Cat(Leaf):
    """y = the channels of all inputs, one after the other."""

    kind = "cat"
    inputs = None

    def out(self, *xs: Shape) -> Shape:
        if any(x[1:] != xs[0][1:] or len(x) != len(xs[0]) for x in xs):
            shapes = " and ".join(map(str, xs))
            raise ShapeError(f"cannot concatenate {shapes}", hint="heights and widths must be equal")
        channels = xs[0][0]
        for x in xs[1:]:
            channels = channels + x[0]
        return (channels, *xs[0][1:])

    def __str__(self) -> str:
        return "concatenate"


@node
class Select(Leaf):
    """y = the named channels of x, in the given order (LeNet-5's partial connection table)."""

    channels: tuple[int, ...]

    kind = "select"

    def __post_init__(self) -> None:
        need(bool(self.channels) and min(self.channels) >= 0, "channels must be one or more numbers from 0")

    def out(self, *xs: Shape) -> Shape:
        x = feature_map(xs[0], "select")
        if max(self.channels) >= x[0]:
            raise ShapeError(f"channel {max(self.channels)} does not exist in {x}")
        return (len(self.channels), *x[1:])

    def __str__(self) -> str:
        return f"channels {' '.join(map(str, self.channels))}"


@node
class Condition(Leaf):
    """y = x + b, one shift a channel that is computed elsewhere: (C, H, W) and (C,) -> (C, H, W)."""

    kind = "add"
    inputs = 2

    def out(self, *xs: Shape) -> Shape:
        x, shift = xs
        if shift != (x[0],):
            raise ShapeError(f"cannot shift {x} by {shift}", hint=f"the shift must be {(x[0],)}")
        return x

    def __str__(self) -> str:
        return "shift channels"


@node
class Crop(Leaf):
    """y = the middle height x width of a map; an odd rest is cut at the end."""

    height: int
    width: int

    kind = "crop"

    def __post_init__(self) -> None:
        positive(height=self.height, width=self.width)

    def out(self, *xs: Shape) -> Shape:
        x = feature_map(xs[0], "crop")
        if self.height > x[1] or self.width > x[2]:
            raise ShapeError(f"cannot crop {x} to {self.height}x{self.width}")
        return (x[0], self.height, self.width)

    def __str__(self) -> str:
        return f"crop {self.height}x{self.width}"


@node
class Offset(Leaf):
    """y[i, j] = x[i + 1, j + 1], zero beyond the edge: the second path of NASNet's factorised reduction."""

    kind = "move"

    def out(self, *xs: Shape) -> Shape:
        return feature_map(xs[0], "offset")

    def __str__(self) -> str:
        return "offset by one"


@node
class Zero(Leaf):
    """y = 0, in the shape of x: an edge of a cell that carries nothing (the operation `none`)."""

    kind = "zero"

    def __str__(self) -> str:
        return "zero"


@node
class Upsample(Leaf):
    """y = every position repeated `factor` times both ways (nearest neighbour)."""

    factor: int = 2

    kind = "upsample"

    def __post_init__(self) -> None:
        positive(factor=self.factor)

    def out(self, *xs: Shape) -> Shape:
        x = feature_map(xs[0], "upsample")
        return (x[0], x[1] * self.factor, x[2] * self.factor)

    def __str__(self) -> str:
        return f"upsample x{self.factor}"


@node
class Flatten(Leaf):
    """y = all elements of x in a row: (C, H, W) -> (C * H * W,)."""

    kind = "flatten"
    view = True

    def out(self, *xs: Shape) -> Shape:
        features = xs[0][0]
        for size in xs[0][1:]:
            features = features * size
        return (features,)

    def __str__(self) -> str:
        return "flatten"


@node
class Rbf(Leaf):
    """y[j] = sum_i (x[i] - w[j, i])^2 with fixed codes w (LeCun et al. 1998, section II.B).

    The squared distance is not a multiply-accumulate, so it counts no MACs; the codes are not trained.
    """

    classes: int

    kind = "rbf"

    def __post_init__(self) -> None:
        positive(classes=self.classes)

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) != 1:
            raise ShapeError(f"rbf needs a row of features, but {xs[0]} arrives", hint="flatten it first")
        return (self.classes,)

    def buffers(self, *xs: Shape) -> dict[str, Shape]:
        return {"codes": (self.classes, xs[0][0])}

    def __str__(self) -> str:
        return f"distance to {self.classes} fixed codes"
