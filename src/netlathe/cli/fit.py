"""netlathe fit photos/ --latency 10ms -o out/: train and verify a network that meets a budget."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from netlathe.cli.budget import budget_options
from netlathe.cli.common import (
    calibration_progress,
    emit,
    json_option,
    print_table,
    print_warnings,
    progress_bar,
    wide_option,
)
from netlathe.cli.image_options import image_options
from netlathe.cli.training import (
    SpanType,
    balance_options,
    check_images,
    needs_torch,
    resumable,
    run_folder,
    set_option,
    train_threads_option,
)
from netlathe.deploy.precision import PRECISION_CHOICES, PrecisionChoice
from netlathe.errors import Exit, NetlatheError
from netlathe.runtimes import registry
from netlathe.sources.zoo import NAME as ZOO
from netlathe.tables.fit import candidates_table
from netlathe.target.device import other_device

if TYPE_CHECKING:
    from netlathe.fit.config import FitConfig
    from netlathe.runfolder.folder import RunFolder
    from netlathe.target.target import Target
    from netlathe.train.images import Splits
    from netlathe.train.images.options import ImageOptions


@click.command()
@click.argument("data", callback=check_images)
@budget_options()
@click.option("--device", metavar="CARD", help="Another device than this machine: predicted, not measured.")
@click.option("--runtime", "runtimes", multiple=True, type=click.Choice(list(registry.runnable())),
              help="Of the deployed network.  [default: ONNX Runtime, and OpenVINO where it is installed]")  # fmt: skip
@click.option("--run-threads", type=click.IntRange(1), default=1, show_default=True, help="Of the deployed network.")
@click.option("--form", type=click.Choice(PRECISION_CHOICES), default="auto", show_default=True,
              help="Of the deployed network; auto takes bf16 or int8 where they are measurably faster.")  # fmt: skip
@click.option("--weights", "weights", multiple=True, metavar="SOURCE",
              help="A pretrained candidate: timm:NAME, torchvision:NAME, NET=FILE.")  # fmt: skip
@click.option("--weights-dir", "weights_dirs", multiple=True, type=click.Path(exists=True, file_okay=False),
              help="A folder of pretrained weights: NAME.safetensors, NAME.pth, or a hub's cache.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Download published weights that keep the budget without asking.")
@click.option("--scratch", is_flag=True, help="Start from random weights, even if pretrained ones keep the budget.")
@click.option("--from", "source", metavar="SOURCE",
              help="Of the candidates: a folder of networks, or of a search.  [default: zoo]")  # fmt: skip
@click.option("--search", "space", metavar="SPACE", help="A candidate found by a search, such as around:resnet20.")
@click.option("--time", "limit", type=SpanType(), help="A wall for everything, such as 20m.  [default: 15m]")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="Of the final training, instead of a time.")
@click.option("--resolution", type=click.IntRange(32), metavar="PX",
              help="The finest that is tried.  [default: the weights' own; from scratch 160]")  # fmt: skip
@click.option("--recipe", "recipe_name", default="small", show_default=True, help="A name or a file.")
@set_option
@click.option("--seed", type=int, default=0, show_default=True)
@train_threads_option
@click.option("--precision", default="auto", show_default=True, help="Of training; auto measures.")
@click.option("--dry-run", is_flag=True, help="The candidates and the plan; nothing is trained or written.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder of the fit.")
@balance_options
@image_options
@wide_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    data: str,
    limits: dict[str, Any],
    device: str | None,
    runtimes: tuple[str, ...],
    run_threads: int,
    form: PrecisionChoice,
    weights: tuple[str, ...],
    weights_dirs: tuple[str, ...],
    yes: bool,
    scratch: bool,
    source: str | None,
    space: str | None,
    limit: float | None,
    epochs: float | None,
    resolution: int | None,
    recipe_name: str,
    changes: tuple[str, ...],
    seed: int,
    threads: int | None,
    precision: str,
    dry_run: bool,
    output: Path | None,
    options: ImageOptions,
    as_json: bool,
) -> None:
    """The network for these images and this budget: chosen, trained, exported, verified, with its evidence.

    \b
      netlathe fit photos/ --latency 10ms --size 8MB --time 20m -o out/
      netlathe fit digits --macs 5M --time 3m -o out/
      netlathe fit out/run.toml -o again/            the same fit once more
      netlathe check out/ ; netlathe predict out/ photo.jpg

    The same command on the folder goes on where it was stopped. Exit code 3: no network keeps the budget.
    """
    started = time.monotonic()
    needs_torch()
    if limit is not None and epochs is not None:
        raise click.UsageError("--time and --epochs both say how long: give one of them")
    if output is None and not dry_run:
        raise click.UsageError("Missing option '-o': the folder of the fit (or --dry-run)")
    from netlathe.fit.config import FILE, FitConfig, read_config
    from netlathe.fit.folder import FIT
    from netlathe.train.recipefile import load as load_recipe

    if Path(data).name == FILE and Path(data).is_file():
        refuse_others(ctx)
        config = read_config(Path(data))
    else:
        config = FitConfig(
            data=data,
            budget=limits,
            seconds=None if epochs is not None else (limit or 900.0),
            epochs=epochs,
            seed=seed,
            recipe=load_recipe(recipe_name, changes),
            threads=threads,
            precision=precision,
            device=other_device(device),
            runtimes=runtimes,
            run_threads=run_threads,
            form=form,
            resolution=resolution,
            weights=weights,
            weights_dir=weights_dirs,
            scratch=scratch,
            search=space,
            images=options,
            source=None if source == ZOO else source,
        )
    with run_folder(output, FIT) if output is not None and not dry_run else nullcontext() as folder:
        run(config, folder, started, as_json, yes)


def refuse_others(ctx: click.Context) -> None:
    """Raise UsageError for options beside a run.toml, which says them all."""
    options = [name for name in ctx.params if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE]
    if others := sorted(set(options) - {"data", "output", "as_json", "dry_run", "yes"}):
        named = ", ".join(others)
        raise click.UsageError(f"run.toml says everything; give no other options beside it ({named}), or edit a copy")


def run(config: FitConfig, folder: RunFolder | None, started: float, as_json: bool, yes: bool = False) -> None:
    """Carry out a fit in a folder; without one, say what would be done."""
    from netlathe.choose.budget import Budget
    from netlathe.fit.pipeline import fit
    from netlathe.target.device import targets_on
    from netlathe.target.here import targets_here
    from netlathe.train.images import load

    if config.limits == Budget() and config.device is None:
        hint = "for example: netlathe fit photos/ --latency 10ms -o out/"
        raise NetlatheError("a fit needs at least one limit", code="choose.no_budget", hint=hint)
    runtimes = config.runtimes or (registry.DEFAULT,)
    check_config(config, runtimes)
    targets: list[Target] = []
    if config.device is not None:
        targets = targets_on(config.device, config.runtimes, None, config.run_threads)
    with progress_bar("images") as bar:
        splits = load(
            config.data,
            size=config.pixels,
            options=config.images,
            progress=bar and (lambda what, done, total: bar(done, total, what)),
        )
    for line in splits.report.lines():
        click.echo(line, err=True)
    if not targets:
        with calibration_progress() as progress:
            targets = targets_here(runtimes, None, config.run_threads, progress=progress)
    say = partial(click.echo, err=True)
    config = with_downloads(config, targets, folder, yes, say)
    if folder is None:
        dry(config, splits, targets, say, as_json)
        return

    def bars(title: str) -> Any:
        click.echo(title, err=True)
        return None

    with resumable():
        package, checked = fit(config, splits, targets, folder, started=started, say=say, progress=bars)
    show(package, checked, as_json)


def with_downloads(
    config: FitConfig, targets: Sequence[Target], folder: RunFolder | None, yes: bool, say: Callable[[str], None]
) -> FitConfig:
    """The configuration with published weights to download, where nobody named any and somebody agrees.

    What was agreed on before in the folder stays. Without a terminal nobody is asked.
    """
    from netlathe.fit.config import FILE, read_config
    from netlathe.fit.local_weights import find_weights, standard_caches
    from netlathe.fit.offers import find_offers, hub_fault
    from netlathe.fit.pipeline import float_limits
    from netlathe.fit.pretrained import count_probed
    from netlathe.units import show_bytes

    if not config.starts_pretrained or config.weights or config.weights_dir:
        return config
    if folder is not None and (folder.path / FILE).is_file():
        old = read_config(folder.path / FILE)
        return replace(config, weights=old.weights)
    asks = folder is not None and sys.stdin.isatty()
    if not yes and (not asks or find_weights(standard_caches())[0]):
        return config
    offers = find_offers(float_limits(config.limits, targets[0], config.form), targets, count_probed(config.seconds))
    if not offers:
        return config
    names, size = "; ".join(map(str, offers)), show_bytes(sum(offer.bytes for offer in offers))
    say(f"published weights that should keep the budget, {size}: {names}")
    if not yes and not click.confirm("Download them?", err=True):
        return config
    if fault := hub_fault():
        say(f"nothing is downloaded: {fault}")
        return config
    return replace(config, weights=tuple(offer.asked for offer in offers))


def check_config(config: FitConfig, runtimes: Sequence[str]) -> None:
    """Raise what is wrong with a fit before anything is read, measured or trained."""
    from netlathe.fit.shortlist import resolve_weights
    from netlathe.sources.registry import open_source
    from netlathe.target.here import ways_here
    from netlathe.train.precision import find_policy

    if config.device is None:
        ways_here(runtimes, None, config.run_threads)
    if config.precision != "auto":
        find_policy(config.precision)
    if config.source is not None:
        open_source(config.source)
    if config.search is not None:
        from netlathe.search.config import load_space

        load_space(config.search)
    for asked in config.weights:
        resolve_weights(asked)


def dry(config: FitConfig, splits: Splits, targets: Sequence[Target], say: Any, as_json: bool) -> None:
    """The candidates with their costs, and how the time would be shared."""
    from netlathe.fit.dry_run import plan_fit

    candidates, plan = plan_fit(config, splits, targets, say)
    if as_json:
        rows = candidates["candidates"]
        emit("fit", {"candidates": rows, "considered": candidates["considered"], "plan": "\n".join(plan)})
        return
    title = f"{candidates['considered']} networks were considered; these would be {candidates['what']}"
    print_table(candidates_table(candidates["candidates"], title))
    for line in plan:
        click.echo(f"plan: {line}")


def show(package: Any, checked: Any, as_json: bool) -> None:
    """The findings, and where things are."""
    from netlathe.cli import check

    if as_json:
        emit("fit", check.document(package, checked), checked.warnings)
    else:
        check.show(package, checked)
        if checked.score:
            share = checked.score.accuracy
            click.echo(f"accuracy  {100 * share.share:.1f} % of {share.images} {checked.score.split} images, "
                       f"interval {100 * share.low:.1f} to {100 * share.high:.1f} %")  # fmt: skip
        click.echo(f"form      {package.model}, {package.precision} under {package.runtime}")
        names = ", ".join([*package.files, "card.html", "card.json", "package.json", "run.toml"])
        click.echo(f"files     {package.folder}: {names}")
        print_warnings(checked.warnings)
    if not checked.kept and package.budget:
        raise click.exceptions.Exit(Exit.CHECK_FAILED)
