"""KeepWhole: some functions reach the reader whole that the dispatcher would see in pieces."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from netlathe.read.torch_ops import AtenCall

if TYPE_CHECKING:
    from netlathe.read.torch import Recorder

VALUES = {torch.Tensor.tolist: "tolist", torch.Tensor.numpy: "numpy", torch.Tensor.__array__: "numpy"}


class KeepWhole(TorchFunctionMode):
    """Keeps some functions whole that the dispatcher would see in pieces."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.functions: dict[Any, Callable[..., Any]] = {
            F.linear: self.linear,
            F.scaled_dot_product_attention: self.attention,
            F.adaptive_avg_pool2d: self.adaptive_pool,
            F.multi_head_attention_forward: self.multi_head_attention,
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in VALUES and args[0].is_meta:  # they reach no dispatcher
            return self.recorder.ask_values(VALUES[func], func, args, kwargs or {})
        return self.functions.get(func, func)(*args, **(kwargs or {}))

    def whole(self, name: str, func: Callable[..., Any], tensors: tuple[Any, ...], *args: Any, **kwargs: Any) -> Any:
        """Run a function unseen and write it down as one operator that reads the tensors."""
        recorder, before = self.recorder, self.recorder.quiet
        recorder.quiet = True
        try:
            y = recorder.once(name, func, args, kwargs)
        finally:
            recorder.quiet = before
        read = [t for t in tensors if isinstance(t, torch.Tensor)]
        if not before and y.is_meta:
            recorder.record(name, AtenCall(tensors, {}, tuple(y.shape)), [recorder.value_of(t) for t in read], [y])
            recorder.remember(func, args, kwargs, read, y)
        return y

    def linear(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Any:
        return self.whole("linear", F.linear, (input, weight, bias), input, weight, bias)

    def attention(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: Any = None, *args: Any, **how: Any
    ) -> Any:
        tensors = (query, key, value, attn_mask)
        return self.whole(
            "scaled_dot_product_attention", F.scaled_dot_product_attention, tensors, *tensors, *args, **how
        )

    def adaptive_pool(self, input: torch.Tensor, output_size: Any) -> Any:
        single = output_size in (1, (1, 1), [1, 1])
        name = "global_avg_pool2d" if single else "adaptive_avg_pool2d"
        return self.whole(name, F.adaptive_avg_pool2d, (input,), input, output_size)

    def multi_head_attention(self, *args: Any, **kwargs: Any) -> Any:
        """torch's own function, in which attention and linear layers are kept whole as well."""
        own = F.multi_head_attention_forward
        inner = {"scaled_dot_product_attention": self.attention, "linear": self.linear}
        function = FunctionType(own.__code__, {**vars(F), **inner}, own.__name__, own.__defaults__, own.__closure__)
        function.__kwdefaults__ = own.__kwdefaults__
        return function(*args, **kwargs)
