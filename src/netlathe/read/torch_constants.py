"""ConstantLog: what a forward computes of nothing but constants, so that their values can be had when it asks.

A mask made of ones, a table of positions, a buffer: no image and no weight decides them. Their operators run on tensors
without memory like all others; when the forward asks for a value (`.item()`, `if mask.any():`), those that ran so far
are repeated with memory, in their order, and no sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_leaves, tree_map

from netlathe.read.meta import META

MOST_ELEMENTS = 1 << 27  # of all constants together: half a GB
CPU = torch.device("cpu")


class ConstantCall(NamedTuple):
    """One operator that ran, with the tensors that it made, without memory."""

    function: Callable[..., Any]
    args: Any
    kwargs: dict[str, Any]
    results: list[torch.Tensor]


class StandIn(NamedTuple):
    """A tensor of which only this matters."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def stand_in(leaf: Any) -> Any:
    """What stands for a tensor whose elements decide nothing."""
    return StandIn(tuple(leaf.shape), leaf.dtype) if isinstance(leaf, torch.Tensor) else leaf


class UnknownValue(Exception):
    """The values cannot be had: they are too many, or repeating fails."""


class ConstantLog:
    """Operators on constants in the order in which they ran. It keeps all their tensors."""

    def __init__(self, originals: Iterable[tuple[torch.Tensor, torch.Tensor]] = ()) -> None:
        self.calls: list[ConstantCall] = []
        self.originals = {id(meta): value for meta, value in originals}  # what constants hold from the start
        self.logged = set(self.originals)  # ids of tensors
        self.repeated = 0  # calls that ran with memory too
        self.values: dict[int, torch.Tensor] = {}  # by id of the tensor without memory
        self.elements = 0

    def holds(self, tensors: Iterable[torch.Tensor]) -> bool:
        """Whether all of these are constants whose values can be had."""
        return all(id(tensor) in self.logged for tensor in tensors)

    def add_value(self, tensor: torch.Tensor, value: torch.Tensor) -> None:
        """A tensor without memory, and the one that it stands for."""
        self.originals[id(tensor)] = value
        self.logged.add(id(tensor))

    def add(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any], y: Any) -> None:
        """An operator that has just run on constants alone."""
        results = [t for t in tree_leaves(y) if isinstance(t, torch.Tensor)]
        self.elements += sum(t.numel() for t in results)
        self.calls.append(ConstantCall(function, args, kwargs, results))
        self.logged.update(map(id, results))

    def evaluate(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """function(...) with memory. Raises UnknownValue."""
        if self.elements > MOST_ELEMENTS:
            raise UnknownValue
        try:
            for call in self.calls[self.repeated :]:
                y = call.function(*self.real(call.args), **self.real(call.kwargs))
                tensors = [t for t in tree_leaves(y) if isinstance(t, torch.Tensor)]
                self.values.update((id(meta), t) for meta, t in zip(call.results, tensors, strict=True))
                self.repeated += 1
            return function(*self.real(args), **self.real(kwargs))
        except Exception as error:
            raise UnknownValue from error

    def real(self, value: Any) -> Any:
        """Arguments with memory."""
        return tree_map(self.real_leaf, value, is_leaf=lambda leaf: isinstance(leaf, StandIn))

    def real_leaf(self, leaf: Any) -> Any:
        if isinstance(leaf, StandIn):
            return torch.empty(leaf.shape, dtype=leaf.dtype)
        if isinstance(leaf, torch.Tensor) and leaf.is_meta:
            if id(leaf) not in self.values:  # a copy: it may be written to
                self.values[id(leaf)] = self.originals[id(leaf)].detach().to(CPU, copy=True)
            return self.values[id(leaf)]
        return CPU if leaf == META else leaf
