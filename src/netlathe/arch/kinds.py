"""Every node of the package by the name that documents use."""

from __future__ import annotations

from functools import cache

from netlathe.arch import axes, combinators, joins, layers, pools, tokens
from netlathe.arch.combinators import Named
from netlathe.arch.leaf import Times
from netlathe.arch.node import Node


@cache
def built_in_kinds() -> dict[str, type[Node]]:
    """Concrete leaves and combinators by kind."""
    modules = (layers, pools, joins, tokens, axes, combinators)
    members = (value for module in modules for value in vars(module).values())
    nodes: list[type[Node]] = [c for c in (*members, Times) if isinstance(c, type) and issubclass(c, Node)]
    return {c.label: c for c in nodes if "__dataclass_fields__" in vars(c) and c is not Named}
