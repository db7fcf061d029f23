"""on_meta(): a copy of a torch module whose tensors have shapes but no memory."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import nn

from netlathe.errors import NetlatheError

META = torch.device("meta")
COMPILED = "_compiled_call_impl"  # what module.compile() leaves
ATOMS = (type(None), bool, int, float, str, type, torch.dtype, torch.device)


class MetaCopy(NamedTuple):
    """A module without memory, and what its buffers and other constants held, as pairs of copy and original."""

    module: nn.Module
    constants: list[tuple[torch.Tensor, torch.Tensor]]


def on_meta(module: nn.Module) -> MetaCopy:
    """The copy; shared tensors and modules stay shared, compiled ones are what they were. The module is not touched.

    A buffer of one element on the CPU keeps its value, for flags and counters decide control flow. Raises NetlatheError
    for a module that cannot be copied.
    """
    memo: dict[int, Any] = {}
    constants = []
    try:
        for part in module.modules():
            for parameter in part._parameters.values():
                if parameter is not None and id(parameter) not in memo:
                    memo[id(parameter)] = nn.Parameter(to_meta(parameter), parameter.requires_grad)
            for tensor in (*part._buffers.values(), *vars(part).values()):
                if isinstance(tensor, torch.Tensor) and id(tensor) not in memo:
                    keeps = tensor.numel() == 1 and tensor.device.type == "cpu"
                    memo[id(tensor)] = tensor.detach().clone() if keeps else to_meta(tensor)
                    if not (keeps or tensor.is_meta or tensor.requires_grad):
                        constants.append((memo[id(tensor)], tensor))
            # deepcopy spends most of its time on empty dictionaries of hooks: modules of the usual kind are copied here
            if not hasattr(type(part), "__deepcopy__") and type(part).__reduce_ex__ is object.__reduce_ex__:
                memo[id(part)] = type(part).__new__(type(part))
        for part in list(module.modules()):
            if (inner := part._modules.get("_orig_mod")) is not None and id(inner) in memo:
                memo[id(part)] = memo[id(inner)]  # torch.compile's wrapper
        for part in list(module.modules()):
            if id(part) in memo and "_orig_mod" not in part._modules:
                memo[id(part)].__dict__.update(
                    {key: copy_value(value, memo) for key, value in vars(part).items() if key != COMPILED}
                )
        twin: nn.Module = copy.deepcopy(module, memo)
    except (TypeError, RuntimeError, ValueError, AttributeError) as error:
        raise NetlatheError(
            f"{type(module).__name__} cannot be copied: {error}",
            code="read.copy",
            hint="a module with uninitialised (lazy) parameters must run once before; what copy.deepcopy refuses "
            "cannot be read",
        ) from error
    return MetaCopy(twin, constants)


def to_meta(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same shape and type without memory."""
    return torch.empty_like(tensor, device=META)


def copy_value(value: Any, memo: dict[int, Any]) -> Any:
    """copy.deepcopy, with short cuts for what modules are full of."""
    if isinstance(value, ATOMS):
        return value
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, dict) and not value:
        return value.copy()
    if type(value) is tuple and all(isinstance(item, ATOMS) for item in value):
        return value
    if type(value) is dict:
        return {key: copy_value(item, memo) for key, item in value.items()}
    return copy.deepcopy(value, memo)
