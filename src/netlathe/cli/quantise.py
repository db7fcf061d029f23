"""netlathe quantise OUT --data SOURCE -o OUT8: the same network in int8 or bf16, where that is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlathe.cli.common import emit, json_option, print_table, wide_option
from netlathe.cli.image_options import image_options
from netlathe.cli.training import check_images
from netlathe.deploy.precision import PRECISION_CHOICES, PrecisionChoice
from netlathe.runtimes.registry import quantising_runtimes
from netlathe.tables.table import Column, make_table
from netlathe.units import show_bytes, show_interval

if TYPE_CHECKING:
    from netlathe.deploy.variants import DeployVariant
    from netlathe.train.images.options import ImageOptions


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--data", "source", required=True, callback=check_images, metavar="SOURCE",
              help="Images of the training.")  # fmt: skip
@click.option("--form", type=click.Choice([form for form in PRECISION_CHOICES if form != "fp32"]), default="auto",
              show_default=True, help="auto keeps float where nothing is measurably faster.")  # fmt: skip
@click.option("--runtime", "runtimes", multiple=True, type=click.Choice(quantising_runtimes()),
              help="[default: that of the package, and what else is installed]")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(0, 1, max_open=True), default=0.01, show_default=True,
              help="Share of the validation images that may be lost.")  # fmt: skip
@click.option("--calibration", type=click.IntRange(1), default=300, show_default=True, help="Training images.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A new folder.")
@wide_option
@image_options
@json_option
def command(
    out: Path,
    source: str,
    form: PrecisionChoice,
    runtimes: tuple[str, ...],
    tolerance: float,
    calibration: int,
    output: Path,
    options: ImageOptions,
    as_json: bool,
) -> None:
    """Try runtimes and precisions for a deployed network and write the best as a package of its own.

    \b
      netlathe quantise out/ --data photos/ -o out8/
      netlathe quantise out/ --data photos/ --form int8 --runtime onnxruntime -o out8/

    int8 is calibrated on training images, and the layers that hurt stay in float; bf16 and int8 are judged on the
    validation images and timed here. Then: netlathe check out8/ --data photos/
    """
    from netlathe.deploy.limits import parse_limits
    from netlathe.deploy.package import load_package
    from netlathe.deploy.score import images_for
    from netlathe.deploy.variants import choose_variant, copy_as_float, labelled_pixels

    package = load_package(out)
    splits = images_for(package, source, options)
    chosen, tried = choose_variant(
        copy_as_float(package, output),
        labelled_pixels(splits.train, package, calibration),
        labelled_pixels(splits.validation, package),
        runtimes=runtimes,
        wanted=form,
        limits=parse_limits(dict(package.budget), str(out)) if package.budget else {},
        tolerance=tolerance,
        say=lambda line: click.echo(line, err=True),
    )
    if as_json:
        variants = [form.to_json() for form in tried]
        emit("quantise", {"package": str(chosen.folder), "precision": chosen.precision, "runtime": chosen.runtime,
                          "model": chosen.model, "tried": variants})  # fmt: skip
        return
    print_table(make_table(COLUMNS, tried, title=f"{chosen.network.name} on the validation images"))
    for variant in tried:
        if variant.layer_snr:
            click.echo(f"{variant.name} hurts most behind {worst_layers(variant.layer_snr)}")
    click.echo(f"{chosen.folder}: {chosen.model}, {chosen.precision} under {chosen.runtime}")


def worst_layers(layers: Sequence[tuple[str, float]], most: int = 5) -> str:
    """The layers whose values int8 changes most, with their signal-to-noise ratios."""
    return ", ".join(f"{path} ({db:.1f} dB)" for path, db in layers[:most])


def latency(variant: DeployVariant) -> str | None:
    """The middle of its latency; None where it was not timed."""
    middle = variant.latency_ms[1]
    return None if middle == inf else f"{middle:.3g} ms"


def interval(variant: DeployVariant) -> str | None:
    """Both ends of its latency."""
    low, middle, high = variant.latency_ms
    return None if middle == inf else show_interval(low, high)


COLUMNS = (
    Column("form", lambda variant: variant.name, text=True),
    Column("verdict", lambda variant: variant.verdict, text=True, wraps=True),
    Column("latency", latency),
    Column("interval", interval, priority=2),
    Column("size", lambda variant: variant.size_bytes or None, show_bytes),
    Column("right", lambda variant: f"{variant.hits} of {variant.images}" if variant.images else None),
)
