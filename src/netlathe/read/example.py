"""Example: what a forward is called with, as a function of somebody's code returns it.

A tensor, a tuple or list of arguments, a dictionary of keywords (or of one argument, where the forward has no such
names), or (arguments, keywords). The first axis of its tensors is the batch.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from netlathe.errors import NetlatheError

if TYPE_CHECKING:
    import torch
    from torch import nn


class Example(NamedTuple):
    """Arguments of a forward."""

    value: Any

    def call(self, module: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(arguments, keywords) for a module."""
        value = self.value
        if is_call(value):
            return tuple(value[0]), dict(value[1])
        if isinstance(value, dict):
            return ((), value) if takes(module, value) else ((value,), {})
        return (tuple(value), {}) if isinstance(value, (tuple, list)) else ((value,), {})

    def tensors(self) -> list[torch.Tensor]:
        """Its tensors, in order."""
        import torch
        from torch.utils._pytree import tree_leaves

        return [leaf for leaf in tree_leaves(self.value) if isinstance(leaf, torch.Tensor)]

    def for_batch(self, batch: int) -> Example:
        """The same with its first image `batch` times."""
        import torch
        from torch.utils._pytree import tree_map

        def repeat(leaf: Any) -> Any:
            return leaf[:1].repeat(batch, *[1] * (leaf.dim() - 1)) if isinstance(leaf, torch.Tensor) else leaf

        return Example(tree_map(repeat, self.value))


def is_call(value: Any) -> bool:
    """Whether a value is (arguments, keywords)."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return pair and isinstance(value[0], (tuple, list)) and isinstance(value[1], dict)


def takes(module: nn.Module, words: dict[Any, Any]) -> bool:
    """Whether a forward has parameters of these names."""
    parameters = inspect.signature(module.forward).parameters
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return all(isinstance(word, str) and (free or word in parameters) for word in words)


def flat_module(module: nn.Module, example: Example) -> nn.Module:
    """The module as one whose forward takes the tensors of the example, one after the other."""
    import torch
    from torch import nn
    from torch.utils._pytree import tree_flatten, tree_unflatten

    leaves, layout = tree_flatten(example.call(module))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *tensors: torch.Tensor) -> Any:
            filled = dict(enumerate(leaves)) | dict(zip(places, tensors, strict=True))
            args, words = tree_unflatten(filled.values(), layout)
            return self.inner(*args, **words)

    return Flat()


def read_example(text: str) -> Example:
    """The example that file.py:function or package.module:name returns. Raises NetlatheError where there is none."""
    from netlathe.code_name import split_name
    from netlathe.project import build_object

    where = split_name(text)
    if where is None:
        hint = "write --example file.py:function"
        raise NetlatheError(f"{text!r} names no function", code="load.example", hint=hint)
    example = Example(build_object(where)[0])
    if not example.tensors() or any(tensor.dim() == 0 for tensor in example.tensors()):
        message = f"{where.name} gives no tensors with a batch axis"
        hint = "return what the forward is called with: a tensor, a tuple, a dictionary, or (arguments, keywords)"
        raise NetlatheError(message, code="load.example", path=where.source, hint=hint)
    return example
