"""A deployed file under a runtime, with precision and threads pinned: its outputs, and what measures its latency."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.graph import Graph
from netlathe.bench import runtimes
from netlathe.deploy.isolation import run_isolated
from netlathe.deploy.package import FILE, INPUT, Package, load_package, model_files
from netlathe.errors import NetlatheError
from netlathe.read.onnx_file import FileInput, Head, ModelFile, onnx_file

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]
BATCH = 32
IR_TYPES = {"u8": ("uint8", 256), "f32": ("float32", None), "i64": ("int64", 2)}


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded file. `precision` is what it computes in, read back from the runtime where that tells it."""

    path: Path
    runtime: str
    precision: str
    threads: int
    shape: tuple[int, ...]  # of one image: r, r, C
    call: Callable[[list[NDArray[Any]]], NDArray[Any]]

    def run(self, pixels: Pixels) -> Logits:
        """Images (N, r, r, C) uint8 -> outputs (N, classes) float32. Raises NetlatheError for other pixels."""
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.shape or not len(pixels):
            want = "x".join(map(str, self.shape))
            message = f"this file takes uint8 images of {want} (height, width, channels)"
            found = f"{pixels.dtype} {'x'.join(map(str, pixels.shape))}"
            hint = "deploy.export.model_pixels resizes and crops as in training"
            raise NetlatheError(f"{message}, not {found}", code="deploy.pixels", path=str(self.path), hint=hint)
        parts = [np.ascontiguousarray(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]
        # A runtime may give a view of memory that its next call overwrites.
        return np.concatenate([np.array(self.call([part]), np.float32) for part in parts])


def open_session(
    where: str | Path | Package, *, runtime: str | None = None, precision: str | None = None, threads: int | None = None
) -> Session:
    """The file of a package (or its folder), or an .onnx or .xml file, loaded; what is not given is the package's.

    Raises NetlatheError for a file that does not take pixels, a runtime that cannot read it or will not compute in
    the precision, and MissingExtra for a runtime that is not installed.
    """
    package = package_at(where)
    path = package.path if package else Path(where)  # type: ignore[arg-type]
    runtime = runtime or (package.runtime if package else "openvino" if path.suffix == ".xml" else "onnxruntime")
    threads = threads or (package.threads if package else 1)
    if package and precision is None and runtime == package.runtime:
        precision = package.precision
    file = model_file(path)
    refuse_format(path, runtime)
    if [entry.name for entry in file.entries] != [INPUT] or file.entries[0].type != "uint8":
        hint = "deploy.export.with_preprocessing makes one that does"
        message = f"this file takes {file.entries[0].name}, {file.entries[0].type}, not pixels"
        raise NetlatheError(message, code="deploy.input", path=str(path), hint=hint)
    recorded, told = runtimes.precisions_of_file(file.name, file.precision, runtime, precision)
    runtimes.runtime_version(runtime)
    try:
        call = runtimes.RUNTIMES[runtime].open(
            runtimes.load_module(runtime), runtimes.SessionOptions(str(path), threads, told, flush=False)
        )
    except NetlatheError:
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise NetlatheError(f"{runtime} cannot load it: {first}", code="deploy.load", path=str(path)) from error
    return Session(path, runtime, recorded, threads, tuple(n or 0 for n in file.entries[0].shape[1:]), call)


def package_at(where: str | Path | Package) -> Package | None:
    """The package, where one is meant."""
    if isinstance(where, Package):
        return where
    return load_package(where) if Path(where).is_dir() or Path(where).name == FILE else None


def refuse_format(path: Path, runtime: str) -> None:
    """Raise NetlatheError for a file of OpenVINO under another runtime."""
    if path.suffix == ".xml" and runtime != "openvino":
        message = f"{runtime} cannot read a file of OpenVINO"
        raise NetlatheError(message, code="deploy.form", path=str(path), hint="--runtime openvino, or model.onnx")


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
    """As `outputs_of`, in a process of its own: right for the first load of a file.

    Raises process.call.CallFailed where the runtime crashes.
    """
    return run_isolated(
        compute_outputs, threads, timeout, path, pixels, runtime=runtime, precision=precision, threads=threads
    )


def model_file(where: str | Path | Package) -> ModelFile:
    """What `bench.measure` takes to measure this very file: an ONNX file, or the two files of an OpenVINO IR.

    Raises NetlatheError for a file that cannot be read.
    """
    package = package_at(where)
    path = package.path if package else Path(where)  # type: ignore[arg-type]
    return openvino_file(path) if path.suffix == ".xml" else onnx_file(path)


@dataclass(frozen=True)
class OpenVinoFile(ModelFile):
    """The two files of an OpenVINO IR, as a net that can be run and no more."""

    kind = "an OpenVINO IR"

    name: str
    path: Path

    @cached_property
    def head(self) -> Head:
        """Its inputs from its XML, its precision from its weights' quantisation."""
        with refuse_broken_ir(self.path):
            layers = ElementTree.parse(self.path).getroot().findall("./layers/layer")
        entries = tuple(ir_entry(layer, self.path) for layer in layers if layer.get("type") == "Parameter")
        if not entries:
            raise NetlatheError("this is no OpenVINO IR: it has no inputs", code="deploy.ir", path=str(self.path))
        quantised = any(layer.get("type") == "FakeQuantize" for layer in layers)
        return Head(entries, tuple(entry.shape for entry in entries), "int8+fp32" if quantised else "fp32")

    @cached_property
    def key(self) -> str:
        """A hash of its content."""
        content = hashlib.sha256()
        with refuse_broken_ir(self.path):
            for name in model_files(self.path.name):
                content.update((self.path.parent / name).read_bytes())
        return content.hexdigest()[:16]

    def renamed(self, name: str) -> OpenVinoFile:
        """The same under another name."""
        return replace(self, name=name)

    def graph(self) -> Graph:
        """Nobody reads it."""
        self.lacks("no operators that Netlathe can read", "load.no_graph", "give the model.onnx that it was made of")

    def onnx(self, folder: Path, *, batch: int = 1, seed: int = 0) -> Path:
        """Its XML, which OpenVINO loads in the place of an ONNX file."""
        return self.path.resolve()


@contextmanager
def refuse_broken_ir(path: Path) -> Iterator[None]:
    """Raise NetlatheError for a file that is gone or no XML."""
    try:
        yield
    except OSError as error:
        hint = "an IR is two files, model.xml and model.bin"
        raise NetlatheError(
            f"cannot be read: {error.strerror}", code="deploy.ir", path=str(error.filename), hint=hint
        ) from None
    except ElementTree.ParseError as error:
        raise NetlatheError(f"this is no OpenVINO IR: {error}", code="deploy.ir", path=str(path)) from None


def openvino_file(path: Path) -> OpenVinoFile:
    """An OpenVINO IR. Raises NetlatheError for a file that is none."""
    file = OpenVinoFile(str(path), path)
    assert file.head.entries
    assert file.key
    return file


def ir_entry(layer: ElementTree.Element, path: Path) -> FileInput:
    """One input of an IR; only its batch may be free."""
    data = layer.find("data")
    given = dict(data.attrib) if data is not None else {}
    kind = given.get("element_type", "?")
    sizes = [size.strip() for size in given.get("shape", "").split(",") if size.strip()]
    free = [i for i, size in enumerate(sizes) if not size.isdecimal()]
    if kind not in IR_TYPES or not set(free) <= {0}:
        message = f"the input {layer.get('name')} is {kind} of {', '.join(sizes)}"
        raise NetlatheError(message, code="deploy.ir", path=str(path), hint="only the batch may be free")
    name, vocabulary = IR_TYPES[kind]
    shape = tuple(None if i in free else int(size) for i, size in enumerate(sizes))
    return FileInput(layer.get("name", ""), shape, vocabulary, name)
