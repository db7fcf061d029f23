"""inputs_of(): the inputs of an ONNX model with whole shapes: which axis is the batch, and what fills free axes.

The first axis is the batch where it is free or 1. An input without axes, and one with a fixed first axis beside others
that have a batch (the state of an LSTM, a table of anchors), has none. An axis with a name is as long as every other of
that name.
"""

from __future__ import annotations

from typing import NamedTuple

import onnx

from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError

HINT = "give a shape without the batch axis: --input 3x224x224, or read_onnx(path, (3, 224, 224))"


class OnnxInput(NamedTuple):
    """An input: its shape with a batch of None where the file leaves it free, or does not fix it."""

    name: str
    type: int
    shape: tuple[int | None, ...]
    written: tuple[int | None, ...]  # as the file has it, None where an axis is free
    batched: bool

    @property
    def one(self) -> Shape:
        """The shape for a batch of 1."""
        return tuple(1 if size is None else size for size in self.shape)


class OnnxInputs(NamedTuple):
    """All inputs; `sizes` are of the named axes, for a batch of 1. `fixed`: no axis has another size than there."""

    inputs: tuple[OnnxInput, ...]
    sizes: dict[str, int]
    fixed: bool


def inputs_of(model: onnx.ModelProto, shapes: tuple[Shape, ...], source: str) -> OnnxInputs:
    """The inputs, with these shapes (without the batch) for the first of them.

    Raises NetlatheError for shapes that do not fit, free axes that nothing fills, and inputs that are no tensors.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in weights]
    if len(shapes) > len(values):
        raise NetlatheError(f"{len(shapes)} shapes for {len(values)} inputs", code="read.inputs", path=source)
    for value in values:
        if not value.type.HasField("tensor_type"):
            raise NetlatheError(f"the input {value.name} is no tensor", code="read.inputs", path=source)
    wanted = [*shapes, *[None] * (len(values) - len(shapes))]
    leading = [axes_of(value)[0] for value in values if axes_of(value)]
    batched = [has_batch(value, leading) for value in values]
    sizes = named_sizes(values, wanted, batched, source)
    alone = not any(has and len(axes_of(value)) > 1 for value, has in zip(values, batched, strict=True))
    inputs = [
        read_input(value, shape, has, sizes, alone, source)
        for value, shape, has in zip(values, wanted, batched, strict=True)
    ]
    fixed = all(b in (None, a) for one in inputs for a, b in zip(one.shape, one.written, strict=False))
    return OnnxInputs(tuple(inputs), sizes, fixed)


class Axis(NamedTuple):
    """An axis as the file has it: its length, or None and perhaps a name."""

    size: int | None
    name: str


def axes_of(value: onnx.ValueInfoProto) -> list[Axis]:
    """The axes of an input; exporters write -1 where one is free."""
    return [Axis(axis.dim_value if axis.dim_value > 0 else None, axis.dim_param)
            for axis in value.type.tensor_type.shape.dim]  # fmt: skip


def has_batch(value: onnx.ValueInfoProto, leading: list[Axis]) -> bool:
    """Whether the first axis of an input is the batch; `leading` are the first axes of all inputs."""
    axes = axes_of(value)
    if not axes or (len(axes) == 1 and axes[0].size):
        return not value.type.tensor_type.HasField("shape")
    if axes[0].size in (None, 1):
        return True
    return len({axis.size for axis in leading}) == 1 or all((axis.size or 0) > 1 for axis in leading)


def named_sizes(
    values: list[onnx.ValueInfoProto], wanted: list[Shape | None], batched: list[bool], source: str
) -> dict[str, int]:
    """How long the axes with a name are: the batch 1, others as the shapes say."""
    sizes: dict[str, int] = {}
    for value, shape, has in zip(values, wanted, batched, strict=True):
        axes = axes_of(value)
        if has and len(axes) > 1 and axes[0].name:
            sizes[axes[0].name] = 1
        if shape is not None and len(shape) == len(axes) - has:
            sizes |= {axis.name: size for axis, size in zip(axes[has:], shape, strict=True) if axis.name}
    return sizes


def read_input(
    value: onnx.ValueInfoProto, wanted: Shape | None, batched: bool, sizes: dict[str, int], alone: bool, source: str
) -> OnnxInput:
    """One input with its free axes filled, but that of the batch; `alone`: no input has a batch and more axes."""
    axes = axes_of(value)
    written = tuple(axis.size for axis in axes)
    kind = value.type.tensor_type
    name = value.name
    if not kind.HasField("shape") and wanted is None:
        raise NetlatheError(f"the file does not say what shape the input {name} has", code="read.free_axis",
                            path=source, hint=HINT)  # fmt: skip
    if not kind.HasField("shape"):
        return OnnxInput(name, kind.elem_type, (None, *(wanted or ())), (), True)
    if wanted is not None and len(axes) == 1 and len(wanted) == 1:
        return OnnxInput(name, kind.elem_type, wanted, written, False)
    if wanted is not None and len(wanted) != len(axes) - batched:
        shown = "x".join(axis.name or str(axis.size or "?") for axis in axes[batched:])
        message = f"the input {name} is {shown or 'a single number'}, not {'x'.join(map(str, wanted))}"
        raise NetlatheError(message, code="read.inputs", path=source)
    shape: list[int | None] = list(written)
    for i, axis in enumerate(axes):
        if wanted is not None and i >= batched:
            shape[i] = wanted[i - batched]
        elif not axis.size:
            shape[i] = sizes.get(axis.name) if axis.name else None
            if shape[i] is None and (i > 0 or (len(axes) == 1 and alone)):
                raise NetlatheError(
                    f"axis {i} of the input {name} is free" + f" ({axis.name})" * bool(axis.name),
                    code="read.free_axis",
                    path=source,
                    hint=HINT,
                )
    if batched and axes and not axes[0].size:
        shape[0] = None
    return OnnxInput(name, kind.elem_type, tuple(shape), written, batched)
