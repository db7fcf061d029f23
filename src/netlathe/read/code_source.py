"""Modules of somebody's code: an object of a file or a package, or what a function or a class there makes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlathe.arch.node import Shape
from netlathe.code_name import ObjectName, read_choices
from netlathe.errors import NetlatheError
from netlathe.read.module_source import IMAGE, BuildRequest

if TYPE_CHECKING:
    from netlathe.project import Project


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
