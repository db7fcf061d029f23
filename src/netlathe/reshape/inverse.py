"""Why one primitive recurs in inverse forms: pointwise c -> m, an operator at width m, pointwise m -> c.

The cost of a position is 2 c m + f(m), and f decides where the width belongs:
dense       f = k^2 m^2   grows fastest: squeeze, m < c (ResNet's bottleneck; GoogLeNet's reduce is the half of it)
depthwise   f = k^2 m     no faster than the pointwise parts: widen, m > c (MobileNetV2)
none        f = 0         the spatial operator is outside, at width c: widen (a Transformer's MLP, ConvNeXt)

Nothing is written down twice: every formula comes from the leaves of the expressions below.
"""

from __future__ import annotations

from typing import Any

from netlathe.arch.build import seq
from netlathe.arch.layers import Conv
from netlathe.arch.node import Node
from netlathe.cost.formula import formula, odd_symbol, symbols, sympy
from netlathe.errors import unknown

INNER: dict[str, Any] = {
    "dense": lambda m, k: {"process": Conv(m, k)},
    "depthwise": lambda m, k: {"process": Conv(None, k, group_width=1)},
    "none": lambda m, k: {},
}


def block(inner: str, c: Any, m: Any, k: Any) -> Node:
    """Pointwise c -> m, the inner operator, pointwise m -> c. Raises NetlatheError for an unknown operator."""
    if inner not in INNER:
        raise unknown("inner operator", inner, INNER, code="inverse.inner")
    return seq(widen=Conv(m), **INNER[inner](m, k), narrow=Conv(c))


def cost(inner: str) -> Any:
    """2 c m + f(m), MACs a position, in sympy symbols c, m and k."""
    c, m, h, w = symbols("c m h w")
    return sympy().expand(formula(block(inner, c, m, odd_symbol("k")), (c, h, w)).macs / (h * w))


def operator(inner: str) -> Any:
    """f(m) alone."""
    return sympy().expand(cost(inner) - cost("none"))


def balance(inner: str) -> Any:
    """The m at which the operator costs as much as both pointwise parts; None where m does not matter."""
    m = symbols("m")[0]
    solutions = sympy().solve(sympy().Eq(operator(inner), cost("none")), m)
    return solutions[0] if solutions else None


def share(inner: str) -> Any:
    """The part of the block that the operator costs, f / (2 c m + f)."""
    return sympy().simplify(operator(inner) / cost(inner))


def affordable(inner: str, budget: Any) -> Any:
    """The largest m, not rounded, whose block costs no more than `budget` MACs a position."""
    algebra, m = sympy(), symbols("m")[0]
    real = algebra.Dummy("m", positive=True)  # a whole m would be no solution between two whole numbers
    return algebra.simplify(algebra.solve(cost(inner).subs(m, real) - budget, real)[-1])
