"""int8 after training: calibrated on real images, with the layers that hurt left in float.

The search, bounded in time: quantise every layer; if the accuracy on the validation images is within the tolerance,
done. Otherwise rank the layers by the signal-to-noise ratio of the network in which only that one is quantised, and
leave the worst 1, 2, 4, ... of them in float until the accuracy is within the tolerance; then halve the interval. Each
runtime has a quantiser of its own (quantise_ort.py, quantise_nncf.py): ONNX Runtime on x86 is fast only with U8S8, and
the files that NNCF makes are fast only in OpenVINO.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from netlathe.bench.machine import this_machine
from netlathe.bench.runtimes import runtime_version
from netlathe.deploy.isolation import run_isolated
from netlathe.deploy.session import Logits, Pixels
from netlathe.errors import NetlatheError, unknown
from netlathe.process.call import CallFailed

T = TypeVar("T")
FEWEST = 32  # images; with fewer the ranges of activations are those of these images
ENOUGH = 300  # NNCF's default; more changed nothing in its makers' experience
TOLERANCE = 0.01  # share of the validation images that may be lost
SECONDS = 300.0


class Labelled(NamedTuple):
    """Images as the file takes them, (N, r, r, C) uint8, and their classes (N,) int64."""

    pixels: Pixels
    labels: NDArray[np.int64]


class QuantiseTask(NamedTuple):
    """What a quantiser works on: the float file with pixels in, its images, and what it may cost."""

    model: bytes
    calibration: Labelled
    validation: Labelled
    tolerance: float
    seconds: float
    threads: int
    reduce_range: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedModel:
    """An int8 file. `before` and `after` are how many validation images the float and the int8 network get right."""

    runtime: str
    files: dict[str, bytes]  # model.onnx; or model.xml and model.bin
    scheme: str  # types of activations and weights
    method: str  # how ranges were found
    calibration: int  # images
    layers: int  # convolutions and matrix products with weights
    kept: tuple[str, ...]  # those of them left in float
    images: int
    before: int
    after: int
    tolerance: float
    snr_db: float  # of the outputs for the validation images, against float
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def accurate(self) -> bool:
        """Whether the accuracy is within the tolerance."""
        return within_tolerance(self.before, self.after, self.images, self.tolerance)


def within_tolerance(before: int, after: int, images: int, tolerance: float) -> bool:
    """Whether so many hits are no more than the tolerance below those before."""
    return before - after <= tolerance * images + 1e-9


def quantise_model(
    model: bytes,
    calibration: Labelled,
    validation: Labelled,
    *,
    runtime: str = "onnxruntime",
    tolerance: float = TOLERANCE,
    seconds: float = SECONDS,
    threads: int = 1,
) -> QuantisedModel:
    """The int8 file, for a runtime, of a float one that takes pixels (`export.deployable_model`); made in isolation.

    `calibration` are training images as the file takes them, `validation` those that decide which layers stay in
    float. It takes about `seconds` at most, of which nothing is cut that has begun: the process ends after twice that.
    Raises NetlatheError for another runtime and fewer than 32 calibration images, CallFailed where the quantiser
    crashes, and MissingExtra where nncf is not installed.
    """
    if runtime not in QUANTISERS:
        raise unknown("runtime for int8", runtime, QUANTISERS, code="quantise.runtime")
    if len(calibration.pixels) < FEWEST:
        raise NetlatheError(
            f"{len(calibration.pixels)} calibration images are too few: the ranges would be those of these images",
            code="quantise.images",
            hint=f"at least {FEWEST}, better {ENOUGH}, of the training images",
        )
    if not len(validation.pixels):
        raise NetlatheError("no validation images: nothing would show what int8 costs", code="quantise.validation")
    if not 0 <= tolerance < 1:
        hint = "0.01 allows one image in a hundred to be lost"
        raise NetlatheError(f"a tolerance of {tolerance} is no share", code="quantise.tolerance", hint=hint)
    runtime_version(runtime)
    task = QuantiseTask(
        model, calibration, validation, tolerance, seconds, threads, saturates(set(this_machine().flags))
    )
    return QUANTISERS[runtime](task)


def saturates(flags: set[str]) -> bool:
    """Whether products of 8 bits overflow on this processor: x86 without VNNI adds pairs of them in 16 bits.

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html: there, weights get 7 bits.
    """
    return "avx2" in flags and not flags & {"avx_vnni", "avx512_vnni", "amx_int8"}


def by_onnxruntime(task: QuantiseTask) -> QuantisedModel:
    """Static U8S8 QDQ."""
    from netlathe.deploy.quantise_ort import quantise_static

    return run_isolated(quantise_static, task.threads, 2 * task.seconds + 60, task)


def by_nncf(task: QuantiseTask) -> QuantisedModel:
    """NNCF, all layers; where that costs too much accuracy, NNCF's own search, with half of the time."""
    from importlib.util import find_spec

    from netlathe.errors import MissingExtra

    if find_spec("nncf") is None:
        raise MissingExtra("nncf", "openvino")
    from netlathe.deploy.quantise_nncf import quantise_all, quantise_with_control

    start = time.monotonic()
    first = run_isolated(quantise_all, task.threads, 2 * task.seconds + 60, task)
    left = task.seconds - (time.monotonic() - start)
    if first.accurate or left <= 0:
        return first if first.accurate else with_note(first, "no time was left to look for layers that hurt")
    try:
        second = run_isolated(quantise_with_control, task.threads, left + 30, task)
    except CallFailed as error:
        return with_note(first, f"looking for layers that hurt ended early: {error.message}")
    return second if second.after > first.after else with_note(first, "no layer left in float made it better")


def with_note(found: QuantisedModel, note: str) -> QuantisedModel:
    """The same with a note more."""
    return replace(found, notes=(*found.notes, note))


QUANTISERS: dict[str, Callable[[QuantiseTask], QuantisedModel]] = {"onnxruntime": by_onnxruntime, "openvino": by_nncf}


def worst_first(layers: Sequence[str], snr: Callable[[str], float], deadline: float) -> list[str]:
    """Layers by the SNR of the network in which only that one is quantised; those without time come last, in order."""
    known: dict[str, float] = {}
    for layer in layers:
        if time.monotonic() > deadline:
            break
        known[layer] = snr(layer)
    return sorted(layers, key=lambda layer: known.get(layer, float("inf")))


def fewest_float_layers(
    ranked: Sequence[str], attempt: Callable[[Sequence[str]], tuple[T, bool]], deadline: float
) -> list[T]:
    """Attempts with more and more of the ranked layers in float, the last that was good enough at the end.

    1, 2, 4, ... until one is good enough, then the middle between that and the one before, and so on. It takes for
    granted that more float layers are never worse. Nothing begins after the deadline.
    """
    tried: list[T] = []
    good: T | None = None
    low, high = 0, 1
    while low < len(ranked) and time.monotonic() <= deadline:
        found, enough = attempt(ranked[: min(high, len(ranked))])
        if enough:
            good, high = found, min(high, len(ranked))
            break
        tried.append(found)
        low, high = min(high, len(ranked)), 2 * high
    while good is not None and high - low > 1 and time.monotonic() <= deadline:
        middle = (low + high) // 2
        found, enough = attempt(ranked[:middle])
        if enough:
            good, high = found, middle
        else:
            low = middle
    return tried if good is None else [*tried, good]


def count_hits(logits: Logits, labels: NDArray[np.int64]) -> int:
    """How many images have their largest output at their label."""
    return int((logits.argmax(1) == labels).sum())
