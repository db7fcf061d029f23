"""What the verbs share: networks as arguments, one JSON document on stdout, tables."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.arch.net import Net
from netlathe.arch.network import Network
from netlathe.cli.streams import terminal_stream
from netlathe.errors import NetlatheError
from netlathe.escapes import escape_line, escape_lines
from netlathe.load import load_any
from netlathe.read.module import InputShape
from netlathe.units import read_digits

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from netlathe.read.example import Example
    from netlathe.report.page import Page
    from netlathe.tables.table import Table

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
resolution_option = click.option("--resolution", type=int, metavar="PX", help="Square images of this size instead.")
batch_option = click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at a time.")


def check_writable(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """The file of an option, refused before anything slow starts where it could not be written."""
    if path is not None:
        from netlathe.files import require_writable

        require_writable(path)
    return path


html_option = click.option(
    "--html",
    type=click.Path(path_type=Path),
    callback=check_writable,
    metavar="FILE",
    help="Also as a page with charts that opens offline.",
)
UNINDENTED = 4_000_000  # letters of a document from which on it is one line
WIDE = "netlathe.wide"  # in the context of a command: whether --wide was given
EXAMPLE = "netlathe.example"  # and what --example names
nets_argument = click.argument("nets", nargs=-1, required=True, metavar="NET...")


def input_shape(text: str) -> InputShape:
    """3x224x224, without the batch axis; 128:int64 where the input is no float."""
    sizes, _, kind = text.partition(":")
    parts = sizes.lower().split("x")
    numbers = [size for part in parts if (size := read_digits(part))]
    if len(numbers) < len(parts):
        raise click.BadParameter(f"{text!r} is not a shape: write 3x224x224 (channels, height, width)")
    return InputShape(tuple(numbers), kind)


def input_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--input, and --example for what shapes do not say."""
    shapes = click.option(
        "--input",
        "inputs",
        type=input_shape,
        multiple=True,
        metavar="SHAPE",
        help="Shape of an input, such as 3x224x224; again for each further one.",
    )
    example = click.option(
        "--example",
        metavar="FILE:FUNCTION",
        expose_value=False,
        callback=lambda context, _, text: context.meta.update({EXAMPLE: text}),
        help="Function that returns what a torch module's forward is called with: tensors, dictionaries, keywords.",
    )
    return shapes(example(command))


def given_example() -> Example | None:
    """What --example returns; None where it was not given."""
    context = click.get_current_context(silent=True)
    text = context.meta.get(EXAMPLE) if context is not None else None
    if text is None:
        return None
    from netlathe.read.example import read_example

    return read_example(text)


def networks(texts: Iterable[str], resolution: int | None = None) -> list[Network]:
    """The expressions that the arguments name, at a resolution if one is given; equal names are told apart."""
    return [net.expression() for net in any_networks(texts, resolution)]


def any_networks(texts: Iterable[str], resolution: int | None = None, inputs: Sequence[InputShape] = ()) -> list[Net]:
    """As `networks`, of every kind: torch modules and ONNX files too; `inputs` are those of all."""
    if resolution is not None and inputs:
        raise NetlatheError("--resolution and --input both say the size", code="usage", hint="give one of them")
    example = given_example()
    if example is not None and (inputs or resolution is not None):
        message = "--example says what the inputs are: leave --input and --resolution out"
        raise NetlatheError(message, code="usage")
    nets = [net for text in texts for net in load_any(text, inputs, resolution, example)]
    names = [network.name for network in nets]
    return [
        network.renamed(f"{network.name}@{'x'.join(map(str, network.input[1:]))}")
        if names.count(network.name) > 1
        else network
        for network in nets
    ]


def reading_notes(nets: Iterable[Net]) -> list[str]:
    """What was noticed while networks were read."""
    return [f"{net.name}: {note}" for net in nets for note in net.notes]


