"""Network: an expression, its name and the image it is made for. What a zoo entry, an arch.json and a rewrite give."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlathe.arch.graph import Graph, graph
from netlathe.arch.inputs import Feed, feeds
from netlathe.arch.node import Node, Shape
from netlathe.errors import NetlatheError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of later rooms, which may be heavy: they are named here, and imported by whoever asks for one.
TORCH, ONNX, WEIGHTS = "netlathe.lower.torch", "netlathe.lower.onnx", "netlathe.lower.weights"
CLASSES, DOCUMENT = "netlathe.reshape.classes", "netlathe.arch.document"


@dataclass(frozen=True, slots=True)
class Network:
    """`body` reads one image of shape `input`, (channels, height, width), or as many token ids; then `more` inputs.

    It is the `Net` (`arch.net`) that can do everything.
    """

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

    def renamed(self, name: str) -> Network:
        """The same under another name."""
        return replace(self, name=name)

    @property
    def inputs(self) -> tuple[Shape, ...]:
        """The shapes of all inputs."""
        return (self.input, *self.more)

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing is lost on the way from an expression to its graph."""
        return ()

    @property
    def precision(self) -> str | None:
        """None: it is decided when it is lowered."""
        return None

    @property
    def workload(self) -> Any:
        """None: its graph is made in milliseconds."""
        return None

    @property
    def missing_extra(self) -> str | None:
        """None: an expression needs no library to be run."""
        return None

    @property
    def key(self) -> str:
        """A short hash of the expression and its input, whatever the name: the key of measurements."""
        return hashlib.sha256(repr((self.body, *self.inputs)).encode()).hexdigest()[:16]

    def graph(self, *, training: bool = False) -> Graph:
        """The flat list of operators; raises ShapeError with a path where shapes do not fit."""
        return graph(self.body, *self.inputs, training=training)

    def feeds(self, batch: int) -> tuple[Feed, ...]:
        """What a batch puts into its lowering; raises ShapeError as `graph` does."""
        return feeds(self.graph(), batch)

    def expression(self) -> Network:
        """Itself."""
        return self

    def trainable(self) -> Network:
        """Itself."""
        return self

    def for_images(self, *, classes: int, channels: int, resolution: int) -> Network:
        """The same expression with another last layer, for other images; see `reshape.classes`."""
        network: Network = import_module(CLASSES).for_images(
            self, classes=classes, channels=channels, resolution=resolution
        )
        return network

    def document(self) -> str:
        """Its arch.json."""
        text: str = import_module(DOCUMENT).to_json(self)
        return text

    def tensors(self) -> dict[str, Shape]:
        """The shapes of its weights by path."""
        shapes: dict[str, Shape] = import_module(WEIGHTS).tensor_shapes(self)
        return shapes

    def heads(self) -> list[str]:
        """The linear layers that compute the classes, auxiliary ones too."""
        paths: list[str] = import_module(CLASSES).classifiers(self.graph(training=True))
        return paths

    def module(
        self,
        weights: Mapping[str, Any] | None = None,
        *,
        init: str | None = None,
        seed: int = 0,
        drop_rate: float = 0.0,
        drop_path: float = 0.0,
        ramp: str = "over_last",
    ) -> Any:
        """Its torch reading; see `lower.torch`, which has more to choose."""
        rates = {"drop_rate": drop_rate, "drop_path": drop_path, "ramp": ramp}
        return import_module(TORCH).to_torch(self, weights, init=init, seed=seed, **rates)

    def onnx_model(self, weights: Mapping[str, Any] | None = None, *, batch: int | None = 1, seed: int = 0) -> Any:
        """Its ONNX reading; see `lower.onnx`."""
        return import_module(ONNX).to_onnx(self, weights, batch=batch, seed=seed)

    def onnx(self, folder: Path, *, batch: int = 1, seed: int = 0) -> Path:
        """Its ONNX reading with random weights, written into the folder; see `lower.onnx`, which takes others."""
        path = folder / "model.onnx"
        import_module(ONNX).save_onnx(self, path, batch=batch, seed=seed)
        return path
