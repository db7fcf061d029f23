"""The forms of a deployed network: float32, bf16 and int8 under each runtime; which one is deployed, and why.

The float file stands until another form is shown to be better. bf16 and int8 have to keep the accuracy on the
validation images within the tolerance, and to be measurably faster: the far end of their interval lies below the near
end of the form that stands. Lower precision often is not: int8 loses to float where a runtime has no kernels for it.
Where only a smaller form keeps the budget (an int8 file has a quarter of the size), that form is taken.
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
from netlathe.errors import NetlatheError
from netlathe.runtimes import registry
from netlathe.runtimes.quantise import Labelled, count_hits, within_tolerance

KEPT = "deployed"
# Processors with instructions for bf16; elsewhere a runtime emulates it or computes in float.
BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16", "asimdbf16"})
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
    """The package in its best form, with the files of that form beside model.onnx, and every form that was tried.

    `package` holds the float file. `runtimes` are those to try, else its own and what else is installed; `wanted` names
    one precision instead of a choice. `limits` in base units exclude a form where another keeps them. `seconds` bound
    the whole choice: a form is begun only while as much time is left as the longest so far took. Without `measured`
    (the file is for another device) no latency is taken, and the first form in the wanted precision is deployed.
    Raises NetlatheError where the wanted precision cannot be had.
    """
    others = [n for n in registry.installed() if n in registry.quantising_runtimes() and n != package.runtime]
    names = list(runtimes) or [package.runtime, *others]
    tried: list[DeployVariant] = []
    begin, longest = time.monotonic(), 0.0
    float_form = score_variant(package, float_variant(package), validation)
    for form in variants_to_try(package, names, wanted, len(calibration.pixels), say):
        start = time.monotonic()
        if tried and start - begin + longest > seconds and wanted == "auto":
            say(f"{form.name}: not tried, the time is up")
            continue
        try:
            if form.precision.startswith("int8"):
                left = max(10.0, (seconds - (start - begin)) / 2)
                form = quantise_variant(package, form, calibration, validation, tolerance, left)
            else:
                form = float_form if form == float_variant(package) else score_variant(package, form, validation)
        except NetlatheError as error:
            tried.append(replace(form, verdict=f"failed: {error.message}"))
            say(f"{form.name}: {tried[-1].verdict}")
            continue
        if measured:
            form = replace(form, latency_ms=time_variant(package, form))
        if not within_tolerance(float_form.hits, form.hits, form.images, tolerance):
            form = replace(form, verdict=f"loses {float_form.hits - form.hits} of {form.images} validation images")
        tried.append(form)
        longest = max(longest, time.monotonic() - start)
        say(describe_variant(form))
    pick = fastest_variant([form for form in tried if not form.verdict], limits)
    if pick is None and wanted != "auto":
        pick = next((form for form in tried if form.images), None)  # asked for by name: taken, and the card says it
    if pick is None:
        faults = "; ".join(f"{form.name}: {form.verdict}" for form in tried)
        raise NetlatheError(f"no form of this network can be deployed: {faults}", code="deploy.form",
                            path=str(package.folder))  # fmt: skip
    tried = [with_verdict(form, pick, limits) for form in tried]
    return keep_variant(package, pick), tried


def float_variant(package: Package) -> DeployVariant:
    """The float file under the runtime of the package."""
    return DeployVariant(runtime=package.runtime, precision="fp32", model=FLOAT_FILE)


def variants_to_try(
    package: Package, names: Sequence[str], wanted: PrecisionChoice, calibration: int, say: Say
) -> Iterator[DeployVariant]:
    """What is tried, the simplest first: float, bf16 where the processor has it, int8."""
    flags = BF16 & set(this_machine().flags)
    for name in names if wanted in ("auto", "fp32") else ():
        yield DeployVariant(runtime=name, precision="fp32", model=FLOAT_FILE)
    for name in names if wanted == "bf16" or (wanted == "auto" and flags) else ():
        if "bf16" in registry.runtime(name).precisions:
            yield DeployVariant(runtime=name, precision="bf16", model=FLOAT_FILE)
    if wanted == "auto" and calibration < FEWEST:
        say(f"int8 is not tried: {calibration} training images are too few to calibrate it, {FEWEST} are needed")
        return
    for name in names if wanted in ("auto", "int8") else ():
        if name in registry.quantising_runtimes():
            yield DeployVariant(runtime=name, precision="int8+fp32", model=registry.runtime(name).int8_file)


def as_variant(package: Package, form: DeployVariant) -> Package:
    """The package if it were deployed in that form."""
    return replace(package, runtime=form.runtime, precision=form.precision, model=form.model)


def score_variant(package: Package, form: DeployVariant, validation: Labelled) -> DeployVariant:
    """The form with the validation images that it gets right, its size and its memory."""
    made = as_variant(package, form)
    logits = compute_outputs_isolated(
        made.path, validation.pixels, runtime=form.runtime, precision=form.precision, threads=package.threads
    )
    return replace(form, hits=count_hits(logits, validation.labels), images=len(logits), size_bytes=made.bytes,
                   memory_bytes=memory_bytes(made))  # fmt: skip


def quantise_variant(
    package: Package, form: DeployVariant, calibration: Labelled, validation: Labelled, tolerance: float, seconds: float
) -> DeployVariant:
    """Quantise for the runtime of the form and put the files into the package's folder."""
    done = quantise_model(
        (package.folder / FLOAT_FILE).read_bytes(), calibration, validation, runtime=form.runtime, tolerance=tolerance,
        seconds=seconds, threads=package.threads,
    )  # fmt: skip
    int8_file = registry.runtime(form.runtime).int8_file
    files = {int8_file if name == FLOAT_FILE else name: content for name, content in done.files.items()}
    held = {name: (package.folder / name).read_bytes() for name in load_package(package.folder).files}
    write_package(package, held | files)
    left = f"{len(done.kept)} of {done.layers} layers in float" if done.kept else f"all {done.layers} layers"
    return replace(score_variant(package, form, validation), layers=left)


