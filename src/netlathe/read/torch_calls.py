"""Calls that reach torch's dispatcher: their tensors, their names, and what decides the shape of a result."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from netlathe.read.meta import to_meta

COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


def is_shape(value: Any) -> bool:
    """Whether an input is given as its shape."""
    return isinstance(value, (tuple, list)) and all(isinstance(size, int) for size in value)


def without_memory(leaf: Any) -> Any:
    """A tensor as one without memory; anything else as it is."""
    return to_meta(leaf) if isinstance(leaf, torch.Tensor) else leaf


@contextmanager
def uncompiled() -> Iterator[None]:
    """While it holds, what torch.compile made runs as it was written."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def is_composite(func: Any) -> bool:
    """Whether an operator consists of others, and is seen whole only for autograd is off altogether."""
    dispatched = torch.is_inference_mode_enabled() and isinstance(func, torch._ops.OpOverload)
    return dispatched and bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), COMPOSITE))


@cache
def has_dynamic_shape(func: Any) -> bool:
    """Whether elements decide the shape of the result, by torch's own word; an index is looked at closer elsewhere."""
    return torch.Tag.dynamic_output_shape in func.tags and name_of(func) not in ("index", "_unsafe_index")


def tensors_of(args: Any, kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The tensors among arguments, those in lists included."""
    tensors: list[torch.Tensor] = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            tensors.append(value)
        elif isinstance(value, (list, tuple)):
            tensors += [item for item in value if isinstance(item, torch.Tensor)]
    return tensors


def signature(value: Any) -> Any:
    """All of arguments that decides the shape of the result, as something that can be hashed."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype, value.device.type
    if isinstance(value, (list, tuple)):
        return tuple(map(signature, value))
    return type(value), value


def name_of(func: Any) -> str:
    """aten's operators by their name, others with their namespace; without overload."""
    return str(func._schema.name).removeprefix("aten::")
