"""What `search darts` and `search rsws` share: the options of the supernet and of the run, and what is shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netlathe.cli.common import emit, print_warnings
from netlathe.cli.training import SpanType, images_of, needs_torch, recipe_of, resumable, run_folder, set_option
from netlathe.units import show_count, show_span

if TYPE_CHECKING:
    from netlathe.search.oneshot.family import OneShotFamily
    from netlathe.search.oneshot.result import OneShotResult
    from netlathe.search.oneshot.run import OneShotProgress

F = TypeVar("F", bound=Callable[..., Any])
SPACE, DIGITS = "darts", "digits"
TELL_S = 10.0


@dataclass(kw_only=True)
class OneShotRequest:
    """The options of both commands."""

    data: str
    space: str
    operations: str
    steps: int
    channels: int
    cells: int
    recipe_name: str | None
    changes: tuple[str, ...]
    images: int | None
    epochs: float | None
    limit: float | None
    batch: int
    lr: float
    weight_decay: float
    seed: int
    threads: int | None
    output: Path
    final_channels: int
    final_cells: int
    order: str = "1"
    alpha_lr: float = 3e-4
    rest: float = 0.0
    partial: int = 1
    remedy: str = "none"
    eigenvalue_every: int = 2
    candidates: int = 1000
    finalists: int = 10


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, listed in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


space_options = together(
    click.option(
        "--space", default=SPACE, show_default=True, metavar="NAME", help="darts, or another of `search spaces`."
    ),
    click.option("--operations", default="", metavar="A,B", help="darts: only these, such as skip,sep3."),
    click.option("--steps", type=click.IntRange(1), default=4, show_default=True, help="darts: nodes of a cell."),
    click.option("--channels", type=click.IntRange(1), default=16, show_default=True, help="darts: of the supernet."),
    click.option("--cells", type=click.IntRange(3), default=8, show_default=True, help="darts: of the supernet."),
)
run_options = together(
    click.option(
        "--recipe", "recipe_name", help="Its pixels and augmentation. [default: digits for digits, else fashion]"
    ),
    set_option,
    click.option("--images", type=click.IntRange(4), help="Only so many training images."),
    click.option("--epochs", type=click.FloatRange(0, min_open=True), help="[default: 50, or what --time allows]"),
    click.option("--time", "limit", type=SpanType(), help="A wall for the whole search, such as 30m."),
    click.option("--batch", type=click.IntRange(2), default=64, show_default=True),
    click.option("--lr", type=float, default=0.025, show_default=True, help="Of the weights, at the start."),
    click.option("--weight-decay", type=float, default=3e-4, show_default=True),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--threads", type=click.IntRange(1), help="Number of torch threads (default: all cores)."),
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder of the search."),
)
eval_options = together(
    click.option("--final-channels", type=click.IntRange(1), default=36, show_default=True, help="Of best.json."),
    click.option("--final-cells", type=click.IntRange(3), default=20, show_default=True, help="Of best.json."),
)


def family_of(asked: OneShotRequest) -> OneShotFamily:
    """What is searched. Raises NetlatheError for an unknown space."""
    from netlathe.search.oneshot.cells import OPERATIONS, Cells
    from netlathe.search.oneshot.family import DartsFamily, SpaceFamily

    if asked.space == SPACE:
        words = tuple(filter(None, asked.operations.split(","))) or OPERATIONS
        return DartsFamily(
            cells=Cells(steps=asked.steps, operations=words, partial=asked.partial),
            channels=asked.channels,
            depth=asked.cells,
            final_channels=asked.final_channels,
            final_depth=asked.final_cells,
        )
    from netlathe.search.spaces import get

    return SpaceFamily(get(asked.space))


def searched(method: str, asked: OneShotRequest, started: float, as_json: bool) -> None:
    """Run a search, and show what it found."""
    needs_torch()
    family = family_of(asked)
    asked.recipe_name = asked.recipe_name or (DIGITS if asked.data == DIGITS else "fashion")
    recipe = recipe_of(asked.recipe_name, asked.changes, None)
    from netlathe.search.oneshot.options import OneShotOptions
    from netlathe.search.oneshot.result import ONE_SHOT
    from netlathe.search.oneshot.run import search_one_shot
    from netlathe.search.oneshot.split import take_subset
    from netlathe.train.checkpoint import read_newest
    from netlathe.train.distributed import join_ranks
    from netlathe.train.run import use_threads

    options = OneShotOptions(
        method=method,  # type: ignore[arg-type]
        order=int(asked.order),
        epochs=asked.epochs or (None if asked.limit else 50.0),
        batch=asked.batch,
        lr=asked.lr,
        final_lr=min(0.001, asked.lr),
        weight_decay=asked.weight_decay,
        alpha_lr=asked.alpha_lr,
        rest=asked.rest,
        remedy=asked.remedy,  # type: ignore[arg-type]
        eigenvalue_every=asked.eigenvalue_every,
        candidates=asked.candidates,
        finalists=asked.finalists,
        seed=asked.seed,
    )
    with run_folder(asked.output, ONE_SHOT) as folder:
        splits = images_of(asked.data, recipe)
        images = splits.train if asked.images is None else take_subset(splits.train, asked.images)
        use_threads(asked.threads, read_newest(folder.path), join_ranks())
        with resumable():
            result = search_one_shot(
                images,
                recipe,
                options,
                family,
                folder,
                space=asked.space,
                time_s=asked.limit,
                started=started,
                progress=teller(method),
            )
    warnings = warned(result)
    print_warnings(warnings)
    if as_json:
        emit("search.oneshot", asdict(result), warnings)
    else:
        show(result, asked)


def teller(method: str) -> Callable[[OneShotProgress], None]:
    """A line an epoch on stderr, and one every ten seconds between."""
    last = time.monotonic()

    def tell(tick: OneShotProgress) -> None:
        nonlocal last
        if tick.line is None and time.monotonic() - last < TELL_S:
            return
        last = time.monotonic()
        words = f"loss {tick.loss:.3f}" if tick.line is None else format_line(tick.line)
        click.echo(f"{method}: {100 * tick.progress:.0f} %, {words}", err=True)

    return tell


def format_line(line: dict[str, Any]) -> str:
    """A line of the log for people."""
    words = [f"epoch {line['epoch'] + 1}", f"loss {line['loss']:.3f}", f"{line['skips']} of {line['edges']} skips"]
    if "entropy" in line:
        words += [f"entropy {line['entropy']:.3f}"]
        words += [f"eigenvalue {line['eigenvalue']:.3g}"] if line["eigenvalue"] is not None else []
        words += [f"supernet {100 * line['validation']:.1f} %, its cell alone {100 * line['discrete']:.1f} %"]
    else:
        words += [f"paths at random {100 * line['validation']:.1f} %, the best {100 * line['best']:.1f} %"]
    return ", ".join(words)


def warned(result: OneShotResult) -> list[str]:
    """What a person must know about the result."""
    from netlathe.search.oneshot.diagnostics import CAVEAT

    if result.method == "rsws":
        return []
    warnings = [*result.alarms, *(f"what helps: {remedy}" for remedy in result.remedies)]
    return [*warnings, CAVEAT]


def show(result: OneShotResult, asked: OneShotRequest) -> None:
    """The genotype, the verdict, and what to do next."""
    from netlathe.cost.totals import totals
    from netlathe.load import load

    [network] = load(f"{result.folder}/best.json")
    cost = totals(network.body, *network.inputs)
    word = "" if result.method == "rsws" else f": {result.verdict}"
    click.echo(f"{result.method} on {result.space}, {result.ended}{word}")
    click.echo(f"  genotype  {result.text}")
    click.echo(f"  picked    {result.said}")
    click.echo(f"  search    {result.epochs:.1f} epochs, {result.steps:,} steps in {show_span(result.seconds)}")
    click.echo(f"  network   {result.folder}/best.json: {show_count(cost.params)} params, {show_count(cost.macs)} MACs")
    click.echo(
        f"  train it  netlathe train {result.folder}/best.json --data {asked.data} --recipe {asked.recipe_name} -o ..."
    )
    if result.method != "rsws":
        click.echo(
            f"  pair it   netlathe search rsws --data {asked.data} --time {max(1, round(result.seconds))}s ... -o ..."
            " (the same supernet and time: what the gradients have to beat)"
        )
