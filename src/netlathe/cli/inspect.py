"""netlathe inspect SOURCE: check a dataset before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netlathe.cli.common import emit, json_option
from netlathe.cli.image_options import image_options
from netlathe.cli.training import images_bar

if TYPE_CHECKING:
    from netlathe.train.images.options import ImageOptions


@click.command()
@click.argument("source")
@click.option("--size", type=click.IntRange(8), default=160, show_default=True, metavar="PX",
              help="Short side of the decoded images.")  # fmt: skip
@image_options
@json_option
def command(source: str, size: int, options: ImageOptions, as_json: bool) -> None:
    """Decode images once into the cache and report: counts, splits, sizes, copies, leaks, what was skipped and why.

    \b
      netlathe inspect photos/
      netlathe inspect labels.csv --label-column species --json

    It is the first step of `netlathe fit` and `netlathe train`, which find the cache and are quicker for it.
    """
    from netlathe.train.images import load

    with images_bar() as progress:
        splits = load(source, size=size, options=options, progress=progress)
    if as_json:
        emit("inspect", splits.report.as_dict(), splits.report.warnings())
        return
    for line in splits.report.lines():
        click.echo(line)
