"""An independent counter: run a torch module on meta tensors and add up what the dispatcher sees.

It shares nothing with Netlathe: no leaf, no formula, no graph. MACs come from the shapes of the tensors that reach
convolutions and matrix products; parameters from the module.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class Count(NamedTuple):
    """Trainable elements, and multiply-accumulates for one image."""

    params: int
    macs: int


def product(a: torch.Tensor, b: torch.Tensor) -> int:
    """(..., n, k) @ (..., k, m)."""
    return prod(a.shape) * b.shape[-1]


class Macs(TorchDispatchMode):
    """Adds up convolutions and matrix products while a forward runs under it."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten.native_batch_norm.default and not args[5]:  # no product, and torch takes long to say its shape
            return torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0)
        y = func(*args, **(kwargs or {}))
        match func.overloadpacket:
            case aten.convolution:
                x, weight, transposed = args[0], args[1], args[6]
                positions = prod((x if transposed else y).shape[2:]) * y.shape[0]
                self.total += prod(weight.shape) * positions
            case aten.addmm | aten.baddbmm:
                self.total += product(args[1], args[2])
            case aten.mm | aten.bmm:
                self.total += product(args[0], args[1])
            case aten._scaled_dot_product_flash_attention_for_cpu | aten._scaled_dot_product_attention_math:
                query, key, value = args[:3]  # fused attention hides both of its products
                self.total += product(query, key.mT) + prod(query.shape[:-1]) * prod(value.shape[-2:])
        return y


def count(
    build: Callable[[], torch.nn.Module],
    shape: tuple[int, ...],
    *,
    training: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Count:
    """Build a module on the meta device, run its forward on one image (or one row of ids), count."""
    with torch.device("meta"), torch.no_grad():
        module = build().train(training)
        mode = Macs()
        with mode:
            module(torch.empty(1, *shape, dtype=dtype))
    return Count(sum(p.numel() for p in module.parameters() if p.requires_grad), mode.total)
