"""totals(): params, MACs and activations of an expression as one memoised fold, without a graph.

Equal sub-expressions on equal shapes are counted once in a process, so a search scores tens of thousands of networks a
second. The graph says the same numbers operator by operator; a test holds the two equal.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from netlathe.arch.combinators import Combinator, Side
from netlathe.arch.graph import leaf_shape
from netlathe.arch.leaf import Leaf
from netlathe.arch.node import Node, Shape, Size
from netlathe.errors import ShapeError

MAC_KINDS = frozenset({"conv", "linear", "matmul", "attention"})  # the kinds whose outputs count as activations


class Totals(NamedTuple):
    """What an expression costs for one image: the shape that leaves, trainable params, MACs, activations.

    `acts` are the output elements of convolutions and matrix products, the scores of attention among them (fvcore's
    convention, where attention is not fused).
    """

    shape: Shape
    params: Size = 0
    macs: Size = 0
    acts: Size = 0


@lru_cache(maxsize=1 << 18)
def totals(expression: Node, *shapes: Shape) -> Totals:
    """Count an expression for inputs of the given shapes (without the batch axis). Raises ShapeError with a path."""
    if isinstance(expression, Leaf):
        return leaf_totals(expression, shapes)
    assert isinstance(expression, Combinator), f"{expression!r} is neither leaf nor combinator"
    if isinstance(expression, Side):
        return Totals(shapes[0])
    parts: list[Totals] = []

    def run(child: Node, name: str, *xs: Any) -> Totals:
        try:
            part = totals(child, *[x.shape for x in xs])
        except ShapeError as error:
            raise error.within(name) from None
        parts.append(part)
        return part

    y = expression.apply(run, *[Totals(shape) for shape in shapes])
    params = macs = acts = 0
    for part in parts:
        params += part.params
        macs += part.macs
        acts += part.acts
    return Totals(y.shape, params, macs, acts)


def leaf_totals(leaf: Leaf, shapes: tuple[Shape, ...]) -> Totals:
    """What one operator costs."""
    shape = leaf_shape(leaf, shapes, "")
    params = sum([prod(tensor) for tensor in leaf.weights(*shapes).values()])
    acts = prod(shape) + leaf.inner(*shapes) if leaf.kind in MAC_KINDS else 0
    return Totals(shape, params, leaf.macs(shape, *shapes), acts)
