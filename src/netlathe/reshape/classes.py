"""A network for other images and other classes: the same expression with another last layer."""

from __future__ import annotations

from dataclasses import replace

from netlathe.arch.graph import Graph
from netlathe.arch.layers import Linear
from netlathe.arch.network import Network
from netlathe.arch.rewrite import at, replace_at
from netlathe.errors import NetlatheError


def with_classes(network: Network, classes: int) -> Network:
    """The network with `classes` outputs; auxiliary heads of the same width follow.

    Raises NetlatheError where the result is not computed by a linear layer over features.
    """
    graph = network.graph(training=True)
    paths = classifiers(graph)
    if graph.shapes[graph.outputs[0]] == (classes,):
        return network
    body = network.body
    for path in paths:
        last = at(body, path)
        assert isinstance(last, Linear)
        body = replace_at(body, path, replace(last, width=classes))
    return replace(network, body=body)


def for_images(network: Network, *, classes: int, channels: int, resolution: int) -> Network:
    """The network for square images with so many channels, and with so many classes.

    Raises NetlatheError for a network that does not classify, ShapeError where the image is too small for it.
    """
    if len(network.input) != 3 or network.more:
        raise NetlatheError(f"{network.name} does not read images alone", code="train.network")
    return with_classes(replace(network, input=(channels, resolution, resolution)), classes)


def classifiers(graph: Graph) -> list[str]:
    """The paths of the linear layers that compute the result and, as wide, the outputs of auxiliary heads."""
    wide = graph.shapes[graph.outputs[0]]
    makers = {op.output: op for op in graph.ops}
    ends = [makers[i] for i in graph.outputs if i in makers and graph.shapes[i] == wide]
    if not ends or ends[0].output != graph.outputs[0] or len(wide) != 1:
        raise NetlatheError("this network does not end in classes", code="train.network")
    for op in ends:
        if not isinstance(op.leaf, Linear):
            hint = "end it in head(classes), or in a Linear"
            raise NetlatheError(
                "the classes are not computed by a linear layer", code="train.network", path=op.path, hint=hint
            )
    return [op.path for op in ends]
