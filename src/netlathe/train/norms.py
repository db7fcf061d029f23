"""Batch norms over the batch of all processes, on any device. torch's SyncBatchNorm computes on GPUs alone."""

from __future__ import annotations

from typing import Any

from netlathe.errors import MissingExtra

try:
    import torch
    import torch.distributed as dist
    from torch import Tensor, nn
except ImportError as error:
    raise MissingExtra("torch", "train") from error


class WholeBatchNormFunction(torch.autograd.Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, mean and biased variance over the batches of all processes.

    Also gives mean, variance and number of values by channel. They are summed in float64, so that the difference of
    two large sums keeps its digits.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        var, mean = (t.double() for t in torch.var_mean(x.to(weight.dtype), axes, correction=0))
        count = x.new_full((1,), x.numel() // x.shape[1], dtype=torch.float64)
        sums = torch.cat([mean * count, (var + mean.square()) * count, count])
        dist.all_reduce(sums)
        total = sums[-1]
        mean, square = (sums[:-1] / total).chunk(2)
        var = (square - mean.square()).clamp_(min=0)
        mean, var, total = mean.to(weight.dtype), var.to(weight.dtype), total.to(weight.dtype)
        y = torch.batch_norm(x, weight, bias, mean, var, False, 0.0, eps, False)
        ctx.save_for_backward(x, weight, mean, var, total)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var, total)
        return y, mean, var, total

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, total = ctx.saved_tensors
        scale = torch.rsqrt(var + ctx.eps)
        through, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.cat([of_weight, of_bias])
        dist.all_reduce(sums)
        # What the statistics, which depend on every x, pass on: weight scale (mean(g) + x_hat mean(g x_hat)).
        by_hat, level = ((weight * scale) * part / total for part in sums.chunk(2))
        slope = by_hat * scale
        shape = [1, -1] + [1] * (x.dim() - 2)
        offset = (level - slope * mean).view(shape)
        of_x = through - (x * slope.view(shape) + offset).to(through.dtype)
        return of_x, of_weight, of_bias, None


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm whose statistics in training are those of the whole batch."""

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of axes after the channels."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        y, mean, var, count = WholeBatchNormFunction.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(var * count / (count - 1), share)
        return y  # type: ignore[no-any-return]


def synchronise_norms(module: nn.Module) -> nn.Module:
    """The module itself, its batch norms synchronised; weights, statistics and keys stay."""
    for norm in module.modules():
        if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d) and norm.affine:
            norm.__class__ = SynchronisedBatchNorm
    return module
