"""Where a module comes from, and how it is built anew: somebody's code, timm, torchvision.

A source is what a person types, and builds a fresh module for other classes, channels and resolutions. A new library is
one class here and a row of SOURCES.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from netlathe.arch.node import Shape
from netlathe.code_name import ObjectName, read_choices
from netlathe.errors import NetlatheError, nearest
from netlathe.lower.libraries import import_library

if TYPE_CHECKING:
    from netlathe.project import Project

IMAGE: Shape = (3, 224, 224)
# Else their training gives a tuple.
MORE = {name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")}


class BuildRequest(NamedTuple):
    """What a module is built for; None leaves it as its source has it."""

    classes: int | None = None
    channels: int | None = None
    resolution: int | None = None


class ModuleSource(Protocol):
    """Builds modules. Plain values, so that documents can hold them."""

    @property
    def text(self) -> str:
        """What a person types for it."""

    @property
    def identity(self) -> str:
        """What tells it from others, beside its code, wherever that lies."""

    @property
    def code(self) -> str | None:
        """A hash of the code that it runs, where that is no library's."""

    @property
    def image(self) -> Shape:
        """The image that it is made for, unless it is told otherwise."""

    def running(self) -> AbstractContextManager[None]:
        """While its code runs."""

    def build(self, request: BuildRequest, drop_rate: float = 0.0, drop_path: float = 0.0) -> Any:
        """A new torch module with weights of its own, drawn from torch's generator. Raises NetlatheError."""

    def preprocessing(self) -> dict[str, Any]:
        """How images are prepared for its published weights: mean, std, resize, crop, interpolation; {}: unknown."""


@dataclass(frozen=True)
class CodeSource:
    """An object of somebody's code, or what it returns; parameters named as timm's are given what is asked for."""

    where: ObjectName
    recorded: str | None = None  # the hash of the file in a document: no other file is run for it

    @property
    def text(self) -> str:
        """file.py:name or package.module:name, with choices, wherever one is."""
        source = str(Path(self.where.source).resolve()) if self.is_file else self.where.source
        return ":".join(filter(None, (source, self.where.name, self.where.choices)))

    @property
    def identity(self) -> str:
        """The object and its choices."""
        return f"{self.where.name}:{self.where.choices}"

    @property
    def is_file(self) -> bool:
        """Whether the code is a file, not a package."""
        return self.where.source.endswith(".py")

    @cached_property
    def code(self) -> str:
        """The hash of the file; what it imports is not in it. Raises NetlatheError where it cannot be read."""
        return self.recorded or self.current

    @property
    def current(self) -> str:
        """The hash of the file as it is now."""
        from netlathe.runfolder.identity import file_content

        if self.is_file:
            return file_content(self.where.source)["key"]
        self.loaded_object  # noqa: B018  # imports it
        return file_content(str(sys.modules[self.where.source].__file__))["key"]

    @property
    def image(self) -> Shape:
        """Nobody says."""
        return IMAGE

    @cached_property
    def loaded_object(self) -> tuple[Any, Project]:
        """The object and its project, whose code is run. Raises NetlatheError as `project.find_object` does."""
        from netlathe.project import find_object

        if self.recorded is not None and self.is_file and self.recorded != self.current:
            raise NetlatheError(
                "this is not the file that the module was recorded from",
                code="module.changed",
                path=self.where.source,
                hint="put the file back as it was, or begin again with this one",
            )
        return find_object(self.where)

    @contextmanager
    def running(self) -> Iterator[None]:
        """While its code runs."""
        with self.loaded_object[1].running():
            yield

    def build(self, request: BuildRequest, drop_rate: float = 0.0, drop_path: float = 0.0) -> Any:
        """The object, or what it returns, with other ends where it has no parameter for them."""
        from netlathe.project import call
        from netlathe.read.head import set_channels, set_classes

        asked = {"num_classes": request.classes, "in_chans": request.channels, "img_size": request.resolution}
        value, project = self.loaded_object
        arguments: dict[str, Any] = {}
        with project.running():
            if (callable(value) and not hasattr(value, "state_dict")) or isinstance(value, type):
                legal = inspect.signature(value).parameters
                arguments = {name: n for name, n in asked.items() if n is not None and name in legal}
                choices = read_choices(self.where) | arguments
                words = ",".join(f"{name}={choice!r}" for name, choice in choices.items())
                value = call(value, self.where._replace(choices=words))
            # The function may give the same module again and again, which is not ours to change.
            module = deepcopy(value)
            side = request.resolution or self.image[-1]
            channels = request.channels or self.image[0]
            if "in_chans" not in arguments and channels != self.image[0]:
                set_channels(module, (self.image[0], side, side), channels)
            if request.classes is not None and "num_classes" not in arguments:
                set_classes(module, (channels, side, side), request.classes)
        return module

    def preprocessing(self) -> dict[str, Any]:
        """Nobody says."""
        return {}


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


LIBRARY_SOURCES: dict[str, Callable[[str], ModuleSource]] = {"timm": TimmSource, "torchvision": TorchvisionSource}


def library_source(text: str) -> ModuleSource | None:
    """The source that timm:NAME or torchvision:NAME names; None for anything else."""
    library, sign, name = text.partition(":")
    return LIBRARY_SOURCES[library](name) if sign and name and library in LIBRARY_SOURCES else None


def unknown_module(library: str, name: str, close: list[str]) -> NetlatheError:
    """A name that the library does not have."""
    return NetlatheError(
        f"{library} has no network {name!r}",
        code="module.unknown",
        hint=f"did you mean {' or '.join(f'{library}:{one}' for one in close)}?" if close else "",
    )


def refused_module(text: str, request: BuildRequest, error: Exception) -> NetlatheError:
    """What a library raised while it built a module."""
    lines = str(error).strip().splitlines()
    asked = ", ".join(f"{value} {name}" if name != "resolution" else f"{value} px"
                      for name, value in request._asdict().items() if value is not None)  # fmt: skip
    return NetlatheError(
        f"{text} cannot be built{f' for {asked}' * bool(asked)}: {lines[0] if lines else type(error).__name__}",
        code="module.build",
        hint="another --resolution, where its windows or patches do not fit" if request.resolution else "",
    )
