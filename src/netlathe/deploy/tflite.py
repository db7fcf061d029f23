"""The .tflite files of a package: made of its network and of the weights in its float file, compared with that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper

from netlathe.arch.net import rewritable
from netlathe.arch.network import Network
from netlathe.deploy.isolation import run_isolated
from netlathe.deploy.package import FLOAT_FILE, Package, load_package, write_package
from netlathe.deploy.parity import require_exact
from netlathe.deploy.session import compute_outputs_isolated
from netlathe.errors import NetlatheError
from netlathe.lower.tflite.network import build_model
from netlathe.lower.weights import Array, tensor_shapes
from netlathe.read.onnx_model import parse_model
from netlathe.reshape.fold import fold_norms
from netlathe.runtimes import registry
from netlathe.runtimes.agreement import compare_outputs
from netlathe.runtimes.tflm import run_in
from netlathe.tflite.arena import head_bytes, tail_bytes
from netlathe.tflite.c_source import c_array, main_source
from netlathe.tflite.metadata import ModelFacts, describe
from netlathe.tflite.parse import parse
from netlathe.tflite.pixels import with_pixels
from netlathe.tflite.schema import TfliteModel

if TYPE_CHECKING:
    from netlathe.runtimes.base import Pixels

ATTEMPT_S = 120.0  # for an attempt to run a file
C_FILES = ("model_data.c", "model_data.h", "main.cc")


def folded_weights(package: Package) -> tuple[Network, dict[str, Array]]:
    """The network of a package with its norms folded, and the weights in its float file.

    Raises NetlatheError for a module, of which only the ONNX file is known.
    """
    network = rewritable(package.network)
    if network is None:
        raise NetlatheError(
            f"{package.network.name} is a torch module, and only expressions are written as .tflite files",
            code="tflite.module",
            path=str(package.folder),
            hint="train a network of the zoo or of your own expressions for this runtime",
        )
    network = fold_norms(network)
    held = {one.name: one for one in parse_model(package.folder / FLOAT_FILE).graph.initializer}
    names = tensor_shapes(network.graph())
    return network, {name: numpy_helper.to_array(held[name]).astype(np.float32) for name in names}


def tflite_model(package: Package, *, grow_kernels: bool = False) -> TfliteModel:
    """The float model that takes pixels. `grow_kernels`: see `lower.tflite.network.to_tflite`.

    Raises NetlatheError as `folded_weights` does, and for an operator that LiteRT lacks.
    """
    network, tensors = folded_weights(package)
    model = build_model(network.name, network.graph(), tensors, grow_kernels=grow_kernels)
    p = package.preprocessing
    return with_pixels(model, p.mean, p.std)


def described(package: Package, content: bytes, runtime: str) -> bytes:
    """A .tflite file with what phones' libraries read of it; a microcontroller's stays without."""
    if registry.runtime(runtime).processor == "microcontroller":
        return content
    return describe(parse(content), package_facts(package))


def package_facts(package: Package) -> ModelFacts:
    """What is said in the file of a package."""
    p = package.preprocessing
    return ModelFacts(package.classes, p.mean, p.std, package.licence or "")


def write_float_file(package: Package, runtime: str, pixels: Pixels) -> None:
    """Put the float file of a runtime into the folder of a package, if it is not there.

    It is kept only where it gives what model.onnx gives for `pixels`. Raises NetlatheError as `tflite_model` does.
    """
    row = registry.runtime(runtime)
    held = load_package(package.folder).files
    if row.float_file in held:
        return
    model = tflite_model(package, grow_kernels=row.processor == "microcontroller")
    files = {name: (package.folder / name).read_bytes() for name in held}
    content = described(package, model.serialize(), runtime)
    written = write_package(package, files | {row.float_file: content})
    path = written.folder / row.float_file
    outputs = [
        compute_outputs_isolated(file, pixels, runtime=name, precision="fp32", threads=package.threads)
        for file, name in ((written.folder / FLOAT_FILE, registry.DEFAULT), (path, "litert"))
    ]
    require_exact(compare_outputs(*outputs), path)


def arena_bytes(package: Package) -> int:
    """The arena that TensorFlow Lite Micro needs for the file of a package, at most."""
    model = parse(package.path.read_bytes(), str(package.path))
    return head_bytes(model) + tail_bytes(model)


def least_arena_bytes(package: Package, low: int, high: int, step: int = 1024) -> int:
    """The fewest bytes, in steps, in which TensorFlow Lite Micro runs the file, between bounds; `high` where it needs
    that. Every attempt is a process of its own, for too small an arena may end it."""
    while high - low > step:
        middle = (low + high) // 2
        try:
            run_isolated(run_in, 1, ATTEMPT_S, package.path, middle)
            high = middle
        except NetlatheError:  # a refusal, or the end of the process
            low = middle
    return high


def with_c_sources(package: Package) -> Package:
    """The package of a .tflite file with the file as C and a program that runs it. Raises NetlatheError for an operator
    that TensorFlow Lite Micro lacks."""
    content = package.path.read_bytes()
    model = parse(content, str(package.path))
    files = {name: (package.folder / name).read_bytes() for name in package.files}
    sources = (*c_array(content), main_source(model, package.classes))
    return write_package(package, files | {n: s.encode() for n, s in zip(C_FILES, sources, strict=True)})
