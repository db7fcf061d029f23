"""Pretrained weights that are on this machine: folders of files, and the caches of huggingface_hub and torch.

    models--timm--NAME/snapshots/HASH/model.safetensors     huggingface_hub: timm's NAME
    NAME.safetensors, NAME.pth                              timm's, torchvision's or the zoo's NAME
    NAME-0123abcd.pth                                       the same, as torch.hub names files

Nothing is read but names: whether a file holds what its name says shows when it is loaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from netlathe.errors import NetlatheError
from netlathe.lower.checkpoint import SUFFIXES
from netlathe.lower.libraries import import_library

REPOSITORY = re.compile(r"models--timm--(?P<name>[^/]+)")
DIGEST = re.compile(r"-[0-9a-f]{8}$")  # of a file, at the end of torch.hub's names
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
DEEPEST = 4  # folders below one that is searched


class LocalWeights(NamedTuple):
    """A file of weights and the network that its name names, as people type it."""

    network: str  # timm:NAME, torchvision:NAME, a name of the zoo
    file: Path

    @property
    def asked(self) -> str:
        """As --weights takes it."""
        return f"{self.network}={self.file}"


def standard_caches() -> list[Path]:
    """The folders where huggingface_hub and torch keep what they have downloaded, where there are any.

    https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables and
    https://docs.pytorch.org/docs/stable/hub.html say which variables move them.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub_home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    torch_home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    folders = [Path(os.environ.get("HF_HUB_CACHE") or hub_home / "hub"), torch_home / "hub" / "checkpoints"]
    return [folder.expanduser() for folder in folders if folder.expanduser().is_dir()]


def find_weights(folders: Iterable[Path]) -> tuple[list[LocalWeights], list[Path]]:
    """The weights in folders, each network once and in the order of the folders; and the files of no known network."""
    weights: dict[str, LocalWeights] = {}
    others = []
    for folder in folders:
        for file in weight_files(folder):
            network = network_named(file)
            if network is None:
                others.append(file)
            else:
                weights.setdefault(network, LocalWeights(network, file))
    return list(weights.values()), others


def weight_files(folder: Path) -> Iterator[Path]:
    """The files of weights in a folder, in the order of their names. Raises NetlatheError where it is no folder."""
    if not folder.is_dir():
        raise NetlatheError("there is no such folder of weights", code="fit.weights_dir", path=str(folder))
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if n not in ("blobs", "refs") and not n.startswith("."))
        if len(Path(place).relative_to(folder).parts) >= DEEPEST:
            folders.clear()
        yield from (Path(place) / name for name in sorted(names) if Path(name).suffix in SUFFIXES)


def network_named(file: Path) -> str | None:
    """What a person types for the network of a file of weights; None where its name names none."""
    if repository := next(filter(None, map(REPOSITORY.fullmatch, file.parts)), None):
        return f"timm:{repository['name']}" if file.name in HUB_FILES else None
    stem = DIGEST.sub("", file.stem)
    libraries = ("timm", "torchvision") if stem == file.stem else ("torchvision", "timm")
    return next(known_names(stem, libraries), None)


def known_names(stem: str, libraries: Sequence[str]) -> Iterator[str]:
    """The networks that go by a name: in the zoo and its twins first, which needs no library, then in timm."""
    from netlathe import zoo
    from netlathe.lower.twins import twins

    architecture = stem.partition(".")[0]
    named = {(twin.library, twin.name) for twin in twins()}
    yield from (f"{library}:{stem}" for library in libraries if (library, architecture) in named)
    if stem in zoo.names():
        yield stem
    with suppress(NetlatheError):  # of a library that is not installed
        if import_library("timm").is_model(architecture):
            yield f"timm:{stem}"


def asked_weights(weights: Sequence[str], local: Sequence[LocalWeights]) -> list[str]:
    """What is tried: the weights that were named, then those that were found, each network once."""
    named = {text.rpartition("=")[0] or text for text in weights}
    return [*weights, *(one.asked for one in local if one.network not in named)]
