"""timm:NAME[.TAG] as a net: counted and forecast from the table of published networks, built by timm for the rest.

The weights that a tag names decide the accuracy; what is measured has random ones, which a latency does not feel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlathe.arch.node import Shape
from netlathe.catalogue.networks import TableNetwork, networks
from netlathe.catalogue.weights import (
    PREFIX,
    TIMM,
    by_architecture,
    native_side,
    unknown_weights,
    usual_weights,
    weights_named,
)
from netlathe.errors import NetlatheError
from netlathe.files import write_bytes
from netlathe.lower.libraries import import_library
from netlathe.read.buildable import BuildableModule
from netlathe.read.module import InputShape
from netlathe.read.timm_source import TimmSource

if TYPE_CHECKING:
    from netlathe.read.torch import ModuleReading

EXTRAS = "hub,train"  # that install timm and torch
CLASSES = 1000
KEPT, LARGEST_KEPT = 4, 2**27  # exported files, and bytes of one
EXPORTS: dict[tuple[str, int, int], bytes] = {}


@dataclass(frozen=True)
class CatalogueSource(TimmSource):
    """timm's network of published weights: what it is made for is known without timm."""

    @property
    def image(self) -> Shape:
        """As its weights were made."""
        side = native_side(weights_named(self.name))
        return (3, side, side)


@dataclass(frozen=True, eq=False)
class TimmNet(BuildableModule):
    """A network of timm whose published weights are known. Another image, head or other channels leave its table."""

    kind = "a network of timm"

    source: TimmSource

    @cached_property
    def row(self) -> TableNetwork | None:
        """Its row of the table; None where it is built for something else."""
        channels, height, width = self.image
        usual = not self.given and channels == 3 and height == width and self.request.classes in (None, CLASSES)
        return networks().get((TIMM, self.source.architecture, height)) if usual else None

    @property
    def workload(self) -> TableNetwork | None:
        """Its row of the table."""
        return self.row

    @property
    def missing_extra(self) -> str | None:
        """The extras of Netlathe without which it cannot be built here."""
        return None if find_spec(TIMM) and find_spec("torch") else EXTRAS

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing where the table has it, whose params are all that timm has; else as any module."""
        return () if self.row is not None else super().notes

    @cached_property
    def reading(self) -> ModuleReading:
        """Its graph and what that leaves out. Raises MissingExtra without timm."""
        import_library(TIMM)
        return super().reading

    def build(self, seed: int, drop_rate: float = 0.0, drop_path: float = 0.0) -> Any:
        """A new module in training mode. Raises MissingExtra without timm."""
        import_library(TIMM)
        return super().build(seed, drop_rate, drop_path)

    def onnx(self, folder: Path, *, batch: int = 1, seed: int = 0) -> Path:
        """The file that torch's exporter writes; the last ones are kept, for a latency is of several processes."""
        path, what = folder / "model.onnx", (self.key, batch, seed)
        if (content := EXPORTS.get(what)) is not None:
            write_bytes(path, content)
            return path
        path = super().onnx(folder, batch=batch, seed=seed)
        if path.stat().st_size <= LARGEST_KEPT:
            EXPORTS[what] = path.read_bytes()
        while len(EXPORTS) > KEPT:
            del EXPORTS[next(iter(EXPORTS))]
        return path


def load_timm(text: str, inputs: Sequence[InputShape] = (), resolution: int | None = None) -> list[BuildableModule]:
    """The networks that timm:NAME, timm:NAME.TAG or a pattern such as timm:resnet* names.

    A network of timm that has no published accuracy is built by timm, where that is installed. Raises NetlatheError
    with the nearest names.
    """
    asked = text.removeprefix(PREFIX)
    names = [asked]
    if any(sign in asked for sign in "*?["):
        legal = list(dict.fromkeys(one.name for rows in by_architecture().values() for one in rows))
        names = [name for name in (legal if "." in asked else by_architecture()) if fnmatchcase(name, asked)]
        if not names:
            raise unknown_weights(asked)
    return [timm_net(name, inputs).at(resolution) for name in names]


def timm_net(name: str, inputs: Sequence[InputShape] = ()) -> BuildableModule:
    """A network by the name of its architecture or its weights. Raises NetlatheError for one that nobody knows."""
    shapes = tuple(inputs)
    if usual_weights(name):
        return TimmNet(PREFIX + name, CatalogueSource(name), given=shapes)
    source = TimmSource(name)
    if not find_spec(TIMM) or not import_library(TIMM).is_model(source.architecture):
        raise unknown_weights(name)
    try:
        source.config  # noqa: B018  # raises for a tag that timm does not have
    except NetlatheError as error:
        raise unknown_weights(name) if name.partition(".")[0] in by_architecture() else error from None
    return BuildableModule(PREFIX + name, source, given=shapes)
