"""What a runtime is: one value that says all that is special about it.

Nothing heavy is imported here. The library of a runtime is imported by its `open` and its quantiser, inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from netlathe.runtimes.fusion import Fusion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netlathe.runtimes.quantise import Quantiser

    Array: TypeAlias = NDArray[np.generic[Any]]
    Pixels: TypeAlias = NDArray[np.uint8]  # images as a deployed file takes them: (N, r, r, C)
    Logits: TypeAlias = NDArray[np.float32]  # its outputs: (N, classes)

Infer: TypeAlias = "Callable[[list[Array]], Array]"  # one inference: the inputs -> the first output
Open: TypeAlias = "Callable[[Any, SessionOptions], Infer]"  # a model -> its inference


class SessionOptions(NamedTuple):
    """What a model is opened with."""

    threads: int
    precision: str
    flush: bool = True  # denormal numbers count as zero, in all of this process from then on


class FileInput(NamedTuple):
    """One input of a model file: the batch is the first axis, None where the file leaves it free.

    `vocabulary` bounds integer inputs; None for images. `type` is numpy's name; ONNX's, where nobody knows how to make
    one.
    """

    name: str
    shape: tuple[int | None, ...]
    vocabulary: int | None
    type: str


class FileFacts(NamedTuple):
    """What a file in a runtime's own format says of itself; `key` is a hash of its content."""

    inputs: tuple[FileInput, ...]
    precision: str
    key: str


class FileFormat(NamedTuple):
    """A format of a runtime's own beside ONNX. `inspect` reads a file and raises NetlatheError for one that is none."""

    suffix: str
    weights_suffix: str  # of the file of weights beside each; empty where there is none
    kind: str  # "an OpenVINO IR"
    inspect: Callable[[Path], FileFacts]


# Instruction sets for bf16; elsewhere a runtime emulates it or computes in float.
BF16_SETS = ("amx_bf16", "avx512_bf16", "bf16", "asimdbf16")
# Instruction sets for dot products of bytes.
INT8_SETS = ("amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "asimddp")
# The largest relative error (norm of the difference / norm) against ONNX Runtime in fp32, by precision.
TOLERANCES: Mapping[str, float] = {"fp32": 1e-4, "bf16": 0.2, "fp16": 0.02}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A runtime, or a way to use one (compiled, on a GPU). Without `open` it is only forecast.

    `open(model, options)` loads a model and returns its inference. What it is given depends on `takes`: the path of an
    ONNX or a .tflite file (or of a file in its own `format`), or a torch module in evaluation mode. It must pin the
    threads and the precision, and raise NetlatheError where the runtime would silently use another precision or
    processor.
    """

    name: str
    title: str  # as its makers write it
    fusion: Fusion  # rules for forecasts
    forecast_as: str = ""  # its name in cards, forecasts and CSV files of measurements; empty: `name`
    aliases: tuple[str, ...] = ()  # further names for the same there
    package: str = ""  # on the package index, which knows its version
    module: str = ""  # that is imported
    extra: str | None = None  # of Netlathe, which installs the package; None where Netlathe itself needs it
    open: Open | None = None
    takes: Literal["onnx", "tflite", "torch"] = "onnx"
    precisions: tuple[str, ...] = ("fp32",)  # the first is the default
    # By precision, int8 files too: instruction sets of which any makes it several times as fast as fp32.
    accelerated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    first_look: tuple[str, ...] = ()  # precisions that `choose` calibrates on first use, whatever the processor
    as_written: bool = False  # computes in the precision of the file; else it converts floats to the one asked for
    processor: Literal["cpu", "cuda", "microcontroller"] = "cpu"  # the last runs here to be checked, not to be timed
    format: FileFormat | None = None
    quantisers: Callable[[], tuple[Quantiser, ...]] | None = None  # ways to int8, the quickest first
    float_file: str = "model.onnx"  # name of the float file in a package
    int8_file: str = ""  # and of the quantised one
    environment: Mapping[str, str] = field(default_factory=dict)  # of every process that may import it
    judged_by: str = ""  # runtime that runs its int8 files while they are made, where it is slow itself
    usage: Callable[[str, str, str], str] | None = None  # (file, name of the input, pixels) -> Python for the outputs

    @property
    def own_format(self) -> FileFormat:
        """The format of its own, for a runtime that is known to have one."""
        assert self.format is not None, self.name
        return self.format

    @property
    def forecast_name(self) -> str:
        """Its name in cards, forecasts and CSV files of measurements."""
        return self.forecast_as or self.name
