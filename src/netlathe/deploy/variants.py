"""The variants of a deployed network: float32, bf16 and int8 under each runtime; which one is deployed, and why.

The float file stands until another variant is shown to be better. bf16 and int8 have to keep the accuracy on the
validation images within the tolerance, and to be measurably faster: the far end of their interval lies below the near
end of the variant that stands. Lower precision often is not: int8 loses to float where a runtime has no kernels for it.
Where only a smaller variant keeps the budget (an int8 file has a quarter of the size), that variant is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from netlathe.bench import ledger
from netlathe.bench.machine import this_machine
from netlathe.bench.measure import HEADLINE, measure
from netlathe.deploy.check import memory_bytes
from netlathe.deploy.export import model_pixels
from netlathe.deploy.limits import KINDS
from netlathe.deploy.package import FLOAT_FILE, Package, load_package, write_package
from netlathe.deploy.precision import PrecisionChoice
from netlathe.deploy.quantise import (
    FEWEST,
    TOLERANCE,
    quantise_model,
)
from netlathe.deploy.session import compute_outputs_isolated, model_file
from netlathe.deploy.tflite import described, write_float_file
from netlathe.errors import NetlatheError
from netlathe.runtimes import registry
from netlathe.runtimes.base import BF16_SETS
from netlathe.runtimes.quantise import Labelled, count_hits, within_tolerance

KEPT = "deployed"
SAMPLE = 16  # images on which a float file is compared with model.onnx
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployVariant:
    """A file under a runtime in a precision, and what was found of it. Latency in ms, with its interval."""

    runtime: str
    precision: str
    model: str
    hits: int = 0  # of the validation images
    images: int = 0
    latency_ms: tuple[float, float, float] = (inf, inf, inf)
    size_bytes: int = 0
    memory_bytes: int = 0
    layers: str = ""  # of an int8 file: how many are left in float
    verdict: str = ""  # deployed, or why not
    layer_snr: tuple[tuple[str, float], ...] = ()  # of an int8 file: `QuantisedModel.layer_snr`

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.runtime} {self.precision}"

    def to_json(self) -> dict[str, Any]:
        """Plain values; a latency that was not measured is null."""
        ends = [None if x == inf else x for x in self.latency_ms]
        return {name: getattr(self, name) for name in self.__slots__} | {"latency_ms": ends}


def labelled_pixels(images: Any, package: Package, most: int | None = None, seed: int = 0) -> Labelled:
    """Images of a set as the file takes them; `most` of them, drawn by the seed."""
    rows = np.arange(len(images))
    if most is not None and most < len(rows):
        rows = np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])
    return Labelled(
        model_pixels(np.asarray(images.pixels[rows]), package.preprocessing), np.asarray(images.labels[rows])
    )


def choose_variant(
    package: Package,
    calibration: Labelled,
    validation: Labelled,
    *,
    runtimes: Sequence[str] = (),
    wanted: PrecisionChoice = "auto",
    limits: Mapping[str, float] = {},
    tolerance: float = TOLERANCE,
    measured: bool = True,
    seconds: float = 300.0,
    say: Say = lambda line: None,
) -> tuple[Package, list[DeployVariant]]:
    """The package in its best variant, with its files beside model.onnx, and every variant that was tried.

    `package` holds the float file. `runtimes` are those to try, else its own and what else is installed; `wanted` names
    one precision instead of a choice. `limits` in base units exclude a variant where another keeps them. `seconds`
    bound the whole choice: a variant is begun only while as much time is left as the longest so far took. Without
    `measured` (the file is for another device) no latency is taken, and the first in the wanted precision is deployed.
    Raises NetlatheError where the wanted precision cannot be had.
    """
    names = list(runtimes) or runtimes_here(package)
    tried: list[DeployVariant] = []
    begin, longest = time.monotonic(), 0.0
    as_float = score_variant(package, float_variant(package), validation)
    for variant in variants_to_try(package, names, wanted, len(calibration.pixels), say):
        start = time.monotonic()
        left = seconds - (start - begin)
        # An int8 file is looked for as long as the longest took, and then scored and timed like the others.
        needed = longest * (2 if variant.precision.startswith("int8") else 1)
        if tried and needed > left and wanted == "auto":
            say(f"{variant.name}: not tried, the time is up")
            continue
        try:
            if variant.precision.startswith("int8"):
                search = max(10.0, (left - longest) / 2)
                variant = quantise_variant(package, variant, calibration, validation, tolerance, search)
            else:
                variant = as_float if variant == float_variant(package) else score_variant(package, variant, validation)
        except NetlatheError as error:
            tried.append(replace(variant, verdict=f"failed: {error.message}"))
            say(f"{variant.name}: {tried[-1].verdict}")
            continue
        if measured and registry.runtime(variant.runtime).processor != "microcontroller":
            variant = replace(variant, latency_ms=time_variant(package, variant))
        if not within_tolerance(as_float.hits, variant.hits, variant.images, tolerance):
            variant = replace(
                variant, verdict=f"loses {as_float.hits - variant.hits} of {variant.images} validation images"
            )
        tried.append(variant)
        longest = max(longest, time.monotonic() - start)
        say(describe_variant(variant))
    pick = fastest_variant([variant for variant in tried if not variant.verdict], limits)
    if pick is None and wanted != "auto":
        pick = next(
            (variant for variant in tried if variant.images), None
        )  # asked for by name: taken, and the card says it
    if pick is None:
        faults = "; ".join(f"{variant.name}: {variant.verdict}" for variant in tried)
        raise NetlatheError(f"no form of this network can be deployed: {faults}", code="deploy.form",
                            path=str(package.folder))  # fmt: skip
    tried = [with_verdict(variant, pick, limits) for variant in tried]
    return keep_variant(package, pick), tried


def runtimes_here(package: Package) -> list[str]:
    """The runtime of a package, and the installed ones that quantise and run networks of this machine."""
    able = [name for name in registry.installed() if name in registry.quantising_runtimes()]
    return [package.runtime, *(n for n in able if n != package.runtime and registry.runtime(n).processor == "cpu")]


def float_variant(package: Package) -> DeployVariant:
    """The float file under the runtime of the package."""
    return DeployVariant(runtime=package.runtime, precision="fp32", model=registry.runtime(package.runtime).float_file)


def variants_to_try(
    package: Package, names: Sequence[str], wanted: PrecisionChoice, calibration: int, say: Say
) -> Iterator[DeployVariant]:
    """What is tried, the simplest first: float, bf16 where the processor has it, int8."""
    flags = set(BF16_SETS) & set(this_machine().flags)
    for name in names if wanted in ("auto", "fp32") else ():
        yield DeployVariant(runtime=name, precision="fp32", model=registry.runtime(name).float_file)
    for name in names if wanted == "bf16" or (wanted == "auto" and flags) else ():
        if "bf16" in registry.runtime(name).precisions:
            yield DeployVariant(runtime=name, precision="bf16", model=FLOAT_FILE)
    if wanted == "auto" and calibration < FEWEST:
        say(f"int8 is not tried: {calibration} training images are too few to calibrate it, {FEWEST} are needed")
        return
    for name in names if wanted in ("auto", "int8") else ():
        if name in registry.quantising_runtimes():
            yield DeployVariant(runtime=name, precision="int8+fp32", model=registry.runtime(name).int8_file)


def as_variant(package: Package, variant: DeployVariant) -> Package:
    """The package if it were deployed in that variant."""
    return replace(package, runtime=variant.runtime, precision=variant.precision, model=variant.model)


def score_variant(package: Package, variant: DeployVariant, validation: Labelled) -> DeployVariant:
    """The variant with the validation images that it gets right, its size and its memory."""
    if variant.precision == "fp32":
        write_float_file(package, variant.runtime, validation.pixels[:SAMPLE])
    deployed = as_variant(package, variant)
    logits = compute_outputs_isolated(
        deployed.path, validation.pixels, runtime=variant.runtime, precision=variant.precision, threads=package.threads
    )
    return replace(variant, hits=count_hits(logits, validation.labels), images=len(logits), size_bytes=deployed.bytes,
                   memory_bytes=memory_bytes(deployed))  # fmt: skip


def quantise_variant(
    package: Package,
    variant: DeployVariant,
    calibration: Labelled,
    validation: Labelled,
    tolerance: float,
    seconds: float,
) -> DeployVariant:
    """Quantise for the runtime of the variant and put the files into the package's folder."""
    write_float_file(package, variant.runtime, validation.pixels[:SAMPLE])
    float_file = package.folder / registry.runtime(variant.runtime).float_file
    quantised = quantise_model(
        float_file.read_bytes(), calibration, validation, runtime=variant.runtime,
        tolerance=tolerance, seconds=seconds, threads=package.threads,
    )  # fmt: skip
    int8_file = registry.runtime(variant.runtime).int8_file
    first, *more = quantised.files
    content = quantised.files[first]
    if registry.runtime(variant.runtime).takes == "tflite":
        content = described(package, content, variant.runtime)
    files = {int8_file: content} | {name: quantised.files[name] for name in more}
    held = {name: (package.folder / name).read_bytes() for name in load_package(package.folder).files}
    write_package(package, held | files)
    left = (
        f"{len(quantised.kept)} of {quantised.layers} layers in float"
        if quantised.kept
        else f"all {quantised.layers} layers"
    )
    return replace(score_variant(package, variant, validation), layers=left, layer_snr=quantised.layer_snr)


