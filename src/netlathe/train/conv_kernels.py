"""Convolutions for training on a CPU: oneDNN's kernels where they are good, exact rearrangements where they are not.

The sums are those of the plain convolution in another order. What pays was measured with torch 2.13 (oneDNN 3.12) on
x86 with avx512_bf16, one thread, maps of 2 to 56 positions a side; forward and backward together, times faster:

    depthwise, kernel wider than 3 or taller than the map: gradient of the weights, in strips 3 wide     1.3 to 10
    depthwise, strided, bfloat16: gradient of the input, from a stretched gradient                         9 to 19
    dense, bfloat16, patches that do not overlap, 1x1 on small maps: all as one product of matrices      1.2 to 1.8
    dense, bfloat16, small maps: gradient of the weights, on tiny ones the output too, as a product      1.0 to 1.7

The shapes alone decide, so a training that is repeated gives the same numbers. `benchmarks/bench_train.py --parts`
measures the table again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from netlathe.errors import MissingExtra

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtra("torch", "train") from error

Pair = tuple[int, int]
STRIP = 3  # the widest kernel that oneDNN's fast weight gradient of depthwise convolutions takes
SMALL, TINY = 49, 9  # output positions
LEAST_RUN = 24  # values that lie together in a row of a patch; copying shorter runs costs more than it saves


class Rearrangement(NamedTuple):
    """Which parts of a convolution are rearranged."""

    output: bool
    input: bool  # its gradient
    weight: bool  # its gradient


@lru_cache(4096)
def choose_rearrangement(
    x: tuple[int, ...], weight: tuple[int, ...], stride: Pair, padding: Pair, bfloat16: bool
) -> Rearrangement:
    """What pays for an input (N, C, H, W) and weights (O, C / groups, kh, kw), dense or depthwise."""
    kernel = weight[2:]
    if is_depthwise(x, weight):
        return Rearrangement(False, bfloat16 and stride != (1, 1), kernel[1] > STRIP or x[2] < kernel[0])
    if not bfloat16:
        return Rearrangement(False, False, False)
    high, wide = ((x[i + 2] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1))
    tiled = kernel == stride and padding == (0, 0) and (high * stride[0], wide * stride[1]) == x[2:]
    small, run = high * wide <= SMALL, kernel[1] * x[1] >= LEAST_RUN
    if tiled:
        whole = run and (small or kernel != (1, 1))
        return Rearrangement(whole, whole, whole)
    return Rearrangement(run and high * wide <= TINY, False, run and small)


def is_depthwise(x: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """One channel a group, and more than one group."""
    return weight[1] == 1 < x[1]


class RearrangedConvFunction(torch.autograd.Function):
    """conv2d, dense or depthwise with as many output as input channels; all tensors in one dtype.

    The parts that `parts` names are rearranged, the others are torch's own.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, parts: Rearrangement
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding, ctx.parts = stride, padding, parts
        if not parts.output:
            return F.conv2d(x, weight, bias, stride, padding, groups=x.shape[1] // weight.shape[1])
        rows = extract_patches(x, weight, stride, padding)
        n, high, wide, _ = rows.shape
        # A result that is a view of another tensor could not be overwritten by an activation in place.
        size = n, len(weight), high, wide
        y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        flat = y.permute(0, 2, 3, 1).view(-1, len(weight))
        if bias is None:
            torch.mm(rows.flatten(0, 2), weight_matrix(weight).T, out=flat)
        else:
            torch.addmm(bias, rows.flatten(0, 2), weight_matrix(weight).T, out=flat)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, parts = ctx.stride, ctx.padding, ctx.parts
        depthwise = is_depthwise(x.shape, weight.shape)
        grad = grad.contiguous(memory_format=torch.channels_last)
        plain = [ctx.needs_input_grad[0] and not parts.input, ctx.needs_input_grad[1] and not parts.weight]
        of_x, of_weight = torch_gradients(grad, x, weight, stride, padding, plain) if any(plain) else (None, None)
        if ctx.needs_input_grad[0] and parts.input:
            of_x = (
                input_gradient_stretched(grad, x, weight, stride, padding)
                if depthwise
                else input_gradient_of_tiles(grad, x, weight)
            )
        if ctx.needs_input_grad[1] and parts.weight:
            by_part = weight_gradient_in_strips if depthwise else weight_gradient_as_product
            of_weight = by_part(grad, x, weight, stride, padding)
        return of_x, of_weight, grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None, None, None


def torch_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, mask: list[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """torch's own gradients of the input and of the weights, those that `mask` asks for."""
    groups = x.shape[1] // weight.shape[1]
    gradients = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), groups, [*mask, False]
    )
    return gradients[0], gradients[1]


