"""Tensors have types: what a byte is counted for follows each tensor's own."""

from __future__ import annotations

import json

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.arch.net import hash_of
from netlathe.cost.count import count
from netlathe.cost.memory import memory
from netlathe.lab.graph_json import graph_from_json, graph_to_json
from netlathe.read.graph_builder import GraphBuilder, Scope, TracedValue


def quantised() -> Graph:
    """An int8 convolution of 8 x 16 x 16 maps with a bias of 32 bits, and a ReLU that makes floats again."""
    tensors = {"conv.weight": (8, 8, 1, 1), "conv.bias": (8,)}
    builder = GraphBuilder(tensors, {}, {"conv.weight": "int8", "conv.bias": "int32"})
    x = builder.input((1, 8, 16, 16), "int8")
    weights = [TracedValue(shape, sources=(name,)) for name, shape in tensors.items()]
    y = builder.emit(Scope("conv"), "conv", "", [x, *weights], (1, 8, 16, 16), 8 * 8 * 256, "int8")
    y = builder.emit(Scope("act"), "act", "softmax", [y], (1, 8, 16, 16), type_="fp32")
    return builder.graph([y], Scope(""))


def test_bytes_follow_types_and_the_rest_the_precision_asked() -> None:
    graph, map_ = quantised(), 8 * 16 * 16
    cost = count(graph)
    for width in (4, 2):
        assert cost.weight_bytes(width) == 64 + 4 * 8
        assert cost.bytes(width, batch=3) == 3 * (3 * map_ + width * map_) + 64 + 4 * 8
        peaks = memory(graph, width, batch=3)
        assert peaks.eager == 3 * (1 + width) * map_
        assert peaks.total == 3 * (2 + width) * map_
    assert cost.moved == 4 * map_  # elements are elements


def test_types_come_back_from_json() -> None:
    graph = quantised()
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))) == graph


def test_what_has_no_types_has_the_key_that_it_always_had() -> None:
    network = zoo.get("lenet5")
    assert "types" not in repr(network.graph())
    assert hash_of(network.graph()) == "bfd91c06f0be2c11"