@contextmanager
def without_collection() -> Iterator[None]:
    """While it holds, no garbage is looked for: a third of the time where very many operators are made, all in use."""
    import gc

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def emit(verb: str, data: Any, warnings: Sequence[str] = ()) -> None:
    """The result of a verb as its JSON document."""
    document = {"schema": f"netlathe.{verb}/1", "ok": True, "data": data, "warnings": list(warnings)}
    text = json.dumps(document)  # Python indents slowly what it writes fast
    click.echo(text if len(text) > UNINDENTED else json.dumps(document, indent=1))


def command_line() -> str:
    """The command that is running, as it would be typed."""
    return shlex.join(["netlathe", *sys.argv[1:]])


def write_page(path: Path, page: Page) -> None:
    """Write a page, complete or not at all, and say where it is on stderr."""
    from netlathe.files import write_text
    from netlathe.report.page import render

    write_text(path, render(page))
    click.echo(f"wrote {path}", err=True)


def single_or_many(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The data of one network, or of several under `networks`."""
    return items[0] if len(items) == 1 else {"networks": items}


def print_warnings(messages: Iterable[str]) -> None:
    """Warnings, on stderr."""
    for message in messages:
        click.echo(f"warning: {escape_lines(message)}", err=True)


wide_option = click.option(
    "--wide",
    is_flag=True,
    expose_value=False,
    callback=lambda context, _, wide: context.meta.update({WIDE: wide}),
    help="Show all columns of a table, however wide the terminal.",
)


def terminal_width() -> int | None:
    """Characters of a line of the terminal; None where stdout is none, or --wide was given."""
    context = click.get_current_context(silent=True)
    wide = context is not None and context.meta.get(WIDE, False)
    if wide or not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def print_table(table: Table) -> None:
    """A table on stdout. A terminal gets the columns that it has room for; a pipe or a file gets all of them."""
    from rich.console import Console

    from netlathe.tables.terminal import UNLIMITED, render

    # Only with a height too does rich keep the width: it takes a dumb terminal for one of 80 characters.
    console = Console(width=UNLIMITED, height=25, highlight=False, emoji=False, file=terminal_stream(sys.stdout))
    render(table, console, terminal_width())


def one_net(text: str, resolution: int | None = None, inputs: Sequence[InputShape] = ()) -> Net:
    """The only network that a text names, of any kind. Raises NetlatheError for a pattern that names several."""
    nets = any_networks([text], resolution, inputs)
    if len(nets) > 1:
        raise NetlatheError(f"{text!r} names {len(nets)} networks, but one is needed", code="load.many")
    return nets[0]


def one_network(text: str, resolution: int | None = None) -> Network:
    """As `one_net`, an expression."""
    return one_net(text, resolution).expression()


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar on stderr, for functions that report (done, total, name); nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import TimeRemainingColumn

    with live_bar(TimeRemainingColumn()) as bar:
        task = bar.add_task(escape_line(title), text="")
        yield lambda done, total, name: bar.update(task, completed=done, total=total, text=escape_line(name))


@contextmanager
def calibration_progress() -> Iterator[Callable[[int, int, str], None]]:
    """Progress of calibrations on stderr: a bar, or a line for each where stderr is not a terminal."""
    with progress_bar("calibrating") as bar:
        titles: set[str] = set()

        def line(done: int, total: int, name: str) -> None:
            title = name.partition(": ")[0]
            if title not in titles:
                titles.add(title)
                click.echo(f"calibrating this machine under {title}, once: about half a minute", err=True)

        yield bar or line


def live_bar(*columns: ProgressColumn) -> Progress:
    """A bar on the terminal behind stderr: a description, the bar, and the field `text` of the task; then `columns`."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    title, text = (TextColumn(field, markup=False) for field in ("{task.description}", "{task.fields[text]}"))
    console = Console(file=terminal_stream(sys.stderr))
    return Progress(title, BarColumn(), text, *columns, console=console, transient=True)
