"""netlathe predict OUT IMAGE...: the classes of images by a deployed file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from netlathe.cli.common import check_writable, emit, json_option, progress_bar
from netlathe.deploy.package import Package, load_package
from netlathe.deploy.predict import ImagePrediction, list_images, predict_each, predictions_csv
from netlathe.errors import Exit
from netlathe.escapes import escape_line
from netlathe.files import write_text


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER...")
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Classes per image.")
@click.option("--csv", "table", type=click.Path(path_type=Path), callback=check_writable, metavar="FILE",
              help="A table with a row per image instead, written when all are answered.")  # fmt: skip
@click.option("--answer-from", "threshold", type=click.FloatRange(0, 1), default=0.0, metavar="PROBABILITY",
              help="Withhold answers below it; the card says how often those above it are right.")  # fmt: skip
@json_option
def command(out: Path, images: tuple[str, ...], top: int, table: Path | None, threshold: float, as_json: bool) -> None:
    """The most probable classes of images, by the file of a package in its runtime.

    \b
      netlathe predict out/ photo.jpg
      netlathe predict out/ photos/ --csv answers.csv
      netlathe predict out/ photos/*.jpg --top 1 --json

    Of a folder, all images at any depth. The table is made in one pass and appears as a whole; after an interruption
    the same command starts again. Exit code 2 where an image cannot be read; the others are answered all the same.
    """
    if table is not None and as_json:
        raise click.UsageError("--csv and --json both are the answers: give one of them")
    package = load_package(out)
    files = list_images(images)
    with progress_bar("images") as bar:
        predictions = answer(package, files, min(top, len(package.classes)), bar)
        if table is not None:
            faults = write_table(table, predictions, min(top, len(package.classes)), threshold)
        else:
            faults = show(predictions, package, threshold, as_json)
    if not as_json:
        for fault in faults:
            click.echo(f"error: {escape_line(fault)}", err=True)
    if faults:
        raise click.exceptions.Exit(Exit.USAGE)


def answer(package: Package, files: list[Path], top: int, bar: object) -> Iterator[ImagePrediction]:
    """The predictions, with progress where there is a terminal."""
    for done, prediction in enumerate(predict_each(package, files, top=top), 1):
        if callable(bar):
            bar(done, len(files), "")
        yield prediction


def write_table(path: Path, predictions: Iterable[ImagePrediction], top: int, threshold: float) -> list[str]:
    """Write the CSV file and say what is in it; the faults."""
    rows = list(predictions)
    write_text(path, predictions_csv(rows, top, threshold))
    faults = [f"{p.image}: {p.fault}" for p in rows if p.fault]
    sure = [p for p in rows if p.guesses and not p.withheld(threshold)]
    counts = Counter(p.guesses[0].label for p in sure).most_common()
    withheld = len(rows) - len(faults) - len(sure)
    parts = [f"{len(rows) - len(faults):,} images", f"{withheld:,} answers withheld" * bool(withheld)]
    parts += [f"{len(faults):,} cannot be read" * bool(faults)]
    click.echo(f"{path}: {', '.join(filter(None, parts))}")
    for label, count in counts[:10]:
        click.echo(escape_line(f"  {count:>8,}  {label}"))
    if len(counts) > 10:
        click.echo(f"  {sum(count for _, count in counts[10:]):>8,}  of {len(counts) - 10:,} other classes")
    return faults


def show(predictions: Iterable[ImagePrediction], package: Package, threshold: float, as_json: bool) -> list[str]:
    """A line for each image, or one document; the faults."""
    if not as_json:
        faults = []
        for p in predictions:
            if p.fault:
                faults.append(f"{p.image}: {p.fault}")
                continue
            guesses = ", ".join(f"{g.label} {100 * g.probability:.1f} %" for g in p.guesses)
            click.echo(escape_line(f"{p.image}: {f'withheld ({guesses})' if p.withheld(threshold) else guesses}"))
        return faults
    answers = list(predictions)
    rows = [{"image": p.image, "classes": [g._asdict() for g in p.guesses], "withheld": p.withheld(threshold),
             "fault": p.fault or None} for p in answers]  # fmt: skip
    faults = [f"{p.image}: {p.fault}" for p in answers if p.fault]
    emit("predict", {"package": str(package.folder), "images": rows}, faults)
    return faults
