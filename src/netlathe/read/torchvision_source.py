"""Modules of torchvision, which builds its networks for other classes; their first convolutions are changed here."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from netlathe.arch.node import Shape
from netlathe.errors import nearest
from netlathe.lower.libraries import import_library
from netlathe.read.module_source import BuildRequest, refused_module, unknown_module

# Else their training gives a tuple.
MORE = {name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")}


@dataclass(frozen=True)
class TorchvisionSource:
    """torchvision's network of that name, without auxiliary outputs; `.WEIGHTS` behind a dot is not needed."""

    name: str
    code = None

    @property
    def text(self) -> str:
        """torchvision:NAME."""
        return f"torchvision:{self.name}"

    @property
    def identity(self) -> str:
        """What is built; the tag of weights changes nothing in it."""
        return f"torchvision:{self.architecture}"

    @property
    def architecture(self) -> str:
        """The name without that of the weights."""
        return self.name.partition(".")[0]

    @cached_property
    def entry(self) -> Any:
        """The entry of its weights: meta data and transforms. Raises NetlatheError for a name that is none."""
        models = import_library("torchvision").models
        builder, _, wanted = self.name.partition(".")
        names = [name for name in models.list_models() if is_classifier(models, name)]
        if builder not in names:
            raise unknown_module("torchvision", self.name, nearest(builder, names))
        legal = models.get_model_weights(builder)
        try:
            return legal[wanted or "DEFAULT"]
        except KeyError:
            close = nearest(wanted, [entry.name for entry in legal]) or [entry.name for entry in legal]
            raise unknown_module("torchvision", self.name, [f"{builder}.{one}" for one in close]) from None

    @property
    def image(self) -> Shape:
        """As the transforms of its weights crop it; a Transformer's positions are for that size."""
        side = self.entry.transforms().crop_size[0]
        return (3, side, side)

    def running(self) -> AbstractContextManager[None]:
        """Nothing to see to."""
        return nullcontext()

    def build(self, request: BuildRequest, drop_rate: float = 0.0, drop_path: float = 0.0) -> Any:
        """torchvision takes the number of classes, and the resolution of a ViT; channels are changed afterwards."""
        from netlathe.read.head import set_channels

        options: dict[str, Any] = dict(MORE.get(self.architecture, {}))
        if request.classes is not None:
            options["num_classes"] = request.classes
        side = request.resolution or self.image[-1]
        if self.architecture.startswith("vit_"):
            options["image_size"] = side
        try:
            module = import_library("torchvision").models.get_model(self.architecture, weights=None, **options)
        except Exception as error:
            raise refused_module(self.text, request, error) from error
        if getattr(module, "transform_input", False):
            module.transform_input = False
        if request.channels not in (None, 3):
            set_channels(module, (3, side, side), request.channels)
        return module

    def preprocessing(self) -> dict[str, Any]:
        """As the transforms of its weights say."""
        transform = self.entry.transforms()
        half = (
            [0.5] * 3 if self.architecture == "googlenet" else None
        )  # its module renormalises what the transform gives
        return {
            "mean": half or list(transform.mean),
            "std": half or list(transform.std),
            "resize": transform.resize_size[0],
            "crop": transform.crop_size[0],
            "interpolation": str(transform.interpolation.value),
        }


def is_classifier(models: Any, name: str) -> bool:
    """Whether torchvision builds a classifier of images by that name, not a detector or a network of videos."""
    return bool(models.get_model_builder(name).__module__.count(".") == 2)
