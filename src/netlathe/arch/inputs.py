"""What a network reads, as a runtime sees it: names, shapes with the batch axis, types, which rows are token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from netlathe.arch.node import Shape

if TYPE_CHECKING:
    from netlathe.arch.graph import Graph


class InputSpec(NamedTuple):
    """One input. Float32, or int64 ids below `vocabulary` where an embedding reads it; the shape is of one image."""

    name: str
    shape: Shape
    vocabulary: int | None = None


class Feed(NamedTuple):
    """What is put into a running network: a shape with the batch axis, ids below a vocabulary or an image, a type."""

    shape: tuple[int, ...]
    vocabulary: int | None
    type: str  # numpy's name


def input_specs(graph: Graph) -> tuple[InputSpec, ...]:
    """The inputs in order: `input`, then `input1`, `input2` ..."""
    ids = {op.inputs[0]: getattr(op.leaf, "vocabulary") for op in graph.ops if op.leaf and op.kind == "embedding"}  # noqa: B009
    return tuple(
        InputSpec(f"input{i}" if i else "input", shape, ids.get(i)) for i, shape in enumerate(graph.input_shapes)
    )


def batched(shape: Shape, batch: Any) -> tuple[Any, ...]:
    """The shape of a tensor: the batch axis takes the place of a grid's leading 1, else it comes before all axes."""
    return (batch, *(shape[1:] if len(shape) == 4 else shape))


def feeds(graph: Graph, batch: int) -> tuple[Feed, ...]:
    """What a batch puts into the lowering of an expression."""
    return tuple(
        Feed(batched(shape, batch), vocabulary, "float32" if vocabulary is None else "int64")
        for _, shape, vocabulary in input_specs(graph)
    )
