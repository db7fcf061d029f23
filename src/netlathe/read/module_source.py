"""A source of modules: what a person types, which builds a torch module anew for other classes, channels and sizes.

Your code (`code_source`), timm and torchvision are sources; `module_sources` has the list.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError

IMAGE: Shape = (3, 224, 224)


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
