"""netlathe inspect SOURCE: check a dataset before training."""

from __future__ import annotations

import click

from netlathe.cli.common import emit, json_option, progress_bar


@click.command()
@click.argument("source")
@click.option("--size", type=click.IntRange(8), default=160, show_default=True, metavar="PX",
              help="Short side of the decoded images.")  # fmt: skip
@json_option
def command(source: str, size: int, as_json: bool) -> None:
    """Decode images once into the cache and report: counts, splits, sizes, copies, leaks, what was skipped and why.

    \b
      netlathe inspect photos/
      netlathe inspect labels.csv --json

    It is the first step of `netlathe fit` and `netlathe train`, which find the cache and are quicker for it.
    """
    from netlathe.train.images import load

    with progress_bar("images") as bar:
        splits = load(source, size=size, progress=bar and (lambda what, done, total: bar(done, total, what)))
    if as_json:
        emit("inspect", splits.report.as_dict(), splits.report.warnings())
        return
    for line in splits.report.lines():
        click.echo(line)
