"""A float model in int8: what is scale of ranges becomes scales and zero points, by LiteRT's rules.

https://ai.google.dev/edge/litert/models/quantization_spec: activations are signed 8 bits with a zero point, weights of
convolutions and linear layers symmetric by channel, biases 32 bits at the product of both scales. Some operators only
move numbers, so what they read and what they write has one scale; softmax and sigmoid have a scale of their own.
Operators without a kernel for int8, and those that are kept, run in float between DEQUANTIZE and QUANTIZE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.tflite.pixels import PATH as PIXELS
from netlathe.tflite.prune import prune
from netlathe.tflite.schema import Quantisation, Tensor, TfliteModel, TfliteOperator

Range = tuple[float, float]  # lowest and highest value of a tensor

WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}  # axis of the channels
# Operators that only move numbers.
MOVING = (
    *("AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "PADV2", "RESHAPE", "SLICE", "STRIDED_SLICE", "GATHER", "TRANSPOSE"),
    *("SPLIT", "RESIZE_NEAREST_NEIGHBOR"),
)
FIXED = {
    "SOFTMAX": Quantisation((1 / 256,), (-128,)),
    "LOGISTIC": Quantisation((1 / 256,), (-128,)),
    "TANH": Quantisation((1 / 128,), (0,)),
}
INT8 = {*WEIGHTED, *MOVING, *FIXED, "CONCATENATION", "ADD", "SUB", "MUL", "MEAN", "RELU", "RELU6", "HARD_SWISH", "GELU"}
INT8 |= {"BATCH_MATMUL"}
BIAS_BITS = 2.0**24  # the finest that a bias is written where its channel has no weights


def quantisable(model: TfliteModel, kept: Collection[str] = ()) -> list[bool]:
    """Which operators run in int8: those with a kernel, but no part of a norm by position, and none that is kept."""
    norms = {op.path for op in model.operators if op.kind in ("RSQRT", "SQRT")}
    return [op.kind in INT8 and op.path not in norms and op.path not in kept for op in model.operators]


def quantise(
    model: TfliteModel,
    ranges: Mapping[int, Range],
    kept: Collection[str] = (),
    means: Mapping[int, NDArray[Any]] = MappingProxyType({}),
) -> TfliteModel:
    """The int8 form of a float model that takes pixels, given the range of every value by its number.

    `kept` are paths of operators that stay in float. The input is int8, pixel - 128; the output is int8 where the last
    operator is, with its scale in the file. With the means of values by channel, biases make up for what rounding the
    weights does to the mean of what a layer computes: Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.2.
    """
    return Quantising(model, ranges, kept, means).model()


class Quantising:
    """The int8 model as far as it is valued."""

    def __init__(
        self,
        source: TfliteModel,
        ranges: Mapping[int, Range],
        kept: Collection[str],
        means: Mapping[int, NDArray[Any]],
    ) -> None:
        self.source, self.tensors = int8_input(source)
        self.ranges, self.means = ranges, means
        self.integer = quantisable(self.source, kept)
        self.operators: list[TfliteOperator] = []
        self.copies: dict[tuple[int, Any], int] = {}
        self.scales = activation_scales(self.source, self.tensors, self.integer, ranges)
        for i, scale in self.scales.items():
            self.tensors[i] = replace(self.tensors[i], type="int8", quantisation=scale)

    def model(self) -> TfliteModel:
        """All operators, one after the other."""
        for op, integer in zip(self.source.operators, self.integer, strict=True):
            inputs = self.integer_inputs(op) if integer else tuple(map(self.as_float, op.inputs))
            self.operators.append(replace(op, inputs=inputs))
        return prune(replace(self.source, tensors=self.tensors, operators=self.operators))

    def add(self, tensor: Tensor) -> int:
        """A new tensor; its number."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def as_float(self, i: int) -> int:
        """A value in float."""
        if self.tensors[i].type != "int8" or self.tensors[i].data is not None:
            return i
        return self.converted(i, None)

    def converted(self, i: int, scale: Quantisation | None) -> int:
        """A value at another scale, or (None) in float: an operator more, once for all that read it."""
        key = (i, scale)
        if key not in self.copies:
            kind, type_ = ("DEQUANTIZE", "float32") if scale is None else ("QUANTIZE", "int8")
            name = f"{self.tensors[i].name}:{kind.lower()}{len(self.copies)}"
            new = self.add(Tensor(name, self.tensors[i].shape, type_, quantisation=scale))
            self.operators.append(TfliteOperator(kind, (i,), (new,), {}, self.tensors[i].name))
            self.copies[key] = new
        return self.copies[key]

    def integer_inputs(self, op: TfliteOperator) -> tuple[int, ...]:
        """What an operator in int8 reads."""
        if op.kind in WEIGHTED:
            return self.weighted_inputs(op)
        wanted = self.scales[op.outputs[0]] if op.kind in (*MOVING, "CONCATENATION") else None
        return tuple(self.integer_input(i, wanted) for i in op.inputs)

    def integer_input(self, i: int, wanted: Quantisation | None) -> int:
        """A value or a constant in int8, at a scale where one is wanted."""
        tensor = self.tensors[i]
        if tensor.type == "int32":
            return i
        if tensor.data is not None:
            scale = wanted or affine(float(tensor.data.min()), float(tensor.data.max()))
            return self.constant(i, scale, to_int8(tensor.data, scale))
        if tensor.type != "int8":
            return self.converted(i, wanted or affine(*self.ranges[i]))
        return self.converted(i, wanted) if wanted not in (None, tensor.quantisation) else i

    def weighted_inputs(self, op: TfliteOperator) -> tuple[int, ...]:
        """What a convolution or a linear layer reads: values, weights by channel, a bias at the product of scales."""
        place = 2 if op.kind == "TRANSPOSE_CONV" else 0
        inputs = list(op.inputs)
        inputs[place] = self.integer_input(op.inputs[place], None)
        arriving = self.tensors[inputs[place]].quantisation
        weight = self.tensors[op.inputs[1]].data
        assert arriving is not None
        assert weight is not None
        axis = WEIGHTED[op.kind]
        bias = self.tensors[op.inputs[2]].data if place == 0 else None
        scales = channel_scales(weight, axis, arriving.scales[0], bias)
        along = Quantisation(tuple(map(float, scales)), (0,) * len(scales), axis)
        steps = scales.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
        whole_weight = np.clip(np.rint(weight / steps), -127, 127)
        inputs[1] = self.constant(op.inputs[1], along, whole_weight.astype(np.int8))
        if bias is not None:
            if (mean := self.means.get(op.inputs[place])) is not None:
                bias = bias - mean_shift(whole_weight * steps - weight, mean, axis)
            product = arriving.scales[0] * scales
            whole = np.clip(np.rint(bias / product), -(2**31) + 1, 2**31 - 1).astype(np.int32)
            at = Quantisation(tuple(map(float, product)), (0,) * len(scales))
            inputs[2] = self.constant(op.inputs[2], at, whole, "int32")
        return tuple(inputs)

    def constant(self, i: int, scale: Quantisation, data: NDArray[Any], type_: str = "int8") -> int:
        """A constant in whole numbers."""
        key = (i, scale)
        if key not in self.copies:
            tensor = self.tensors[i]
            self.copies[key] = self.add(replace(tensor, type=type_, data=data, quantisation=scale))
        return self.copies[key]


