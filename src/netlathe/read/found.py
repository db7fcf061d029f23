"""Found: a network that somebody else wrote, as far as counting goes: operators, but no expression."""

from __future__ import annotations

from dataclasses import dataclass

from netlathe.arch.graph import Graph
from netlathe.arch.node import Shape


@dataclass(frozen=True, slots=True)
class Found:
    """What costs need of a `Network`: its name, its input (of one image) and its graph. `notes` are for the user.

    `file` is the ONNX file that it was read from, which can run as it is.
    """

    name: str
    operators: Graph
    notes: tuple[str, ...] = ()
    file: str = ""

    @property
    def input(self) -> Shape:
        """The shape of the first input."""
        return self.operators.input_shapes[0] if self.operators.input_shapes else ()

    def graph(self) -> Graph:
        """The flat list of operators."""
        return self.operators
