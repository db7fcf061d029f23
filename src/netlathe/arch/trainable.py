"""Trainable: a net that can be built anew, for other images and other classes, with weights that are given.

An expression is one, and so is a torch module whose source can build it again (`read.buildable`). Training, export and
the packages that are deployed ask for this and no more. Weights are arrays by the names of the module's state dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from netlathe.arch.net import Net
from netlathe.arch.node import Shape


class Trainable(Net, Protocol):
    """What training needs of a net. Its `key` changes with all that decides what it computes, apart from weights."""

    def at(self, resolution: int | None) -> Trainable:
        """The same for square images of another size; None changes nothing."""

    def for_images(self, *, classes: int, channels: int, resolution: int) -> Trainable:
        """The same for square images with so many channels, and with so many classes.

        Raises NetlatheError where it does not classify images, or cannot be built for these.
        """

    def document(self) -> str:
        """The text of an arch.json, from which `load.from_document` makes the same net."""

    def tensors(self) -> dict[str, Shape]:
        """The shapes of its weights and buffers by name, counters of batches left out."""

    def heads(self) -> list[str]:
        """The paths of the layers that compute the classes. Raises NetlatheError where there is no such layer."""

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
        """A new torch module in training mode, float32: (batch, channels, r, r) -> (batch, classes).

        Without weights an expression takes those of the recipe `init`, or random ones, and a module its own; both draw
        from `seed`. The rates are those of dropout and stochastic depth, where the network has a place for them.
        """

    def onnx_model(self, weights: Mapping[str, Any] | None = None, *, batch: int | None = 1, seed: int = 0) -> Any:
        """An onnx.ModelProto that computes what the module computes at inference; batch None leaves it free, as `N`."""