def int8_input(source: TfliteModel) -> tuple[TfliteModel, list[Tensor]]:
    """The model without the step from uint8 to float, and without any where all channels are normalised alike."""
    first, second, *others = source.operators
    assert (first.path, second.path) == (PIXELS, PIXELS), "a model that takes pixels is quantised"
    tensors = [replace(tensor) for tensor in source.tensors]
    weight, bias = (tensors[i].data for i in second.inputs[1:])
    assert weight is not None
    assert bias is not None
    scale, shift = float(weight.flat[0]), float(bias.flat[0])
    alike = bool(np.ptp(weight) == 0 and np.ptp(bias) == 0)
    image = second.outputs[0] if alike else second.inputs[0]
    zero = int(np.clip(round(-shift / scale), 0, 255)) - 128 if alike else -128
    at = Quantisation((scale if alike else 1.0,), (zero,))
    tensors[image] = replace(tensors[image], name=tensors[source.inputs[0]].name, type="int8", quantisation=at)
    operators = others if alike else [second, *others]
    return replace(source, operators=operators, inputs=[image]), tensors


def activation_scales(
    model: TfliteModel, tensors: list[Tensor], integer: list[bool], ranges: Mapping[int, Range]
) -> dict[int, Quantisation]:
    """The scale of every value that an int8 operator writes; those that operators only move have one."""
    groups = Groups()
    fixed: dict[int, Quantisation] = {}
    for i in model.inputs:
        scale = tensors[i].quantisation
        assert scale is not None
        fixed[i] = scale
    written = [op for op, whole in zip(model.operators, integer, strict=True) if whole]
    valued = {i for op in written for i in op.outputs} | set(model.inputs)
    for op in written:
        if op.kind in FIXED:
            fixed[op.outputs[0]] = FIXED[op.kind]
    for op in written:
        if op.kind in MOVING:
            moved = op.inputs[1] if op.kind == "SPLIT" else op.inputs[0]
            for i in op.outputs:
                groups.join(i, moved if moved in valued else i)
    pinned = {groups.find(i): scale for i, scale in fixed.items()}
    for op in written:
        if op.kind == "CONCATENATION":
            for i in op.inputs:
                if i in valued and groups.find(i) not in pinned and groups.find(op.outputs[0]) not in pinned:
                    groups.join(i, op.outputs[0])
    scales: dict[int, Quantisation] = {}
    members: dict[int, list[int]] = {}
    for i in valued:
        members.setdefault(groups.find(i), []).append(i)
    for group in members.values():
        scale = next((pinned[key] for i in group if (key := groups.find(i)) in pinned), None)
        if scale is None:
            lows, highs = zip(*(ranges[i] for i in group), strict=True)
            scale = affine(min(lows), max(highs))
        scales.update(dict.fromkeys(group, scale))
    return scales


