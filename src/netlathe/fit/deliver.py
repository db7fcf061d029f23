"""From the trained finalist to the folder that is deployed: the file in its best form, verified, with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from netlathe.bench import ledger
from netlathe.deploy.check import CheckReport, check, check_figures
from netlathe.deploy.export import arch_document, load_trained, model_pixels
from netlathe.deploy.limits import package_limits
from netlathe.deploy.model_card import TrainingRecord, model_card, write_card
from netlathe.deploy.package import FLOAT_FILE, Package, write_facts, write_package
from netlathe.deploy.parity import parity, require_exact
from netlathe.deploy.precision import PrecisionChoice
from netlathe.deploy.quantise import ENOUGH
from netlathe.deploy.review import review
from netlathe.deploy.score import held_out_split, images_for, score
from netlathe.deploy.tflite import with_c_sources
from netlathe.deploy.variants import choose_variant, labelled_pixels
from netlathe.fit.race import TrainedCandidate
from netlathe.runtimes import registry
from netlathe.runtimes.registry import forecast_name
from netlathe.target.target import Forecast, Target
from netlathe.train.images import DatasetReport, Splits
from netlathe.train.images.options import ImageOptions
from netlathe.train.metrics import read_events
from netlathe.train.start import StartingWeights

Say = Callable[[str], None]
ONNX_FILE = (
    "TensorFlow Lite: the file is an int8 ONNX graph with QDQ nodes, which STM32Cube.AI and similar tools read; with "
    "pip install 'netlathe[litert,tflm]' it is a .tflite file that was run here."
)


class Evidence(NamedTuple):
    """What the card shows of a fit, beside the training: the images, the variants, the command, notes."""

    images: DatasetReport
    variants: list[dict[str, Any]]
    command: str
    options: ImageOptions  # how the images are read and split
    run: Path  # the folder of the training
    notes: tuple[str, ...] = ()


def export_float(
    trained: TrainedCandidate,
    start: StartingWeights,
    splits: Splits,
    target: Target,
    out: Path,
    budget: Mapping[str, str],
    say: Say,
) -> Package:
    """The float file: batch norms folded, preprocessing baked in, compared with the torch network on real images."""
    run = load_trained(trained.folder)
    runtime = trained.row["runtime"] if target.measures else registry.DEFAULT
    checked = runtime if registry.runtime(runtime).takes == "onnx" else registry.DEFAULT
    package = write_package(
        Package(
            arch=arch_document(run.network),
            classes=run.classes,
            preprocessing=run.preprocessing,
            runtime=runtime,
            precision="fp32",
            threads=target.threads,
            device=target.device.id.removeprefix("this-") if target.measures else target.device.id,
            weights=f"{start.source}, trained on here" if start.source else "trained here, on the images of the card",
            licence=start.licence,
            budget=dict(budget),
            folder=out,
        ),
        {FLOAT_FILE: run.model().SerializeToString()},
    )
    sample = model_pixels(splits.validation.pixels[:64], run.preprocessing)
    agreement = parity(
        run.network, run.weights, run.preprocessing, out / FLOAT_FILE, sample, runtime=checked, precision="fp32"
    )
    require_exact(agreement, out / FLOAT_FILE)
    say(f"{FLOAT_FILE} agrees with the torch network within {agreement.relative_error:.1e} on {len(sample)} images")
    return package


def select_variant(
    package: Package,
    splits: Splits,
    target: Target,
    *,
    form: PrecisionChoice,
    runtimes: tuple[str, ...],
    seed: int,
    seconds: float,
    say: Say,
) -> tuple[Package, list[dict[str, Any]]]:
    """The package in its best form (`deploy.variants`), judged on validation images, calibrated on training images."""
    wanted: PrecisionChoice = target.only_precision or form
    if not target.measures and wanted != "int8":  # nothing is timed here, so nothing can be shown to be faster
        wanted = "fp32"
    chosen, tried = choose_variant(
        package,
        labelled_pixels(splits.train, package, ENOUGH, seed),
        labelled_pixels(splits.validation, package),
        runtimes=runtimes if target.measures else (deployed_runtime(target),),
        wanted=wanted,
        limits={**target.limits, **limits_in(package)},
        measured=target.measures,
        seconds=seconds,
        say=say,
    )
    if registry.runtime(chosen.runtime).processor == "microcontroller":
        chosen = with_c_sources(chosen)
    return chosen, [variant.to_json() for variant in tried]


def deployed_runtime(target: Target) -> str:
    """The runtime whose file another device gets: its own, where that is installed here to make and check it.

    A microcontroller gets TensorFlow Lite Micro's file, whatever runtime it is forecast by; else it is an ONNX file.
    """
    installed = registry.installed()
    if target.only_precision == "int8":
        return "tflm" if {"tflm", "litert"} <= set(installed) else registry.DEFAULT
    name = registry.cpu_runner(forecast_name(target.runtime))
    return name if name in installed and registry.runtime(name).takes != "torch" else registry.DEFAULT


def verify(
    package: Package, target: Target, data: str, forecast: Forecast | None, training: TrainingRecord, evidence: Evidence
) -> CheckReport:
    """Measure the file again, look at the test images once, and write the card.

    For another device the latency stays the forecast, and the card says so.
    """
    limits = {**target.limits, **limits_in(package)}
    splits = images_for(package, data, evidence.options)  # as `netlathe check` decodes them
    split, images = held_out_split(splits)
    if target.measures:
        checked = check(package, limits, images, split=split, keep=ledger.append)
    else:
        checked = check_figures(package, limits, forecast, score(package, images, split))
    seen = review(package, splits, read_events(evidence.run))
    facts = {"temperature": seen["calibration"]["temperature"], "images": evidence.options.document()}
    package = write_facts(replace(package, **facts))
    card = model_card(
        package, checked, review=seen,
        data=evidence.images, training=training, forecast=forecast, forms=evidence.variants,
        limits=[*said_of_file(package, target), *evidence.notes],
        reproduce=[evidence.command],
    )  # fmt: skip
    write_card(package.folder, card)
    return checked


def said_of_file(package: Package, target: Target) -> list[str]:
    """What the kind of file cannot do on the device."""
    return [ONNX_FILE] if target.only_precision == "int8" and package.runtime == registry.DEFAULT else []


def limits_in(package: Package) -> dict[str, float]:
    """The limits that the package was made for; none for a fit to another device without a budget."""
    return package_limits(package) if package.budget else {}


def describe_choice(trained: TrainedCandidate) -> dict[str, str]:
    """How the network was picked among the candidates, and what it is tied with, beside the figures of its training."""
    last = trained.last
    if last is None or trained.considered < 2:
        return {"picked": "as the only candidate"}
    which = "training images, each held out in turn" if "probe" in last else "validation images"
    choice = f"among {trained.considered} networks, on {last['images']:,} {which}, not on the test images"
    others = [name for name in last["tied"] if name not in last["kept"]]
    tied = f"{', '.join(others)}, within one standard error; it is the fastest of them"
    return {"picked": choice} | ({"tied with": tied} if others else {})
