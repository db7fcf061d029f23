"""fold(): what a node computes from numbers that are known, in numpy. https://onnx.ai/onnx/operators/.

Exporters compute the arguments of Reshape, Expand, Pad and If by nodes (Shape, Gather, Concat ...). They are worked out
here, whatever the version of the operator: what moved from an attribute to an input later is looked for at both places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

SMALL = 1024  # elements: what shapes are computed from is smaller

Numbers: TypeAlias = NDArray[Any]


class FoldCall(NamedTuple):
    """A node of which all inputs are known; an optional one that is left out is None."""

    xs: Sequence[Numbers | None]
    attributes: Mapping[str, Any]
    outputs: int

    @property
    def x(self) -> Numbers:
        """The first input."""
        return self.input(0)

    def input(self, i: int) -> Numbers:
        """An input that is there."""
        x = self.xs[i]
        assert x is not None
        return x

    def argument(self, name: str, i: int, default: Any = None) -> Any:
        """An attribute, or the input i that it became later, as lists and numbers."""
        if name in self.attributes:
            return self.attributes[name]
        x = self.xs[i] if i < len(self.xs) else None
        return default if x is None else x.tolist()


def divide(a: Numbers, b: Numbers) -> Numbers:
    """Whole numbers are divided towards zero."""
    if not np.issubdtype(a.dtype, np.integer):
        return np.asarray(a / b)
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)))


def reshape(call: FoldCall) -> Numbers:
    shape = [int(n) for n in call.argument("shape", 1)]
    if not call.attributes.get("allowzero"):
        shape = [call.x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return call.x.reshape(shape)


def slice_axes(call: FoldCall) -> Numbers:
    starts, ends = call.argument("starts", 1), call.argument("ends", 2)
    axes = call.argument("axes", 3, range(len(starts)))
    steps = call.argument("steps", 4, [1] * len(starts))
    where = [slice(None)] * call.x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        where[axis] = slice(start, None if step < 0 and end < -call.x.shape[axis] else end, step)
    return call.x[tuple(where)]


def squeeze(call: FoldCall) -> Numbers:
    axes = call.argument("axes", 1)
    return np.squeeze(call.x, None if axes is None else tuple(axes))


def split(call: FoldCall) -> list[Numbers]:
    axis, sizes = call.attributes.get("axis", 0), call.argument("split", 1)
    if sizes is None:
        each = -(-call.x.shape[axis] // call.outputs)
        return np.split(call.x, range(each, call.x.shape[axis], each), axis)
    return np.split(call.x, np.cumsum(sizes)[:-1], axis)


def expand(call: FoldCall) -> Numbers:
    shape = np.broadcast_shapes(call.x.shape, tuple(int(n) for n in call.input(1)))
    return np.broadcast_to(call.x, shape) if prod(shape) <= SMALL else call.x


def scatter(call: FoldCall) -> Numbers:
    result = call.x.copy()
    indices = call.input(1)
    for place in np.ndindex(indices.shape[:-1]):
        result[tuple(indices[place])] = call.input(2)[place]
    return result


def clip(call: FoldCall) -> Numbers:
    low, high = call.argument("min", 1), call.argument("max", 2)
    return call.x if low is None and high is None else np.clip(call.x, low, high)


def full(call: FoldCall) -> Numbers:
    value = call.attributes.get("value")
    element = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return np.full([int(n) for n in call.x], element.reshape(-1)[0])


def cast(call: FoldCall) -> Numbers:
    return call.x.astype(onnx.helper.tensor_dtype_to_np_dtype(call.attributes["to"]))


def reduction(function: Callable[..., Any]) -> Callable[[FoldCall], Numbers]:
    def reduced(call: FoldCall) -> Numbers:
        axes = call.argument("axes", 1)
        if not axes and call.attributes.get("noop_with_empty_axes"):
            return call.x
        keep = bool(call.attributes.get("keepdims", 1))
        return np.asarray(function(call.x, axis=tuple(axes) if axes else None, keepdims=keep)).astype(call.x.dtype)

    return reduced


def two(function: Callable[[Any, Any], Any]) -> Callable[[FoldCall], Numbers]:
    return lambda call: np.asarray(function(call.input(0), call.input(1)))


def one(function: Callable[[Any], Any]) -> Callable[[FoldCall], Numbers]:
    return lambda call: np.asarray(function(call.x))


UNARY: dict[str, Callable[..., Any]] = {
    "Neg": np.negative, "Abs": np.abs, "Floor": np.floor, "Ceil": np.ceil, "Round": np.round, "Sqrt": np.sqrt,
    "Sign": np.sign, "Not": np.logical_not, "Exp": np.exp, "Log": np.log, "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0), "Size": lambda x: np.int64(x.size),
    "NonZero": lambda x: np.array(x.nonzero()), "IsNaN": np.isnan,
}  # fmt: skip
BINARY: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": divide, "Equal": np.equal, "Less": np.less,
    "LessOrEqual": np.less_equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "And": np.logical_and,
    "Or": np.logical_or, "Xor": np.logical_xor, "CastLike": lambda x, y: x.astype(y.dtype),
    "Pow": lambda x, y: np.power(x, y).astype(x.dtype),
}  # fmt: skip
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceSum": np.sum, "ReduceProd": np.prod, "ReduceMax": np.max, "ReduceMin": np.min, "ReduceMean": np.mean,
}  # fmt: skip
FOLDS: dict[str, Callable[[FoldCall], Numbers | list[Numbers]]] = {
    "Identity": one(lambda x: x),
    "Dropout": one(lambda x: x),
    **{name: one(function) for name, function in UNARY.items()},
    **{name: two(function) for name, function in BINARY.items()},
    **{name: reduction(function) for name, function in REDUCTIONS.items()},
    "Mod": lambda call: (np.fmod if call.attributes.get("fmod") else np.mod)(call.input(0), call.input(1)),
    "Min": lambda call: reduce(np.minimum, [x for x in call.xs if x is not None]),
    "Max": lambda call: reduce(np.maximum, [x for x in call.xs if x is not None]),
    "Sum": lambda call: reduce(np.add, [x for x in call.xs if x is not None]),
    "Where": lambda call: np.where(call.input(0), call.input(1), call.input(2)),
    "Cast": cast,
    "Clip": clip,
    "Gather": lambda call: np.take(call.x, call.input(1), axis=call.attributes.get("axis", 0)),
    "Concat": lambda call: np.concatenate([x for x in call.xs if x is not None], axis=call.attributes["axis"]),
    "Unsqueeze": lambda call: np.expand_dims(call.x, tuple(call.argument("axes", 1))),
    "Squeeze": squeeze,
    "Slice": slice_axes,
    "Split": split,
    "Reshape": reshape,
    "Flatten": lambda call: call.x.reshape(prod(call.x.shape[: call.attributes.get("axis", 1)]), -1),
    "Transpose": lambda call: np.transpose(call.x, call.attributes.get("perm")),
    "Expand": expand,
    "Tile": lambda call: np.tile(call.x, [int(n) for n in call.input(1)]),
    "Range": lambda call: np.arange(call.x.item(), call.input(1).item(), call.input(2).item(), dtype=call.x.dtype),
    "ConstantOfShape": full,
    "ScatterND": scatter,
}  # fmt: skip


def fold(operator: str, call: FoldCall) -> list[Numbers] | None:
    """The results, or None where nobody says here what the operator computes, or too much."""
    function = FOLDS.get(operator)
    if function is None:
        return None
    with np.errstate(all="ignore"):
        result = function(call)
    results = [np.asarray(array) for array in (result if isinstance(result, list) else [result])]
    return None if any(array.size > SMALL for array in results) else results


def number_of(tensor: onnx.TensorProto) -> Numbers | None:
    """The numbers of a tensor that is small and holds them; None for others."""
    if prod(tensor.dims) > SMALL or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return None
    fields = (tensor.raw_data, tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data,
              tensor.uint64_data)  # fmt: skip
    if tensor.data_type == onnx.TensorProto.STRING or not (any(fields) or prod(tensor.dims) == 0):
        return None
    return onnx.numpy_helper.to_array(tensor)