class Groups:
    """Values that share a scale (a union of sets)."""

    def __init__(self) -> None:
        self.parents: dict[int, int] = {}

    def find(self, i: int) -> int:
        """The value that stands for the group of i."""
        while (parent := self.parents.get(i, i)) != i:
            i = parent
        return i

    def join(self, a: int, b: int) -> None:
        """Make two groups one."""
        self.parents[self.find(a)] = self.find(b)


def affine(low: float, high: float) -> Quantisation:
    """The scale and the zero point of a range: 256 steps, zero exactly on one of them."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255)) or 1.0
    return Quantisation((scale,), (int(np.clip(round(-128 - low / scale), -128, 127)),))


def to_int8(values: NDArray[Any], scale: Quantisation) -> NDArray[np.int8]:
    """Real values as whole numbers."""
    whole: NDArray[np.int8] = np.clip(np.rint(values / scale.scales[0]) + scale.zero_points[0], -128, 127).astype(
        np.int8
    )
    return whole


def channel_scales(weight: NDArray[Any], axis: int, arriving: float, bias: NDArray[Any] | None) -> NDArray[np.float64]:
    """A scale a channel, so that the largest weight is 127 and the bias fits into 32 bits."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scales: NDArray[np.float64] = np.abs(weight).max(axis=others).astype(np.float64) / 127
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias) / (arriving * 2.0**30))
        scales = np.where(scales > 0, scales, 1.0)
        bare = np.abs(weight).max(axis=others) == 0
        scales = np.where(bare, np.maximum(np.abs(bias), 1e-6) / (arriving * BIAS_BITS), scales)
    return np.maximum(scales, 1e-12).astype(np.float32).astype(np.float64)


def mean_shift(change: NDArray[Any], mean: NDArray[Any], axis: int) -> NDArray[Any]:
    """How a change of the weights moves the mean of what a layer computes, by channel, for inputs of a mean by channel.

    Borders, where a kernel sees padding, count like the rest.
    """
    if axis:  # depthwise: (1, h, w, C m)
        shift: NDArray[Any] = change.sum((0, 1, 2)) * np.repeat(mean, change.shape[-1] // len(mean))
        return shift
    flat = change.reshape(len(change), -1, change.shape[-1]).sum(1)  # (O, C / groups)
    parts = mean.reshape(-1, flat.shape[1])  # by group
    moved: NDArray[Any] = np.einsum("goc,gc->go", flat.reshape(len(parts), -1, flat.shape[1]), parts)
    return moved.reshape(-1)


def float_layers(model: TfliteModel) -> Iterator[str]:
    """The paths of operators that int8 leaves in float, for they have no kernel."""
    for op, integer in zip(model.operators, quantisable(model), strict=True):
        if not integer and op.path != PIXELS:
            yield op.path
