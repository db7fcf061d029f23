"""The operators that torch.nn has no module for. Tensors have the batch axis first; a grid is (N, H, W, C)."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from netlathe.lower.windows import bias_index, padded_size, shift_mask


class ScaleModule(nn.Module):
    """y = w * x (+ b), by channel: axis 1 of a map, else the last."""

    def __init__(self, channels: int, bias: bool, channels_first: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.shape = (-1, 1, 1) if channels_first else (-1,)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.view(self.shape)
        return x * weight if self.bias is None else torch.addcmul(self.bias.view(self.shape), x, weight)


class ResponseNormModule(nn.Module):
    """y = x + w x n + b, n the length of a channel over all positions by its mean over channels."""

    def __init__(self, channels: int, eps: float, channels_first: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps, self.positions, self.channels = eps, (2, 3) if channels_first else (1, 2), 1 if channels_first else -1
        self.shape = (-1, 1, 1) if channels_first else (-1,)

    def forward(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=self.positions, keepdim=True)
        n = length / (length.mean(dim=self.channels, keepdim=True) + self.eps)
        return x + torch.addcmul(self.bias.view(self.shape), self.weight.view(self.shape), x * n)


class Codes(nn.Module):
    """y[j] = sum_i (x[i] - codes[j, i])^2."""

    codes: Tensor

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.ones(classes, features))

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, None] - self.codes).square().sum(2)


class MeanInside(nn.Module):
    """The mean over the part of a window that lies inside, where the padding differs from side to side."""

    factor: Tensor

    def __init__(
        self, size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], pads: list[int]
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.pads = kernel, stride, pads
        inside = F.avg_pool2d(F.pad(torch.ones(1, *size, device="cpu"), pads), kernel, stride)
        self.register_buffer("factor", 1 / inside, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, self.pads), self.kernel, self.stride) * self.factor


class ClassTokenModule(nn.Module):
    """y = the token, then those of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(x.shape[0], 1, -1), x], 1)


class PositionModule(nn.Module):
    """y = x + weight."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(tokens, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class SinusoidModule(nn.Module):
    """y = [cos(t f)], [sin(t f)]."""

    frequencies: Tensor

    def __init__(self, frequencies: list[float]) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.tensor(frequencies, device="cpu"), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        angles = x * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], 1)


class AttentionModule(nn.Module):
    """y = softmax(q k^T / sqrt(d)) v by head: (N, T, 3C) -> (N, T, C), or the same on a grid (N, H, W, 3C)."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(1, -2)
        q, k, v = tokens.view(*tokens.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return y.reshape(*x.shape[:-1], -1)


class WindowAttentionModule(nn.Module):
    """y = softmax(q k^T / sqrt(d) + b) v by head and window: (N, H, W, 3C) -> (N, H, W, C). See `lower.windows`."""

    index: Tensor
    mask: Tensor | None

    def __init__(self, grid: tuple[int, int], heads: int, side: int, shift: int) -> None:
        super().__init__()
        self.heads, self.side, self.shift = heads, side, shift
        self.pads = (0, 0, 0, padded_size(grid[1], side) - grid[1], 0, padded_size(grid[0], side) - grid[0])
        self.bias = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
        self.register_buffer("index", constant(bias_index(side).ravel()), persistent=False)
        mask = constant(shift_mask(*grid, side, shift)[:, None]) if shift else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        (n, high, wide, channels), side = x.shape, self.side
        area = side * side
        if any(self.pads):
            x = F.pad(x, self.pads)
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        rows, columns = x.shape[1] // side, x.shape[2] // side
        x = x.view(n, rows, side, columns, side, 3, self.heads, -1).permute(5, 0, 1, 3, 6, 2, 4, 7)
        q, k, v = x.reshape(3, n, rows * columns, self.heads, area, -1).unbind(0)
        bias = self.bias[self.index].view(area, area, self.heads).permute(2, 0, 1)
        if self.mask is not None:
            bias = bias + self.mask
        # With a bias that is trained, torch's fused attention falls back to more steps than these.
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        y: Tensor = (scores + bias).softmax(-1) @ v
        y = y.view(n, rows, columns, self.heads, side, side, -1).permute(0, 1, 4, 2, 5, 3, 6)
        y = y.reshape(n, rows * side, columns * side, channels // 3)
        if self.shift:
            y = y.roll((self.shift, self.shift), (1, 2))
        return y[:, :high, :wide] if any(self.pads) else y


def constant(values: NDArray[Any]) -> Tensor:
    """A tensor of numpy values, with memory of its own and on the CPU even while modules are built on `meta`."""
    return torch.tensor(values, device="cpu")


class DropPath(nn.Module):
    """x / (1 - rate) with probability 1 - rate, else 0; by image (Huang et al. 2016, https://arxiv.org/abs/1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        kept = x.new_empty(x.shape[0], *[1] * (x.dim() - 1)).bernoulli_(keep)
        return x * (kept / keep if keep else kept)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.4g}"