def time_variant(package: Package, variant: DeployVariant) -> tuple[float, float, float]:
    """(low, median, high) in ms of fresh processes; infinite where it does not run."""
    [m] = measure(
        [model_file(as_variant(package, variant))], threads=package.threads, batch=package.batch, seconds=0.5,
        processes=HEADLINE, runtime=variant.runtime, precision=variant.precision, keep=ledger.append,
    )  # fmt: skip
    return m.interval


def fastest_variant(variants: Sequence[DeployVariant], limits: Mapping[str, float]) -> DeployVariant | None:
    """Of those that keep the limits (of all, where none does) the first that none is measurably faster than."""
    keeping = [variant for variant in variants if not broken_limits(variant, limits)] or list(variants)
    pick = next(iter(keeping), None)
    for variant in keeping:
        assert pick is not None
        if variant.latency_ms[2] < pick.latency_ms[0]:
            pick = variant
    return pick


def broken_limits(variant: DeployVariant, limits: Mapping[str, float]) -> list[str]:
    """The limits that the variant does not keep."""
    used = {"latency": variant.latency_ms[2], "size": variant.size_bytes, "memory": variant.memory_bytes}
    return [name for name, value in used.items() if name in limits and value > limits[name] and value < inf]


def with_verdict(variant: DeployVariant, pick: DeployVariant, limits: Mapping[str, float]) -> DeployVariant:
    """The variant with its verdict: deployed, or why not."""
    if variant.verdict and variant is not pick:
        return variant
    if variant is pick:
        return replace(variant, verdict=f"{KEPT}, though it {variant.verdict}" if variant.verdict else KEPT)
    if over := [name for name in broken_limits(variant, limits) if name not in broken_limits(pick, limits)]:
        shown_ = ", ".join(f"{name} of {KINDS[name].show(limits[name])}" for name in over)
        return replace(variant, verdict=f"breaks the {shown_}")
    if variant.latency_ms[0] > pick.latency_ms[2]:
        return replace(variant, verdict="slower")
    return replace(variant, verdict="not measurably faster")


