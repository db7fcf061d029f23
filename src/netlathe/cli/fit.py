"""netlathe fit photos/ --latency 10ms -o out/: images and a budget in, a verified deployable network out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from netlathe.bench.runtimes import RUNTIMES
from netlathe.cli.common import emit, json_option, progress_bar, warn
from netlathe.cli.training import Span, folder_of, needs_torch, resumable, set_option, train_threads_option
from netlathe.errors import Exit, NetlatheError
from netlathe.units import byte_count, mac_count, milliseconds


@click.command()
@click.argument("data")
@click.option("--latency", metavar="TIME", help="Of one image, such as 10ms.")
@click.option("--memory", metavar="SIZE", help="Weights and peak activations, such as 64MB.")
@click.option("--size", metavar="SIZE", help="Of the file, such as 8MB.")
@click.option("--macs", metavar="COUNT", help="Multiply-accumulates for one image, such as 300M.")
@click.option("--device", metavar="CARD", help="Another device than this machine: predicted, not measured.")
@click.option("--runtime", "runtimes", multiple=True, type=click.Choice(list(RUNTIMES)), help="[default: onnxruntime]")
@click.option("--run-threads", type=click.IntRange(1), default=1, show_default=True, help="Of the deployed network.")
@click.option("--time", "limit", type=Span(), help="A wall for everything, such as 20m.  [default: 15m]")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="Of the final training, instead of a time.")
@click.option("--resolution", type=click.IntRange(32), default=160, show_default=True, help="The finest that is tried.")
@click.option("--recipe", "recipe_name", default="small", show_default=True, help="A name or a file.")
@set_option
@click.option("--seed", type=int, default=0, show_default=True)
@train_threads_option
@click.option("--precision", default="auto", show_default=True, help="Of training; auto measures.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder of the fit.")
@json_option
def command(
    data: str,
    latency: str | None,
    memory: str | None,
    size: str | None,
    macs: str | None,
    device: str | None,
    runtimes: tuple[str, ...],
    run_threads: int,
    limit: float | None,
    epochs: float | None,
    resolution: int,
    recipe_name: str,
    changes: tuple[str, ...],
    seed: int,
    threads: int | None,
    precision: str,
    output: Path,
    as_json: bool,
) -> None:
    """The network for these images and this budget: chosen, trained, exported, verified, with its evidence.

    \b
      netlathe fit photos/ --latency 10ms --size 8MB --time 20m -o out/
      netlathe fit digits --macs 5M --time 3m -o out/
      netlathe check out/ ; netlathe predict out/ photo.jpg

    The same command on the folder goes on where it was stopped. Exit code 3: no network keeps the budget.
    """
    started = time.monotonic()
    needs_torch()
    if limit is not None and epochs is not None:
        raise click.UsageError("--time and --epochs both say how long: give one of them")
    folder = folder_of(output)
    from netlathe.choose.budget import Budget
    from netlathe.choose.place import card_place, this_place, within_card
    from netlathe.fit.pipeline import Wish, fit
    from netlathe.train.images import load
    from netlathe.train.recipefile import load as load_recipe

    asked = {"latency": latency, "memory": memory, "size": size, "macs": macs}
    budget = Budget(
        latency=milliseconds(latency) if latency else None,
        memory=byte_count(memory) if memory else None,
        size=byte_count(size) if size else None,
        macs=mac_count(macs) if macs else None,
    )
    if budget == Budget() and device is None:
        hint = "for example: netlathe fit photos/ --latency 10ms -o out/"
        raise NetlatheError("a fit needs at least one limit", code="choose.no_budget", hint=hint)
    if device is None:
        with progress_bar("calibrating") as bar:
            place = this_place(runtimes or ("onnxruntime",), None, run_threads, progress=bar)
    else:
        place = card_place(device, runtimes, None, run_threads)
        budget = within_card(budget, place.card)
    with progress_bar("images") as bar:
        splits = load(data, size=resolution, progress=bar and (lambda what, done, total: bar(done, total, what)))
    for line in splits.report.lines():
        click.echo(line, err=True)
    wish = Wish(
        data=data,
        budget={name: value for name, value in asked.items() if value is not None},
        limits=budget,
        seconds=None if epochs is not None else (limit or 900.0),
        epochs=epochs,
        seed=seed,
        recipe=load_recipe(recipe_name, changes),
        threads=threads,
        precision=precision,
    )

    def bars(title: str) -> Any:
        click.echo(title, err=True)
        return None

    with resumable():
        package, checked = fit(
            wish, splits, place, folder, started=started, say=lambda line: click.echo(line, err=True), progress=bars
        )
    show(package, checked, as_json)


def show(package: Any, checked: Any, as_json: bool) -> None:
    """The findings, and where things are."""
    from netlathe.cli import check

    if checked is None:
        facts = {"package": str(package.folder), "device": package.device, "measured": False}
        if as_json:
            emit("fit", facts)
        else:
            click.echo(f"{package.folder}: for {package.device}, whose latency is predicted; measure it there")
        return
    if as_json:
        emit("fit", check.document(package, checked), checked.warnings)
    else:
        check.show(package, checked)
        if checked.score:
            share = checked.score.accuracy
            click.echo(f"accuracy  {100 * share.share:.1f} % of {share.images} {checked.score.split} images, "
                       f"interval {100 * share.low:.1f} to {100 * share.high:.1f} %")  # fmt: skip
        click.echo(f"files     {package.folder}: model.onnx, card.html, card.json, package.json")
        warn(checked.warnings)
    if not checked.kept and package.budget:
        raise click.exceptions.Exit(Exit.CHECK_FAILED)
