"""formula(): the cost of an expression as formulas in its widths, kernel and resolution.

The rules of the leaves use plain + * //, so sympy symbols run through them like numbers: this file counts nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from netlathe.arch.graph import graph
from netlathe.arch.node import Node
from netlathe.cost.count import count
from netlathe.errors import MissingExtra


class Formula(NamedTuple):
    """Costs of one image as sympy expressions, expanded. `weights` are kernels and matrices: no bias, no norm."""

    params: Any
    weights: Any
    macs: Any
    acts: Any
    shape: tuple[Any, ...]  # that leaves


def sympy() -> Any:
    """The package, or MissingExtra where it is not installed."""
    try:
        return import_module("sympy")
    except ModuleNotFoundError as error:
        raise MissingExtra("sympy", "algebra") from error


def symbols(names: str) -> tuple[Any, ...]:
    """Positive whole numbers by name, separated by blanks: widths, groups, sizes of maps."""
    created = sympy().symbols(names, integer=True, positive=True)
    return created if isinstance(created, tuple) else (created,)


def odd_symbol(name: str) -> Any:
    """A positive odd number: a kernel."""
    return sympy().Symbol(name, odd=True, positive=True)


def formula(expression: Node, *shapes: tuple[Any, ...]) -> Formula:
    """The costs of an expression for inputs whose sizes are numbers or symbols (without the batch axis).

    A symbol made with `odd` may be a kernel. Raises ShapeError with a path where known sizes do not fit, MissingExtra
    without sympy.
    """
    algebra = sympy()
    read = graph(expression, *shapes)
    cost = count(read)

    def tidy(value: Any) -> Any:
        """Expanded, with an odd k as 2 h + 1 meanwhile, so that floor(k / 2) resolves."""
        value = algebra.sympify(value)
        odds = [symbol for symbol in value.free_symbols if symbol.is_odd]
        halves = {symbol: algebra.Symbol(f"half_{symbol}", integer=True, nonnegative=True) for symbol in odds}
        whole = value.subs({symbol: 2 * half + 1 for symbol, half in halves.items()})
        return algebra.expand(algebra.expand(whole).subs({half: (symbol - 1) / 2 for symbol, half in halves.items()}))

    shape = tuple(tidy(size) for size in read.shapes[read.outputs[0]])
    return Formula(tidy(cost.params), tidy(cost.weights), tidy(cost.macs), tidy(cost.acts), shape)
