"""netlathe predict OUT IMAGE...: the classes of images by a deployed file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from netlathe.cli.common import emit, json_option
from netlathe.deploy.package import load_package
from netlathe.deploy.predict import ImagePrediction, predict
from netlathe.errors import Exit
from netlathe.escapes import escape_line


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Classes of an image.")
@json_option
def command(out: Path, images: tuple[str, ...], top: int, as_json: bool) -> None:
    """The most probable classes of images, by the file of a package in its runtime.

    \b
      netlathe predict out/ photo.jpg
      netlathe predict out/ photos/*.jpg --top 1 --json

    Exit code 2 where an image cannot be read; the others are answered all the same.
    """
    package = load_package(out)
    predictions = predict(package, images, top=top)
    faults = [f"{p.image}: {p.fault}" for p in predictions if p.fault]
    if as_json:
        rows = [
            {"image": p.image, "classes": [g._asdict() for g in p.guesses], "fault": p.fault or None}
            for p in predictions
        ]
        emit("predict", {"package": str(package.folder), "images": rows}, faults)
    else:
        show(predictions)
        for fault in faults:
            click.echo(f"error: {escape_line(fault)}", err=True)
    if faults:
        raise click.exceptions.Exit(Exit.USAGE)


def show(predictions: Sequence[ImagePrediction]) -> None:
    """A line an image."""
    for p in predictions:
        if not p.fault:
            guesses = ", ".join(f"{g.label} {100 * g.probability:.1f} %" for g in p.guesses)
            click.echo(escape_line(f"{p.image}: {guesses}"))
