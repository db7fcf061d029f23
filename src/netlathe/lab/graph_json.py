"""A Graph as JSON values and back: what the process that parses an upload may say to the one that serves the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from netlathe.arch.graph import Graph, Op
from netlathe.arch.node import Shape
from netlathe.arch.types import BITS, FLOATS, Types


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """Plain lists and numbers; the leaf of an operator, which only expressions have, is left out."""
    return {
        "ops": [op._replace(leaf=None)._asdict() | {"types": list(op.types.items())} for op in graph.ops],
        "input_shapes": graph.input_shapes,
        "outputs": graph.outputs,
        "shapes": graph.shapes,
        "types": list(graph.types.items()),
        "precision": graph.precision,
    }


def graph_from_json(document: Mapping[str, Any]) -> Graph:
    """The graph of `to_wire`. Raises KeyError, TypeError or ValueError for anything else."""
    return Graph(
        tuple(map(operator, document["ops"])),
        tuple(map(sizes, document["input_shapes"])),
        sizes(document["outputs"]),
        tuple(map(sizes, document["shapes"])),
        types(document["types"]),
        one_of(FLOATS, document["precision"]),
    )


def operator(row: Mapping[str, Any]) -> Op:
    """One operator; every field is made what it must be."""
    return Op(
        kind=str(row["kind"]),
        form=str(row["form"]),
        path=str(row["path"]),
        inputs=sizes(row["inputs"]),
        output=int(row["output"]),
        in_shapes=tuple(map(sizes, row["in_shapes"])),
        out_shape=sizes(row["out_shape"]),
        weights={str(name): sizes(shape) for name, shape in row["weights"].items()},
        buffers={str(name): sizes(shape) for name, shape in row["buffers"].items()},
        macs=int(row["macs"]),
        view=bool(row["view"]),
        types=types(row["types"]),
        inner=int(row["inner"]),
    )


def types(pairs: Any) -> Types:
    """Types by number of a value, or name of a tensor."""
    return {key if isinstance(key, int) else str(key): one_of(BITS, type_) for key, type_ in pairs}


def one_of(legal: Collection[str], word: Any) -> str:
    """A word that is legal."""
    if word not in legal:
        raise ValueError(word)
    return str(word)


def sizes(values: Any) -> Shape:
    """Whole numbers."""
    return tuple(int(n) for n in values)
