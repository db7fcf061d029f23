"""From the trained finalist to the folder that is deployed: the file in its best form, verified, with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from netlathe.bench import ledger
from netlathe.choose.budget import Forecast
from netlathe.choose.place import MCU, Place
from netlathe.deploy.check import CheckReport, check, check_figures
from netlathe.deploy.export import arch_document, load_trained, model_pixels
from netlathe.deploy.limits import limits
from netlathe.deploy.model_card import TrainingRecord, model_card, write_card
from netlathe.deploy.package import Package, write_package
from netlathe.deploy.parity import parity, require_exact
from netlathe.deploy.precision import PrecisionChoice
from netlathe.deploy.quantise import ENOUGH
from netlathe.deploy.score import held_out_split, images_for, score
from netlathe.deploy.variants import FLOAT, choose_variant, labelled_pixels
from netlathe.fit.config import FitConfig
from netlathe.fit.race import Row, load_start, recipe_for
from netlathe.runtimes import registry
from netlathe.train.images import Splits
from netlathe.train.recipefile import resolved

Say = Callable[[str], None]
ONNX_ON_MCU = (
    "TensorFlow Lite: the file is an int8 ONNX graph with QDQ nodes, which STM32Cube.AI and similar tools read; no "
    "kept converter to .tflite runs without TensorFlow or JAX."
)


def export_float(wish: FitConfig, splits: Splits, place: Place, out: Path, winner: Row, say: Say) -> Package:
    """The float file: batch norms folded, preprocessing baked in, compared with the torch network on real images."""
    run = load_trained(out / "final")
    start = load_start(winner, recipe_for(wish, winner), wish.seed)
    here = registry.DEFAULT if not place.here else winner["runtime"]
    package = write_package(
        Package(
            arch=arch_document(run.network),
            classes=run.classes,
            preprocessing=run.preprocessing,
            runtime=here,
            precision="fp32",
            threads=place.threads,
            device=place.card.id.removeprefix("this-") if place.here else place.card.id,
            weights=f"{start.source}, trained on here" if start.source else "trained here, on the images of the card",
            licence=start.licence,
            budget=dict(wish.budget),
            folder=out,
        ),
        {FLOAT: run.model().SerializeToString()},
    )
    some = model_pixels(splits.validation.pixels[:64], run.preprocessing)
    same = parity(run.network, run.weights, run.preprocessing, out / FLOAT, some, runtime=here, precision="fp32")
    require_exact(same, out / FLOAT)
    say(f"{FLOAT} agrees with the torch network within {same.relative_error:.1e} on {len(some)} images")
    return package


def select_variant(
    wish: FitConfig, splits: Splits, place: Place, package: Package, seconds: float, say: Say
) -> tuple[Package, list[dict[str, Any]]]:
    """The package in its best form (`deploy.variants`), judged on validation images, calibrated on training images."""
    wanted: PrecisionChoice = "int8" if place.card.class_ == MCU else wish.form
    if not place.here and wanted != "int8":  # nothing is timed here, so nothing can be shown to be faster
        wanted = "fp32"
    made, tried = choose_variant(
        package,
        labelled_pixels(splits.train, package, ENOUGH, wish.seed),
        labelled_pixels(splits.validation, package),
        runtimes=wish.runtimes if place.here else (registry.DEFAULT,),
        wanted=wanted,
        limits=limits(dict(wish.budget), str(package.folder)) if wish.budget else {},
        measured=place.here,
        seconds=seconds,
        say=say,
    )
    return made, [form.to_json() for form in tried]


def verify(
    wish: FitConfig,
    splits: Splits,
    place: Place,
    package: Package,
    found: Mapping[str, Any],
    winner: Row,
    last: Mapping[str, Any] | None,
    final: Mapping[str, Any],
    forms: list[dict[str, Any]],
) -> CheckReport:
    """Measure the file again, look at the test images once, and write the card.

    For another device the latency stays the forecast, and the card says so.
    """
    wanted = limits(dict(wish.budget), str(package.folder)) if wish.budget else {}
    split, images = held_out_split(images_for(package, wish.data))  # as `netlathe check` decodes them
    forecast = Forecast(**winner["forecast"]) if winner["forecast"] else None
    if place.here:
        checked = check(package, wanted, images, split=split, keep=ledger.append)
    else:
        checked = check_figures(package, wanted, forecast, score(package, images, split))
    seeds, figures = (wish.seed, wish.seed + 1, wish.seed + 1000), {**describe_choice(found, last), **final}
    training = TrainingRecord(resolved(recipe_for(wish, winner)), seeds, figures)
    card = model_card(
        package, checked, data=splits.report, training=training, forecast=forecast, forms=forms,
        limits=[ONNX_ON_MCU] if place.card.class_ == MCU else [],
        reproduce=[command_line(wish)],
    )  # fmt: skip
    write_card(package.folder, card)
    return checked


def describe_choice(found: Mapping[str, Any], last: Mapping[str, Any] | None) -> dict[str, str]:
    """How the network was picked, and what it is tied with, beside the figures of its training."""
    if last is None:
        return {"picked": "as the only candidate"}
    said = f"among {len(found['candidates'])} networks, on {last['images']:,} validation images, not on the test images"
    others = [name for name in last["tied"] if name not in last["kept"]]
    tied = f"{', '.join(others)}, within one standard error; it is the fastest of them"
    return {"picked": said} | ({"tied with": tied} if others else {})


def command_line(wish: FitConfig) -> str:
    """The command that repeats the fit."""
    words = [f"--{name} {value}" for name, value in wish.budget.items()]
    words += [f"--time {wish.seconds:g}s"] if wish.seconds is not None else [f"--epochs {wish.epochs:g}"]
    words += [f"--device {quote(wish.device)}"] if wish.device else []
    words += [f"--runtime {name}" for name in wish.runtimes]
    words += [f"--weights {quote(source)}" for source in wish.weights]
    words += [f"--search {quote(wish.search)}"] if wish.search else []
    words += [f"--form {wish.form}"] if wish.form != "auto" else []
    return " ".join(["netlathe fit", quote(wish.data), *words, f"--seed {wish.seed}", "-o again/"])
