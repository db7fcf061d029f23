"""Network: an expression, its name and the image it is made for. What a zoo entry, an arch.json and a rewrite give."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from netlathe.arch.graph import Graph, graph
from netlathe.arch.node import Node, Shape
from netlathe.errors import NetlatheError


@dataclass(frozen=True, slots=True)
class Network:
    """`body` reads one image of shape `input`, (channels, height, width), or as many token ids; then `more` inputs."""

    name: str
    body: Node
    input: Shape = (3, 224, 224)
    more: tuple[Shape, ...] = ()  # of further inputs, such as the time step of a denoiser

    def at(self, resolution: int | None) -> Network:
        """The same expression for square images of another size; None changes nothing."""
        if resolution is None:
            return self
        if resolution < 1:
            raise NetlatheError(f"the resolution must be at least 1, not {resolution}", code="arch.resolution")
        if len(self.input) != 3:
            raise NetlatheError(f"{self.name} reads no image, so it has no resolution", code="arch.resolution")
        return replace(self, input=(self.input[0], resolution, resolution))

    @property
    def inputs(self) -> tuple[Shape, ...]:
        """The shapes of all inputs."""
        return (self.input, *self.more)

    def graph(self, *, training: bool = False) -> Graph:
        """The flat list of operators; raises ShapeError with a path where shapes do not fit."""
        return graph(self.body, *self.inputs, training=training)

    @property
    def key(self) -> str:
        """A short hash of the expression and its input, whatever the name: the key of measurements."""
        return hashlib.sha256(repr((self.body, *self.inputs)).encode()).hexdigest()[:16]
