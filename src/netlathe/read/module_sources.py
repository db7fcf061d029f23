"""The libraries that modules come from, by the word before the colon: a new one is a file and a row here."""

from __future__ import annotations

from collections.abc import Callable

from netlathe.read.module_source import ModuleSource
from netlathe.read.timm_source import TimmSource
from netlathe.read.torchvision_source import TorchvisionSource

__all__ = ["LIBRARY_SOURCES", "TimmSource", "TorchvisionSource", "library_source"]

LIBRARY_SOURCES: dict[str, Callable[[str], ModuleSource]] = {"timm": TimmSource, "torchvision": TorchvisionSource}


def library_source(text: str) -> ModuleSource | None:
    """The source that timm:NAME or torchvision:NAME names; None for anything else."""
    library, sign, name = text.partition(":")
    return LIBRARY_SOURCES[library](name) if sign and name and library in LIBRARY_SOURCES else None


def names_weights(text: str) -> bool:
    """Whether timm:NAME.TAG or torchvision:NAME.WEIGHTS names published weights beside the network."""
    return library_source(text) is not None and "." in text
