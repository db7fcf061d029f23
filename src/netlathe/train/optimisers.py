"""SGD, AdamW, RMSprop and LAMB as updates of lists of tensors.

SGD and AdamW are torch's fused kernels (benchmarks/bench_optim.py: 1.7 to 6 times as fast on a CPU as its default).
RMSprop and LAMB are written here: torch's RMSprop adds eps outside the square root, which with the eps of 1e-3
and 1 of EfficientNet's and MobileNet's recipes is another optimiser, and torch has no LAMB.

Updates go element by element, so all work on views in the order of memory: torch's fused kernels copy channels_last
weights in every step, and beside gradients or buffers in another order they give wrong weights, silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import unwrap
from math import inf
from typing import Any, ClassVar

from netlathe.errors import MissingExtra

try:
    import torch
    from torch import Tensor
    from torch.optim.adamw import adamw
    from torch.optim.sgd import sgd
except ImportError as error:
    raise MissingExtra("torch", "train") from error

LIST = 1 << 16


def match_layout(weight: Tensor, other: Tensor) -> Tensor:
    """A tensor of the weight's shape in the weight's memory format: itself where it has that."""
    return other if other.stride() == weight.stride() else torch.empty_like(weight).copy_(other)


def flatten_in_memory(tensor: Tensor) -> Tensor:
    """All elements side by side, in the order of memory. It shares the memory."""
    return tensor if tensor.is_contiguous() else tensor.as_strided((tensor.numel(),), (1,))


class ListOptimiser(torch.optim.Optimizer):
    """An optimiser whose update is written for lists of tensors without holes."""

    starts: ClassVar[dict[str, float]]  # the buffers of a weight and their first value
    at_once: ClassVar[float]  # elements in a list on a CPU: the operations of an update then find them in the cache

    # torch hides these from its compiler, which it imports for that: 1.3 s more until a training starts.
    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        assert closure is None, "the loop computes the gradients"
        for group in self.param_groups:
            group["steps"] += 1
            for rows in self.lists([weight for weight in group["params"] if weight.grad is not None]):
                w, g, *buffers = map(list, zip(*rows, strict=True))
                self.move(group, w, g, *buffers)

    def lists(self, weights: list[Tensor]) -> Iterator[list[list[Tensor]]]:
        """The rows of the weights, on a CPU in lists of about `at_once` elements, on an accelerator in one."""
        rows: list[list[Tensor]] = []
        size = 0
        for weight in weights:
            if rows and size + weight.numel() > self.at_once and weight.device.type == "cpu":
                yield rows
                rows, size = [], 0
            rows.append(self.row(weight))
            size += weight.numel()
        if rows:
            yield rows

    def row(self, weight: Tensor) -> list[Tensor]:
        """A weight, its gradient and its buffers, so that their elements fit together."""
        state = self.state[weight]
        if not state:
            reach = sum((n - 1) * stride for n, stride in zip(weight.shape, weight.stride(), strict=True))
            assert reach == weight.numel() - 1, "the elements of a weight lie side by side"
            state.update({name: torch.full_like(weight, start) for name, start in self.starts.items()})
        for name in self.starts:  # a file may have given them back in another memory format
            state[name] = match_layout(weight, state[name])
        assert weight.grad is not None
        return [
            flatten_in_memory(x)
            for x in (weight, match_layout(weight, weight.grad), *(state[name] for name in self.starts))
        ]

    def move(self, group: dict[str, Any], w: list[Tensor], g: list[Tensor], *buffers: list[Tensor]) -> None:
        raise NotImplementedError


def has_fused_kernel(w: list[Tensor]) -> bool | None:
    """Whether torch has fused kernels for these; None leaves the choice to it."""
    return w[0].device.type in ("cpu", "cuda") or None


class SGD(ListOptimiser):
    """v = momentum v + g + decay w;  w = w - lr v, or with Nesterov w - lr (g + decay w + momentum v)."""

    starts: ClassVar = {"velocity": 0.0}
    at_once: ClassVar = inf

    def move(self, group: dict[str, Any], w: list[Tensor], g: list[Tensor], *buffers: list[Tensor]) -> None:
        options = {name: group[name] for name in ("lr", "momentum", "nesterov", "weight_decay")}
        sgd(w, g, [*buffers[0]], fused=has_fused_kernel(w), dampening=0.0, maximize=False, **options)


class AdamW(ListOptimiser):
    """Adam with weight decay beside the gradient (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    starts: ClassVar = {"mean": 0.0, "square": 0.0}
    at_once: ClassVar = inf

    def move(self, group: dict[str, Any], w: list[Tensor], g: list[Tensor], *buffers: list[Tensor]) -> None:
        (beta1, beta2), lr, decay = group["betas"], group["lr"], group["weight_decay"]
        means, squares = buffers
        # The kernel counts the step itself; every weight has a counter of its own.
        counters = list(torch.full((len(w),), group["steps"] - 1.0, device=w[0].device).unbind())
        adamw(
            *(w, g, means, squares, [], counters),
            fused=has_fused_kernel(w),
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=lr,
            weight_decay=decay,
            eps=group["eps"],
            maximize=False,
        )


class RMSprop(ListOptimiser):
    """RMSprop as TensorFlow computes it (tf.train.RMSPropOptimizer), with weight decay in the gradient:

    s = alpha s + (1 - alpha) g^2, from 1;  v = momentum v + lr g / sqrt(s + eps);  w = w - v.
    """

    starts: ClassVar = {"square": 1.0, "velocity": 0.0}
    at_once: ClassVar = LIST

    def move(self, group: dict[str, Any], w: list[Tensor], g: list[Tensor], *buffers: list[Tensor]) -> None:
        square, velocity = buffers
        if group["weight_decay"]:
            g = list(torch._foreach_add(g, w, alpha=group["weight_decay"]))
        torch._foreach_mul_(square, group["alpha"])
        torch._foreach_addcmul_(square, g, g, 1 - group["alpha"])
        root = torch._foreach_add(square, group["eps"])
        torch._foreach_sqrt_(root)
        torch._foreach_mul_(velocity, group["momentum"])
        torch._foreach_addcdiv_(velocity, g, root, group["lr"])
        torch._foreach_sub_(w, velocity)


class Lamb(ListOptimiser):
    """LAMB (You et al. 2020, https://arxiv.org/abs/1904.00962, algorithm 2): Adam with a step of the weight's own size.

    u = m / (sqrt(v) + eps) + decay w, m and v corrected for their start;  w = w - lr (|w| / |u|) u.
    As in NVIDIA's and timm's, which ResNet Strikes Back used, weights without decay take lr u, Adam's step.
    """

    starts: ClassVar = {"mean": 0.0, "square": 0.0}
    at_once: ClassVar = LIST

    def move(self, group: dict[str, Any], w: list[Tensor], g: list[Tensor], *buffers: list[Tensor]) -> None:
        mean, square = buffers
        (keep_mean, keep_square), steps, decay = group["betas"], group["steps"], group["weight_decay"]
        torch._foreach_lerp_(mean, g, 1 - keep_mean)
        torch._foreach_mul_(square, keep_square)
        torch._foreach_addcmul_(square, g, g, 1 - keep_square)
        root = torch._foreach_sqrt(square)
        torch._foreach_div_(root, (1 - keep_square**steps) ** 0.5)
        torch._foreach_add_(root, group["eps"])
        update = list(torch._foreach_div(mean, root))
        torch._foreach_div_(update, 1 - keep_mean**steps)
        if decay:
            torch._foreach_add_(update, w, alpha=decay)
            ratios = torch._foreach_div(torch._foreach_norm(w), torch._foreach_norm(update))
            # A weight or an update of zero has no direction to keep: the plain step.
            safe = [torch.where((r > 0) & r.isfinite(), r, torch.ones_like(r)) for r in ratios]
            torch._foreach_mul_(update, safe)
        torch._foreach_add_(w, update, alpha=-group["lr"])


OPTIMISERS: dict[str, type[ListOptimiser]] = {"sgd": SGD, "adamw": AdamW, "rmsprop": RMSprop, "lamb": Lamb}
