"""Modules of timm, which builds its networks for other classes, channels and resolutions itself."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError, nearest
from netlathe.lower.libraries import import_library
from netlathe.read.module_source import IMAGE, BuildRequest, refused_module, unknown_module


@dataclass(frozen=True)
class TimmSource:
    """timm's network of that name; a tag behind a dot names published weights, and is not needed."""

    name: str
    code = None

    @property
    def text(self) -> str:
        """timm:NAME."""
        return f"timm:{self.name}"

    @property
    def identity(self) -> str:
        """What is built; the tag of weights changes nothing in it."""
        return f"timm:{self.architecture}"

    @property
    def architecture(self) -> str:
        """The name without the tag."""
        return self.name.partition(".")[0]

    @cached_property
    def config(self) -> dict[str, Any]:
        """timm's configuration of the weights: input_size, mean, std, classifier ... Raises NetlatheError."""
        timm = import_library("timm")
        if not timm.is_model(self.architecture):
            raise unknown_module("timm", self.name, nearest(self.architecture, timm.list_models()))
        config = timm.get_pretrained_cfg(self.name) if timm.is_model_pretrained(self.name) else None
        if config is None and "." in self.name:
            raise unknown_module("timm", self.name, nearest(self.name, timm.list_pretrained(f"{self.architecture}*")))
        facts: dict[str, Any] = (config or timm.get_pretrained_cfg(self.architecture)).to_dict()
        return facts

    @property
    def image(self) -> Shape:
        """As timm says."""
        return tuple(self.config.get("input_size") or IMAGE)

    def options(self, request: BuildRequest) -> dict[str, Any]:
        """Arguments of timm.create_model."""
        options = {"num_classes": request.classes, "in_chans": request.channels}
        if self.config.get("fixed_input_size") and request.resolution not in (None, self.image[-1]):
            options["img_size"] = request.resolution
        return {name: value for name, value in options.items() if value is not None}

    def running(self) -> AbstractContextManager[None]:
        """Nothing to see to."""
        return nullcontext()

    def build(self, request: BuildRequest, drop_rate: float = 0.0, drop_path: float = 0.0) -> Any:
        """timm builds it for all of that itself."""
        rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path}
        options = self.options(request) | {name: rate for name, rate in rates.items() if rate}
        try:
            return import_library("timm").create_model(self.name, pretrained=False, **options)
        except NetlatheError:
            raise
        except Exception as error:  # whatever one of its many networks raises
            raise refused_module(self.text, request, error) from error

    def preprocessing(self) -> dict[str, Any]:
        """As timm says."""
        config, side = self.config, self.image[-1]
        return {
            "mean": list(config["mean"]),
            "std": list(config["std"]),
            "resize": int(side / (config.get("crop_pct") or 1.0)),
            "crop": side,
            "interpolation": config["interpolation"],
        }
