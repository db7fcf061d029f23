"""Node: what every leaf and combinator is, a frozen value.

Equal expressions are equal values: nodes compare by class and fields and remember their hash, so an expression can be
the key of a memo (`cost.totals`) at the price of a dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar, cast, dataclass_transform

# A size is an int, or anything with + * // (a sympy expression): the arithmetic of a leaf uses nothing else.
Size = int
# One image, without the batch axis: (channels, height, width), (tokens, channels) or (features,).
Shape = tuple[Size, ...]

C = TypeVar("C")
N = TypeVar("N", bound="Node")
P = ParamSpec("P")


class Value(Protocol):
    """What flows through an expression in some reading; every reading gives its values a shape."""

    @property
    def shape(self) -> Any: ...


V = TypeVar("V", bound=Value)
# A reading: run(child, name, *values) -> value. Combinators are written once, against this.
Run = Callable[..., V]


@dataclass_transform(frozen_default=True)
def node(cls: type[C]) -> type[C]:
    """Make a class a node: a frozen dataclass that keeps Node's equality and cached hash."""
    return dataclass(frozen=True, eq=False)(cls)


def block(build: Callable[P, N]) -> Callable[P, N]:
    """Memoise a function that builds an expression: the same arguments give the same object.

    Arguments must be hashable, as everything inside an expression is.
    """
    return cast(Callable[P, N], wraps(build)(lru_cache(maxsize=1 << 16)(build)))


class Node:
    """A part of an architecture: a `Leaf` or a `Combinator`. Concrete classes are final."""

    label: ClassVar[str] = ""  # the default name of this part in a path

    def __init_subclass__(cls) -> None:
        cls.label = cls.__name__.lower()

    def __hash__(self) -> int:
        state = self.__dict__
        if "_hash" not in state:
            object.__setattr__(self, "_hash", hash((type(self), *state.values())))
        return cast(int, state["_hash"])

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        # With both hashes computed and equal, the state dictionaries hold the fields and the same hash.
        return type(self) is type(other) and hash(self) == hash(other) and self.__dict__ == other.__dict__

    def __getstate__(self) -> dict[str, Any]:
        return self.fields()  # the hash of a string differs in every process: it does not travel in a pickle

    def fields(self) -> dict[str, Any]:
        """The free choices by name, in order of declaration."""
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}

    def children(self) -> Iterator[tuple[str, Node]]:
        """The sub-expressions with their names, in order."""
        return iter(())

    def __rshift__(self, other: Node) -> Node:
        """a >> b: first a, then b."""
        from netlathe.arch.build import then

        return then(self, other)
