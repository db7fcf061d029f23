"""netlathe report PATH: the page of a fit, a search or a document of any verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlathe.cli.common import command_line, emit, json_option, write_page

if TYPE_CHECKING:
    from netlathe.report.page import Page


@click.command()
@click.argument("path", metavar="PATH")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="[default: beside PATH, as .html]"
)
@json_option
def command(path: str, output: Path | None, as_json: bool) -> None:
    """One HTML file with charts that opens from a disk, offline, of something that Netlathe wrote.

    PATH is the folder of a fit or a search, a card.json, or the document that a verb printed with --json; - reads that
    from the standard input.

    \b
      netlathe report out/
      netlathe choose --latency 15ms --json > choice.json && netlathe report choice.json
      netlathe device roofline resnet50 --device rpi-5 --json | netlathe report - -o roofline.html
    """
    from dataclasses import replace

    from netlathe.report.documents import STDIN, page_of

    page = page_of_search(Path(path)) if (Path(path) / "search.db").exists() else page_of(path)
    if output is None:
        if path == STDIN:
            raise click.UsageError("a document from the standard input needs -o FILE")
        output = Path(path) / "report.html" if Path(path).is_dir() else Path(path).with_suffix(".html")
    write_page(output, page if page.command else replace(page, command=command_line()))
    if as_json:
        emit("report", {"file": str(output), "title": page.title, "bytes": output.stat().st_size})


def page_of_search(folder: Path) -> Page:
    """The page of the folder of a search, as far as it has come."""
    from netlathe.cli.search_show import document
    from netlathe.report.pages.search import show

    return show(document(folder))
