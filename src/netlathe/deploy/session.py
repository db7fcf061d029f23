"""A deployed file under a runtime, with precision and threads pinned: its outputs, and what measures its latency."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netlathe.arch.graph import Graph
from netlathe.deploy.isolation import run_isolated
from netlathe.deploy.package import FILE, INPUT, Package, load_package
from netlathe.errors import NetlatheError
from netlathe.read.onnx_file import FileHead, ModelFile, onnx_file
from netlathe.runtimes import registry
from netlathe.runtimes.base import FileFacts, FileFormat, Infer, SessionOptions

if TYPE_CHECKING:
    from netlathe.runtimes.base import Logits, Pixels

BATCH = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded file. `precision` is what it computes in, read back from the runtime where that tells it."""

    path: Path
    runtime: str
    precision: str
    threads: int
    shape: tuple[int, ...]  # of one image: r, r, C
    infer: Infer

    def run(self, pixels: Pixels) -> Logits:
        """Images (N, r, r, C) uint8 -> outputs (N, classes) float32. Raises NetlatheError for other pixels."""
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.shape or not len(pixels):
            want = "x".join(map(str, self.shape))
            message = f"this file takes uint8 images of {want} (height, width, channels)"
            actual = f"{pixels.dtype} {'x'.join(map(str, pixels.shape))}"
            hint = "deploy.export.model_pixels resizes and crops as in training"
            raise NetlatheError(f"{message}, not {actual}", code="deploy.pixels", path=str(self.path), hint=hint)
        parts = [np.ascontiguousarray(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]
        # A runtime may give a view of memory that its next call overwrites.
        return np.concatenate([np.array(self.infer([part]), np.float32) for part in parts])


def open_session(
    where: str | Path | Package, *, runtime: str | None = None, precision: str | None = None, threads: int | None = None
) -> Session:
    """The file of a package (or its folder), or an .onnx or .xml file, loaded; what is not given is the package's.

    Raises NetlatheError for a file that does not take pixels, a runtime that cannot read it or will not compute in
    the precision, and MissingExtra for a runtime that is not installed.
    """
    package = find_package(where)
    path = package.path if package else Path(where)  # type: ignore[arg-type]
    owner = registry.format_owner(path)
    runtime = runtime or (package.runtime if package else owner.name if owner else registry.DEFAULT)
    threads = threads or (package.threads if package else 1)
    if package and precision is None and runtime == package.runtime:
        precision = package.precision
    file = model_file(path)
    registry.refuse_format(path, runtime)
    if [entry.name for entry in file.entries] != [INPUT] or file.entries[0].type != "uint8":
        hint = "deploy.export.with_preprocessing makes one that does"
        message = f"this file takes {file.entries[0].name}, {file.entries[0].type}, not pixels"
        raise NetlatheError(message, code="deploy.input", path=str(path), hint=hint)
    recorded, pinned = registry.precisions_of_file(file.name, file.precision, runtime, precision)
    registry.runtime_version(runtime)
    try:
        infer = registry.opener(runtime)(str(path), SessionOptions(threads, pinned, flush=False))
    except NetlatheError:
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise NetlatheError(f"{runtime} cannot load it: {first}", code="deploy.load", path=str(path)) from error
    return Session(path, runtime, recorded, threads, tuple(n or 0 for n in file.entries[0].shape[1:]), infer)


def find_package(where: str | Path | Package) -> Package | None:
    """The package, where one is meant."""
    if isinstance(where, Package):
        return where
    return load_package(where) if Path(where).is_dir() or Path(where).name == FILE else None


def compute_outputs(
    path: str | Path, pixels: Pixels, *, runtime: str, precision: str | None, threads: int = 1
) -> Logits:
    """The outputs of a file for images (N, r, r, C), computed in this process."""
    return open_session(path, runtime=runtime, precision=precision, threads=threads).run(pixels)


def compute_outputs_isolated(
    path: str | Path,
    pixels: Pixels,
    *,
    runtime: str,
    precision: str | None = None,
    threads: int = 1,
    timeout: float = 600.0,
) -> Logits:
    """As `compute_outputs`, in a process of its own: right for the first load of a file.

    Raises process.call.CallFailed where the runtime crashes.
    """
    return run_isolated(
        compute_outputs, threads, timeout, path, pixels, runtime=runtime, precision=precision, threads=threads
    )


def model_file(where: str | Path | Package) -> ModelFile:
    """What `bench.measure` takes to measure this very file: an ONNX file, or one in a runtime's own format.

    Raises NetlatheError for a file that cannot be read.
    """
    package = find_package(where)
    path = package.path if package else Path(where)  # type: ignore[arg-type]
    owner = registry.format_owner(path)
    return onnx_file(path) if owner is None else OwnFormatFile(str(path), path.resolve(), owner.own_format)


@dataclass(frozen=True)
class OwnFormatFile(ModelFile):
    """A file in a runtime's own format, as a net that can be run and no more."""

    name: str
    path: Path
    format: FileFormat

    @property
    def kind(self) -> str:  # type: ignore[override]
        """As the format calls its files."""
        return self.format.kind

    @cached_property
    def facts(self) -> FileFacts:
        """What the file says of itself. Raises NetlatheError for one that is none."""
        return self.format.inspect(self.path)

    @cached_property
    def head(self) -> FileHead:
        """Its inputs and its precision."""
        facts = self.facts
        return FileHead(facts.inputs, tuple(entry.shape for entry in facts.inputs), facts.precision)

    @property
    def key(self) -> str:
        """A hash of its content."""
        return self.facts.key

    def renamed(self, name: str) -> OwnFormatFile:
        """The same under another name."""
        return replace(self, name=name)

    def graph(self) -> Graph:
        """Nobody reads it."""
        self.lacks("no operators that Netlathe can read", "load.no_graph", "give the model.onnx that it was made of")

    def onnx(self, folder: Path, *, batch: int = 1, seed: int = 0) -> Path:
        """The file itself, which its runtime loads in the place of an ONNX file."""
        return self.path.resolve()