def weight_matrix(weight: Tensor) -> Tensor:
    """The weights of a dense convolution as (O, kh kw C), without a copy where they are channels_last."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def extract_patches(x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """What each output position reads: (N, high, wide, kh kw C)."""
    (top, left), (kh, kw) = padding, weight.shape[2:]
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, left, left, top, top)) if top or left else x.permute(0, 2, 3, 1)
    return x.unfold(1, kh, stride[0]).unfold(2, kw, stride[1]).permute(0, 1, 2, 4, 5, 3).flatten(3)


def weight_gradient_as_product(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """The gradient of the weights as one product of matrices."""
    rows = grad.permute(0, 2, 3, 1).flatten(0, 2)
    gradient = rows.T @ extract_patches(x, weight, stride, padding).flatten(0, 2)
    return gradient.view(len(weight), *weight.shape[2:], weight.shape[1]).permute(0, 3, 1, 2)


def input_gradient_of_tiles(grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The gradient of an input that is cut into patches: each depends on one output position."""
    gradient = grad.permute(0, 2, 3, 1) @ weight_matrix(weight)
    n, c, h, w = x.shape
    grid = gradient.view(*gradient.shape[:3], *weight.shape[2:], c).transpose(2, 3)
    return grid.reshape(n, h, w, c).permute(0, 3, 1, 2)


def input_gradient_stretched(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """The gradient of the input of a strided depthwise convolution: zeros between the positions, and a stride of 1."""
    (kh, kw), (top, left), (n, c, h, w) = weight.shape[2:], padding, x.shape
    size = n, c, h + 2 * top - kh + 1, w + 2 * left - kw + 1
    wide = torch.empty(size, dtype=grad.dtype, memory_format=torch.channels_last).zero_()
    wide[:, :, :: stride[0], :: stride[1]] = grad
    return F.conv2d(wide, weight.flip(2, 3), padding=(kh - 1 - top, kw - 1 - left), groups=c)


def weight_gradient_in_strips(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """The gradient of depthwise weights, for a few columns of the kernel at a time."""
    (kh, kw), (high, wide), (top, left) = weight.shape[2:], grad.shape[2:], padding
    x = F.pad(x, (left, left, top, top))
    gradients = []
    for first in range(0, kw, STRIP):
        strip = weight[..., first : first + STRIP]
        rows, columns = (high - 1) * stride[0] + kh, (wide - 1) * stride[1] + strip.shape[3]
        seen = x[:, :, :rows, first : first + columns].contiguous(memory_format=torch.channels_last)
        gradients.append(torch_gradients(grad, seen, strip, stride, (0, 0), [False, True])[1])
    return torch.cat([part for part in gradients if part is not None], 3)


class RearrangedConv2d(nn.Conv2d):
    """A convolution that takes the better way on a CPU, in the dtype of autocast."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not self.fits() or x.dim() != 4:
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        stride, padding = as_pair(self.stride), as_pair(self.padding)
        parts = choose_rearrangement(tuple(x.shape), tuple(self.weight.shape), stride, padding, dtype == torch.bfloat16)
        if not any(parts):
            return super().forward(x)
        bias = None if self.bias is None else self.bias.to(dtype)
        with torch.autocast("cpu", enabled=False):
            y: Tensor = RearrangedConvFunction.apply(x.to(dtype), self.weight.to(dtype), bias, stride, padding, parts)  # type: ignore[no-untyped-call]
        return y

    def fits(self) -> bool:
        """Whether it is of the kind that `Convolution` computes."""
        simple = self.padding_mode == "zeros" and self.dilation == (1, 1) and not isinstance(self.padding, str)
        return simple and (self.groups == 1 or self.groups == self.in_channels == self.out_channels)


class Float32DepthwiseConv2d(nn.Conv2d):
    """A convolution that leaves autocast where it is depthwise."""

    def forward(self, x: Tensor) -> Tensor:
        if self.groups != self.in_channels or self.groups == 1:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def as_pair(size: Any) -> Pair:
    """The pair of ints that torch keeps."""
    first, second = size
    return int(first), int(second)
