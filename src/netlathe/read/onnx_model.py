"""parse_model(): an ONNX file as it is, refused where it would have no end or reach beyond its folder.

Functions of a file may call each other, so that a kilobyte stands for any number of operators; and the numbers of its
tensors may lie in other files, whose names it gives. Neither is believed: the functions are counted before they are
expanded, and data comes from regular files beside the model alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from netlathe.arch.graph import MOST_OPERATORS
from netlathe.errors import NetlatheError
from netlathe.files import read_bytes

LARGEST = (2 << 30) - 1  # bytes, of any message of protobuf: what is larger keeps its weights in other files
DEEPEST = 100  # functions that call each other, one within the other

Key: TypeAlias = tuple[str, str, str]  # of a function: domain, name, overload


def parse_model(path: Path) -> onnx.ModelProto:
    """The model without external data. Raises NetlatheError for a file that cannot be read, or is none.

    Also for more operators than any network has, functions that call each other in a circle, and data of tensors that
    is anything but a regular file in the folder of the model.
    """
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(read_bytes(path, LARGEST))
    except DecodeError:
        model = onnx.ModelProto()
    if not model.ir_version or not model.graph.node:
        raise NetlatheError("this is not an ONNX file, or only a part of one", code="read.not_onnx", path=str(path),
                            hint="copy or export it again")  # fmt: skip
    refuse_endless_model(model, str(path))
    refuse_data_elsewhere(model, path)
    return model


def refuse_endless_model(model: onnx.ModelProto, source: str) -> None:
    """Raise NetlatheError for a model that has no end once its functions are expanded."""
    calls = {key_of(f): Counter(map(called, nodes_within(f.node))) for f in model.functions}
    order = TopologicalSorter({key: [other for other in counts if other in calls] for key, counts in calls.items()})
    try:
        keys = tuple(order.static_order())
    except CycleError as error:
        names = " calls ".join(name for _, name, _ in reversed(error.args[1]))
        message = f"functions of this file are recursive: {names}"
        hint = "ONNX allows no recursion: export it again"
        raise NetlatheError(message, code="read.recursive", path=source, hint=hint) from None
    sizes: dict[Key, int] = {}
    depths: dict[Key, int] = {}
    for key in keys:
        sizes[key] = min(sum(n * sizes.get(other, 1) for other, n in calls[key].items()), MOST_OPERATORS + 1)
        depths[key] = 1 + max((depths.get(other, 0) for other in calls[key]), default=0)
    if max(depths.values(), default=0) > DEEPEST:
        raise NetlatheError(f"functions of this file call each other more than {DEEPEST} deep", code="read.too_large",
                            path=source, hint="export it without functions")  # fmt: skip
    if sum(sizes.get(called(node), 1) for node in nodes_within(model.graph.node)) > MOST_OPERATORS:
        expanded = " once its functions are expanded" * bool(calls)
        message = f"this file is too large: more than {MOST_OPERATORS:,} operators{expanded}"
        raise NetlatheError(message, code="read.too_large", path=source, hint="no network has so many")


def key_of(function: onnx.FunctionProto) -> Key:
    """What a call names."""
    return function.domain, function.name, function.overload


def called(node: onnx.NodeProto) -> Key:
    """The function that a node calls, if there is one of that name."""
    return node.domain, node.op_type, node.overload


def nodes_within(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """All nodes, also those of graphs in attributes."""
    left = [nodes]
    while left:
        for node in left.pop():
            yield node
            left += [graph.node for attribute in node.attribute for graph in graphs_of(attribute)]


def graphs_of(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    """The graphs that an attribute holds."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def refuse_data_elsewhere(model: onnx.ModelProto, path: Path) -> None:
    """Raise NetlatheError for a tensor whose data is not in a regular file beside the model."""
    checked = set()
    for tensor in tensors_of(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        if location not in checked and (fault := fault_of(location, path.resolve().parent)):
            message = f"the data of {tensor.name!r} is in {location!r}, {fault}"
            raise NetlatheError(message, code="read.external", path=str(path),
                                hint="data of a model lies in a file beside it; nothing was read")  # fmt: skip
        checked.add(location)


def fault_of(location: str, folder: Path) -> str:
    """Why data is not read from a place; empty for a file that lies in the folder, or is missing."""
    parts = PurePosixPath(location).parts
    if not location or "\0" in location:
        return "which names no file"
    if location.startswith(("/", "\\")) or location[1:2] == ":":
        return "an absolute path"
    if ".." in parts or ".." in location.split("\\"):
        return "outside of its folder"
    place = folder
    try:
        for part in parts:
            place /= part
            if place.is_symlink():
                return "a link to elsewhere"
        if place.exists() and not place.is_file():
            return "which is no regular file"
    except OSError:  # too long, say
        return "which names no file"
    return ""


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All tensors of a model: of its graph, of graphs within, and of functions."""
    graphs = [model.graph]
    lists = [model.graph.node, *(function.node for function in model.functions)]
    for nodes in lists:
        for node in nodes_within(nodes):
            for attribute in node.attribute:
                yield from ([attribute.t] if attribute.HasField("t") else [])
                yield from attribute.tensors
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield from (sparse.values, sparse.indices)
                graphs += graphs_of(attribute)
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
