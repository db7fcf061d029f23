"""What the verbs that train share: images, a recipe with changes, a time limit, a bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.errors import MissingExtra
from netlathe.escapes import escape_line
from netlathe.runfolder.folder import RunFolder, RunKind, open_run
from netlathe.units import seconds

if TYPE_CHECKING:
    from netlathe.train.images import FoldedSplits, Splits
    from netlathe.train.images.options import ImageOptions
    from netlathe.train.job import TrainingProgress
    from netlathe.train.recipe import Recipe


class SpanType(click.ParamType[float]):
    """A time with a unit, in seconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return value if isinstance(value, float) else seconds(str(value))


def check_images(context: click.Context, parameter: click.Parameter, source: str | None) -> str | None:
    """A source of images, refused before torch is imported or anything is measured where there is none."""
    if source not in (None, "digits") and not Path(source).expanduser().exists():
        from netlathe.train.images.load import find_source

        find_source(source)
    return source


def is_training(net: str) -> bool:
    """Whether this is the folder of a training."""
    return all((Path(net) / name).is_file() for name in ("run.json", "arch.json", "weights.safetensors"))


data_option = click.option(
    "--data", default="digits", show_default=True, callback=check_images, metavar="SOURCE",
    help="A folder, a CSV, an .npz, or digits.",
)  # fmt: skip
recipe_option = click.option("--recipe", "recipe_name", default="small", show_default=True, help="A name or a file.")
set_option = click.option(
    "--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe, such as optimiser.lr."
)
epochs_option = click.option("--epochs", type=click.FloatRange(0, min_open=True), help="Instead of the recipe's.")
time_option = click.option(
    "--time", "limit", type=SpanType(), help="A wall: everything is written by then, such as 30m."
)
px_option = click.option("--resolution", type=click.IntRange(8), metavar="PX", help="Of training and test.")
train_threads_option = click.option(
    "--threads", type=click.IntRange(1), help="Number of torch threads (default: all cores)."
)


def needs_torch() -> None:
    """Raise MissingExtra, before any work, where the extra is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("torch", "train") from None


def balance_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --class-weights and --balanced, which become changes of the recipe at the end of `changes`."""

    @click.option(
        "--class-weights",
        type=click.Choice(["inverse", "effective"]),
        help="Errors on rare classes weigh more: by one over their images, or by Cui et al.'s number.",
    )
    @click.option(
        "--balanced",
        type=click.FloatRange(0, 1),
        is_flag=False,
        flag_value=1.0,
        metavar="[0..1]",
        help="Rare classes are drawn more often: 1 (or nothing) as often as others, 0.5 by square roots.",
    )
    @wraps(function)
    def command(*args: Any, class_weights: str | None, balanced: float | None, **options: Any) -> Any:
        words = [f"balance.weights={class_weights}"] if class_weights else []
        words += [f"balance.sampling={balanced:g}"] if balanced is not None else []
        return function(*args, **options | {"changes": (*options["changes"], *words)})  # fmt: skip

    return command


def recipe_of(name: str, changes: tuple[str, ...], resolution: int | None, batch: int | None = None) -> Recipe:
    """The recipe of that name or file with changes on top; `resolution` is for training and test."""
    from netlathe.train.recipefile import load

    return load(name, settings(changes, resolution, batch))


def settings(changes: tuple[str, ...], resolution: int | None, batch: int | None) -> list[str]:
    """Changes of a recipe, with those that have options of their own."""
    words = [*changes]
    if resolution is not None:
        words += [f"resolution={resolution}", f"evaluate.resolution={resolution}"]
    if batch is not None:
        words += [f"batch={batch}"]
    return words


def images_of(source: str, recipe: Recipe, options: ImageOptions | None = None) -> Splits:
    """The images of a source, large enough for the recipe; what is odd about them goes to stderr."""
    from netlathe.train.images import load
    from netlathe.train.images.options import PLAIN

    with images_bar() as progress:
        splits = load(source, size=image_side(recipe), options=options or PLAIN, progress=progress)
    print_report(splits)
    return splits


def folds_of(source: str, folds: int, recipe: Recipe, options: ImageOptions) -> FoldedSplits:
    """The same for cross-validation."""
    from netlathe.train.images import load_folds

    with images_bar() as progress:
        folded = load_folds(source, folds, size=image_side(recipe), options=options, progress=progress)
    print_report(folded.whole)
    return folded


@contextmanager
def images_bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar for `images.load`, where there is a terminal."""
    from netlathe.cli.common import progress_bar

    with progress_bar("images") as bar:
        yield bar and (lambda what, done, total: bar(done, total, what))


def image_side(recipe: Recipe) -> int:
    """The short side that images of a recipe need, px."""
    return max(recipe.resolution, ceil(recipe.evaluate.resolution / recipe.evaluate.crop))


def print_report(splits: Splits) -> None:
    """What there is to say about images, on stderr."""
    for line in splits.report.lines() * speaks():
        click.echo(line, err=True)


def speaks() -> bool:
    """Whether this is the process that talks: the first that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def training_bar(title: str) -> Iterator[Callable[[TrainingProgress], None]]:
    """A bar on stderr; where that is no terminal, a line every ten seconds."""
    from netlathe.train.progress import format_progress, throttle

    if not sys.stderr.isatty():
        yield throttle(10.0, lambda tick: click.echo(f"{title}: {format_progress(tick)}", err=True))
        return
    from netlathe.cli.common import live_bar

    with live_bar() as bar:
        task = bar.add_task(escape_line(title), text="")
        yield lambda tick: bar.update(task, completed=tick.seen, total=tick.total, text=format_progress(tick))


def run_folder(output: Path, kind: RunKind) -> AbstractContextManager[RunFolder]:
    """The folder of a run, locked before anything slow starts; warnings about it go to stderr."""
    return open_run(output, kind, writes=speaks(), say=lambda line: click.echo(f"warning: {line}", err=True))


@contextmanager
def resumable() -> Iterator[None]:
    """Says, after Ctrl-C, that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("everything is saved; the same command goes on from there", err=True)
        raise