def time_variant(package: Package, form: DeployVariant) -> tuple[float, float, float]:
    """(low, median, high) in ms of fresh processes; infinite where it does not run."""
    [m] = measure(
        [model_file(as_variant(package, form))], threads=package.threads, batch=package.batch, seconds=0.5,
        processes=HEADLINE, runtime=form.runtime, precision=form.precision, keep=ledger.append,
    )  # fmt: skip
    return (m.low_ms, m.median_ms, m.high_ms) if m.failure is None else (inf, inf, inf)


def fastest_variant(forms: Sequence[DeployVariant], limits: Mapping[str, float]) -> DeployVariant | None:
    """Of those that keep the limits (of all, where none does) the first that none is measurably faster than."""
    keeping = [form for form in forms if not broken_limits(form, limits)] or list(forms)
    pick = next(iter(keeping), None)
    for form in keeping:
        assert pick is not None
        if form.latency_ms[2] < pick.latency_ms[0]:
            pick = form
    return pick


def broken_limits(form: DeployVariant, limits: Mapping[str, float]) -> list[str]:
    """The limits that the form does not keep."""
    used = {"latency": form.latency_ms[2], "size": form.size_bytes, "memory": form.memory_bytes}
    return [name for name, value in used.items() if name in limits and value > limits[name] and value < inf]


def with_verdict(form: DeployVariant, pick: DeployVariant, limits: Mapping[str, float]) -> DeployVariant:
    """The form with its verdict: deployed, or why not."""
    if form.verdict and form is not pick:
        return form
    if form is pick:
        return replace(form, verdict=f"{KEPT}, though it {form.verdict}" if form.verdict else KEPT)
    if over := [name for name in broken_limits(form, limits) if name not in broken_limits(pick, limits)]:
        shown_ = ", ".join(f"{name} of {KINDS[name].show(limits[name])}" for name in over)
        return replace(form, verdict=f"breaks the {shown_}")
    if form.latency_ms[0] > pick.latency_ms[2]:
        return replace(form, verdict="slower")
    return replace(form, verdict="not measurably faster")


def keep_variant(package: Package, pick: DeployVariant) -> Package:
    """The package in that form: its files and model.onnx, nothing else of what was tried."""
    made = as_variant(package, pick)
    names = {FLOAT_FILE, *registry.model_files(pick.model)}
    kept = {name: (package.folder / name).read_bytes() for name in sorted(names)}
    left = set(load_package(package.folder).files) - names
    done = write_package(made, kept)
    for name in left:
        (package.folder / name).unlink(missing_ok=True)
    return done


def describe_variant(form: DeployVariant) -> str:
    """One line of what was found."""
    low, middle, high = form.latency_ms
    latency = f", {middle:.3g} ms ({low:.3g} to {high:.3g})" if middle < inf else ""
    layers = f", {form.layers}" if form.layers else ""
    return f"{form.name}: {form.hits} of {form.images} validation images{latency}{layers}" + (
        f"; {form.verdict}" if form.verdict else ""
    )


def copy_as_float(package: Package, folder: Path) -> Package:
    """A copy of a package in another folder, in float: where its other forms are tried. Raises NetlatheError."""
    if FLOAT_FILE not in package.files:
        raise NetlatheError(f"this package has no {FLOAT_FILE}, the float file that other forms are made of",
                            code="deploy.form", path=str(package.folder))  # fmt: skip
    if folder.resolve() == package.folder.resolve():
        raise NetlatheError("give another folder than that of the package", code="deploy.form", path=str(folder))
    float_ = replace(package, folder=folder, model=FLOAT_FILE, precision="fp32")
    return write_package(float_, {FLOAT_FILE: (package.folder / FLOAT_FILE).read_bytes()})
