"""netlathe check OUT [budget.toml]: a deployed file against its budget, measured again; made for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.bench import ledger
from netlathe.bench.machine import this_machine
from netlathe.bench.measure import HEADLINE
from netlathe.cli.bench import format_conditions
from netlathe.cli.common import emit, json_option, print_table, print_warnings, progress_bar, wide_option
from netlathe.cli.image_options import image_options
from netlathe.cli.training import check_images
from netlathe.deploy.check import CheckReport, check, format_markdown
from netlathe.deploy.limits import KINDS, package_limits, read_limits
from netlathe.deploy.package import Package, load_package
from netlathe.deploy.score import held_out_split, images_for
from netlathe.errors import Exit
from netlathe.tables.table import Column, make_table

if TYPE_CHECKING:
    from netlathe.train.images.options import ImageOptions


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("budget", required=False, type=click.Path(path_type=Path), metavar="[BUDGET.TOML]")
@click.option("--data", "source", callback=check_images, metavar="SOURCE",
              help="Images of the training: the accuracy is measured too.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
              help="Measuring time; each process takes two fifths of it.")  # fmt: skip
@click.option("--processes", type=click.IntRange(5), default=HEADLINE, show_default=True, help="Fresh ones.")
@click.option("--markdown", "as_markdown", is_flag=True, help="A summary in Markdown on stdout.")
@wide_option
@image_options
@json_option
def command(
    out: Path,
    budget: Path | None,
    source: str | None,
    seconds: float,
    processes: int,
    as_markdown: bool,
    options: ImageOptions,
    as_json: bool,
) -> None:
    """Measure the file of a package again and hold it against a budget: its own, or that of a file.

    \b
      netlathe check out/
      netlathe check out/ budget.toml --data photos/
      netlathe check out/ --markdown >> "$GITHUB_STEP_SUMMARY"

    A budget file has lines such as latency = "10ms", size = "8MB", memory = "64MB", macs = "300M", accuracy = 0.9.
    Exit code 0: every limit is shown to be kept. 4: one is over, or its interval straddles the limit.
    """
    if as_markdown and as_json:
        raise click.UsageError("--markdown and --json both go to stdout: give one of them")
    package = load_package(out)
    limits = read_limits(budget) if budget is not None else package_limits(package)
    split, images = held_out_split(images_for(package, source, options)) if source is not None else ("", None)
    with progress_bar("measuring") as progress:
        done = check(
            package, limits, images, split=split, seconds=seconds, processes=processes, progress=progress,
            keep=ledger.append,
        )  # fmt: skip
    if as_json:
        emit("check", document(package, done), done.warnings)
    elif as_markdown:
        click.echo(format_markdown(package, done))
    else:
        show(package, done)
        print_warnings(done.warnings)
    if not done.kept:
        raise click.exceptions.Exit(Exit.CHECK_FAILED)


def document(package: Package, done: CheckReport) -> dict[str, Any]:
    """The data of --json; figures in ms, bytes, MACs and shares."""
    here = this_machine().id
    return {
        "package": str(package.folder),
        "verdict": done.verdict,
        "kept": done.kept,
        "findings": [finding.to_json() for finding in done.findings],
        "latency": done.latency.to_json() if done.latency else None,
        "accuracy": done.score.accuracy._asdict() | {"split": done.score.split} if done.score else None,
        "device": {"package": package.device, "here": here, "same": package.device in (None, "", here)},
    }


def show(package: Package, done: CheckReport) -> None:
    """The findings as a table, and the verdict."""
    title = format_conditions([done.latency]) if done.latency else f"for {package.device}, not measured"
    print_table(make_table(COLUMNS, done.findings, title=title))
    click.echo(f"{package.folder}: {done.verdict}")


COLUMNS = (
    Column("", lambda finding: finding.name, text=True, name="the limit's name"),
    Column("measured", lambda finding: finding.used),
    Column("limit", lambda finding: "" if finding.limit is None else KINDS[finding.name].show(finding.limit)),
    Column("verdict", lambda finding: finding.verdict, text=True),
    Column("of", lambda finding: finding.note, priority=2, text=True, wraps=True),
)
