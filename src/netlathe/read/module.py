"""ForeignModule: a torch module that somebody else wrote, as a Net: counted by its forward, exported by torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from netlathe.arch.graph import Graph
from netlathe.arch.inputs import Feed
from netlathe.arch.net import ForeignNet, hash_of
from netlathe.arch.node import Shape
from netlathe.errors import NetlatheError, unknown

if TYPE_CHECKING:
    from netlathe.read.example import Example
    from netlathe.read.torch import ModuleReading

TYPES = ("bool", "uint8", "int32", "int64", "bfloat16", "float16", "float32", "float64")  # of an input
VOCABULARY = 2  # ids below 2 are legal for every embedding, and 1 in a mask hides nothing
FREE = 5  # images of the example from which a file for any batch is exported


class InputShape(NamedTuple):
    """An input as people give it, without the batch axis; `type` is torch's name where it is no float."""

    shape: Shape
    type: str = ""


IMAGE = InputShape((3, 224, 224))


class ModuleNet(ForeignNet):
    """A module with the inputs that it is read for. Its forward runs once, on tensors without memory."""

    kind = "a torch module"

    example: Example | None = None  # what the forward is called with, where that is not images
    torch_module: Any  # whose forward is read: it may have shapes alone, where `module` has the weights
    asked: tuple[InputShape, ...]  # its inputs
    running: Callable[[], AbstractContextManager[Any]]  # while its code runs

    @property
    @abstractmethod
    def is_light(self) -> bool:
        """Whether the module that is read has shapes alone."""

    @cached_property
    def reading(self) -> ModuleReading:
        """Its graph and what that leaves out. Raises NetlatheError as `read_module` does."""
        if self.is_light:
            try:
                return self.read(self.torch_module)
            except NetlatheError:  # perhaps for it looks at what it was built with
                pass
        return self.read(self.module())

    def read(self, module: Any) -> ModuleReading:
        """A module for our inputs."""
        from netlathe.read.torch import read_module

        with self.running():
            if self.example is not None:
                args, words = self.example.for_batch(1).call(module)
                return read_module(module, *args, keywords=words)
            return read_module(module, *(self.tensor(one, "meta") if one.type else one.shape for one in self.asked))

    @property
    def notes(self) -> tuple[str, ...]:
        """The weights that its forward never uses, and those that are not trained."""
        uncalled, frozen = (count_by_owner(tensors) for tensors in (self.reading.uncalled, self.reading.frozen))
        lines = {
            f"{uncalled[0]:,} params are not counted, for the forward never uses them: {uncalled[1]}": uncalled,
            f"{frozen[0]:,} params have requires_grad=False and count as buffers: {frozen[1]}": frozen,
        }
        return tuple(line for line, (count, _) in lines.items() if count)

    @property
    def inputs(self) -> tuple[Shape, ...]:
        """The shapes of all inputs."""
        return self.reading.graph.input_shapes

    def graph(self) -> Graph:
        """The operators of its forward."""
        return self.reading.graph

    def feeds(self, batch: int) -> tuple[Feed, ...]:
        """Images, or ids below 2 where the type is one of whole numbers."""
        kinds = [one.type or "float32" for one in self.asked]
        return tuple(
            Feed((batch, *one.shape), None if "float" in kind else VOCABULARY, kind)
            for one, kind in zip(self.asked, kinds, strict=True)
        )

    def onnx(self, folder: Path, *, batch: int = 1, seed: int = 0) -> Path:
        """The file that torch's exporter writes, with the module's own weights. Raises NetlatheError where it fails."""
        from netlathe.files import write_bytes
        from netlathe.read.export import export_module

        path = folder / "model.onnx"
        with self.running():
            model = export_module(self.flat(self.module()), self.name, self.tensors_for(batch), free=False)
        write_bytes(path, model.SerializeToString())
        return path

    def tensors_for(self, batch: int | None) -> tuple[Any, ...]:
        """Inputs of zeros for a batch; where it is to be free, for a few."""
        if self.example is not None:
            return tuple(self.example.for_batch(batch or FREE).tensors())
        return tuple(self.tensor(one, "cpu", batch or FREE) for one in self.asked)

    def flat(self, module: Any) -> Any:
        """The module as one that takes tensors alone, one after the other."""
        from netlathe.read.example import flat_module

        return module if self.example is None else flat_module(module, self.example)

    def tensor(self, asked: InputShape, device: str, batch: int = 1) -> Any:
        """An input of zeros, on a device."""
        import torch

        kind = asked.type or "float32"
        if kind not in TYPES:
            raise unknown("type of an input", kind, TYPES, code="load.input")
        return torch.zeros((batch, *asked.shape), dtype=getattr(torch, kind), device=device)


def count_by_owner(tensors: Mapping[str, Shape]) -> tuple[int, str]:
    """(how many elements, the parts of the module that have them)."""
    owners = sorted({name.partition(".")[0] for name in tensors})
    return sum(prod(shape) for shape in tensors.values()), ", ".join(owners)


@dataclass(frozen=True, eq=False)
class ForeignModule(ModuleNet):
    """A module that somebody has made; with `build` it has shapes alone, and that makes it with its weights."""

    name: str
    torch_module: Any
    asked: tuple[InputShape, ...] = (IMAGE,)
    build: Callable[[], Any] | None = None
    running: Callable[[], AbstractContextManager[Any]] = nullcontext

    @property
    def is_light(self) -> bool:
        """Whether it is still to be built."""
        return self.build is not None

    @cached_property
    def key(self) -> str:
        """A hash of its operators."""
        return hash_of(self.graph())

    def renamed(self, name: str) -> ForeignModule:
        """The same under another name."""
        return replace(self, name=name)

    @cached_property
    def whole(self) -> Any:
        """The module with its weights."""
        return self.torch_module if self.build is None else self.build()

    def module(self) -> Any:
        """The module itself."""
        return self.whole
