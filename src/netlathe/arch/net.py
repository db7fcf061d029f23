"""Net: what has a graph, wherever it comes from. A verb asks for the ability that it needs, never for a type.

    kind of net                graph()  expression()  trainable()  module()  onnx(folder)
    Network, an expression       yes        yes           yes        yes       yes
    BuildableModule (read)       yes        no            yes        yes       yes, as torch exports it
    ForeignModule (read)         yes        no            no         yes       yes, as torch exports it
    OnnxFile (read)              yes        no            no         no        yes, itself
    GraphNet, operators alone    yes        no            no         no        no

What a net cannot do raises a NetlatheError that names the net, what it is, what it lacks and what works. A new kind is
one class: `Foreign` refuses what it does not override, and tests/test_net.py holds for all.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol

from netlathe.arch.graph import Graph
from netlathe.arch.inputs import Feed
from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError

if TYPE_CHECKING:
    from netlathe.arch.network import Network
    from netlathe.arch.trainable import Trainable


class Net(Protocol):
    """What has a graph. Shapes are of one image, without the batch axis."""

    def __hash__(self) -> int: ...

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def input(self) -> Shape:
        """The shape of the first input."""

    @property
    def inputs(self) -> tuple[Shape, ...]:
        """The shapes of all inputs."""

    @property
    def key(self) -> str:
        """A short hash of what it computes, whatever the name: the key of measurements."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how it was read."""

    @property
    def precision(self) -> str | None:
        """What a file is written in, such as int8+fp32; None where that is decided when it is lowered."""

    @property
    def workload(self) -> Any:
        """What a table knows of it, which counts and forecasts take instead of its graph; None for most nets."""

    @property
    def missing_extra(self) -> str | None:
        """The extras of Netlathe without which it cannot be built here; None where it can."""

    def renamed(self, name: str) -> Net:
        """The same under another name."""

    def graph(self) -> Graph:
        """The flat list of operators. Raises NetlatheError for an operator that nobody counted."""

    def feeds(self, batch: int) -> tuple[Feed, ...]:
        """What is put into it for a batch. Raises NetlatheError where it takes no batch of that size."""

    def expression(self) -> Network:
        """What can be written, rewritten and lowered. Raises NetlatheError where there is none."""

    def trainable(self) -> Trainable:
        """What can be built anew for other images and classes, and trained. Raises NetlatheError where it cannot."""

    def module(self) -> Any:
        """Its torch module. Raises NetlatheError where there is none, or no torch."""

    def onnx(self, folder: Path, *, batch: int = 1, seed: int = 0) -> Path:
        """An ONNX file that can be run: its own, or one written into the folder for that batch; random weights are
        drawn from `seed`. Raises NetlatheError where there is none."""


def rewritable(net: Net) -> Network | None:
    """The expression of a net, or None: for what is offered beside an answer, and left out where it cannot be."""
    try:
        return net.expression()
    except NetlatheError:
        return None


def hash_of(graph: Graph) -> str:
    """A short hash of operators, with their shapes and their order: the key of a net that is not known otherwise."""
    return hashlib.sha256(repr(graph).encode()).hexdigest()[:16]


class ForeignNet(ABC):
    """Somebody else's network: it has operators, and no expression. Subclasses say what more they can do."""

    kind: ClassVar[str]  # what it is, in a sentence
    name: str

    @property
    @abstractmethod
    def inputs(self) -> tuple[Shape, ...]:
        """The shapes of all inputs."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The key of measurements."""

    @abstractmethod
    def renamed(self, name: str) -> Net:
        """The same under another name."""

    @abstractmethod
    def graph(self) -> Graph:
        """The operators."""

    @property
    def input(self) -> Shape:
        """The shape of the first input."""
        return self.inputs[0] if self.inputs else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing to say."""
        return ()

    @property
    def precision(self) -> str | None:
        """Decided later."""
        return None

    @property
    def workload(self) -> Any:
        """No table has it."""
        return None

    @property
    def missing_extra(self) -> str | None:
        """It is here."""
        return None

    def feeds(self, batch: int) -> tuple[Feed, ...]:
        """Nothing runs."""
        self.lacks("no file to run", "load.no_file", "netlathe cost and netlathe device read its operators")

    def expression(self) -> Network:
        """There is none."""
        self.lacks(
            "operators, but no expression to write, change or run",
            "load.no_expression",
            "netlathe cost, netlathe device and netlathe compare --no-latency read its operators, netlathe bench times "
            "an ONNX file or a torch module; the rest needs a zoo name, an arch.json or a function that returns an "
            "expression",
        )

    def trainable(self) -> Trainable:
        """It cannot."""
        self.lacks(
            "no source to build it from",
            "load.not_trainable",
            "netlathe train takes a zoo name, an arch.json, file.py:function, timm:NAME or torchvision:NAME",
        )

    def module(self) -> Any:
        """There is none."""
        self.lacks("no torch module to train", "load.no_module", "netlathe bench times it as it is")

    def onnx(self, folder: Path, *, batch: int = 1, seed: int = 0) -> Path:
        """There is none."""
        self.lacks("no file to run", "load.no_file", "netlathe cost and netlathe device read its operators")

    def lacks(self, what: str, code: str, hint: str) -> NoReturn:
        """Refuse what this net cannot do."""
        raise NetlatheError(f"{self.name} is {self.kind}: it has {what}", code=code, hint=hint)


@dataclass(frozen=True, slots=True, eq=False)
class GraphNet(ForeignNet):
    """Operators alone, such as another process read from a file."""

    kind = "a list of operators"

    name: str
    operators: Graph

    @property
    def inputs(self) -> tuple[Shape, ...]:
        """The shapes of all inputs."""
        return self.operators.input_shapes

    @property
    def key(self) -> str:
        """A hash of the operators."""
        return hash_of(self.operators)

    def renamed(self, name: str) -> GraphNet:
        """The same under another name."""
        return GraphNet(name, self.operators)

    def graph(self) -> Graph:
        """The operators."""
        return self.operators