def keep_variant(package: Package, pick: DeployVariant) -> Package:
    """The package in that variant: its files and model.onnx, nothing else of what was tried."""
    chosen = as_variant(package, pick)
    names = {FLOAT_FILE, *registry.model_files(pick.model)}
    kept = {name: (package.folder / name).read_bytes() for name in sorted(names)}
    left = set(load_package(package.folder).files) - names
    written = write_package(chosen, kept)
    for name in left:
        (package.folder / name).unlink(missing_ok=True)
    return written


def describe_variant(variant: DeployVariant) -> str:
    """One line of what was found."""
    low, middle, high = variant.latency_ms
    latency = f", {middle:.3g} ms ({low:.3g} to {high:.3g})" if middle < inf else ""
    layers = f", {variant.layers}" if variant.layers else ""
    return f"{variant.name}: {variant.hits} of {variant.images} validation images{latency}{layers}" + (
        f"; {variant.verdict}" if variant.verdict else ""
    )


def copy_as_float(package: Package, folder: Path) -> Package:
    """A copy of a package in another folder, in float: where its other variants are tried. Raises NetlatheError."""
    if FLOAT_FILE not in package.files:
        raise NetlatheError(f"this package has no {FLOAT_FILE}, the float file that other forms are made of",
                            code="deploy.form", path=str(package.folder))  # fmt: skip
    if folder.resolve() == package.folder.resolve():
        raise NetlatheError("give another folder than that of the package", code="deploy.form", path=str(folder))
    float_ = replace(package, folder=folder, model=FLOAT_FILE, precision="fp32")
    return write_package(float_, {FLOAT_FILE: (package.folder / FLOAT_FILE).read_bytes()})
