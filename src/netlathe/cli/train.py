"""netlathe train NET --data photos/ -o run/: a network trained by a recipe, resumable, within a time limit."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlathe.cli.common import emit, json_option, one_network, print_warnings
from netlathe.cli.training import (
    SpanType,
    data_option,
    epochs_option,
    images_of,
    needs_torch,
    px_option,
    recipe_of,
    recipe_option,
    resumable,
    run_folder,
    set_option,
    time_option,
    train_threads_option,
    training_bar,
)
from netlathe.units import show_count, show_span

if TYPE_CHECKING:
    from netlathe.train.classification import TrainingResult


@click.command()
@click.argument("net")
@data_option
@recipe_option
@set_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder of the run.")
@epochs_option
@time_option
@click.option("--batch", type=click.IntRange(1), help="Images a step, instead of the recipe's.")
@px_option
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--weights", metavar="SOURCE", help="To start from: timm:NAME, torchvision:NAME, or a file.")
@click.option("--precision", default="auto", show_default=True, help="A policy; auto measures and takes the fastest.")
@train_threads_option
@click.option("--accumulate", type=click.IntRange(1), default=1, show_default=True, help="Pieces of a step's batch.")
@click.option("--save-every", "save_s", type=SpanType(), default="30s", show_default=True, help="Checkpoints.")
@click.option("--tensorboard", is_flag=True, help="Event files too.")
@json_option
def command(
    net: str,
    data: str,
    recipe_name: str,
    changes: tuple[str, ...],
    output: Path,
    epochs: float | None,
    limit: float | None,
    batch: int | None,
    resolution: int | None,
    seed: int,
    weights: str | None,
    precision: str,
    threads: int | None,
    accumulate: int,
    save_s: float,
    tensorboard: bool,
    as_json: bool,
) -> None:
    """Train NET on images by a recipe. The same command on a folder with a checkpoint goes on where it stopped.

    SOURCE is a folder with a folder a class (and train/, val/, test/ above them, if you like), a CSV with path,label, a
    folder of idx files, an .npz, or digits. `torchrun --nproc-per-node 2 -m netlathe train ...` shares each step.

    \b
      netlathe train resnet20 --recipe digits -o run/
      netlathe train mobilenetv2 --data photos/ --recipe small --time 30m -o run/
      netlathe train resnet18 --data photos/ --recipe finetune --weights timm:resnet18.a1_in1k -o run/
    """
    started = time.monotonic()
    needs_torch()
    recipe = recipe_of(recipe_name, changes, resolution, batch)
    network = one_network(net)
    from netlathe.train.classification import train
    from netlathe.train.folder import TRAINING
    from netlathe.train.recipe_warnings import find_warnings
    from netlathe.train.run import fit_to_images
    from netlathe.train.start import load_starting_weights

    with run_folder(output, TRAINING) as folder:
        splits = images_of(data, recipe)
        fitted = fit_to_images(network, splits.train, recipe)
        warnings = [str(caution) for caution in find_warnings(recipe, fitted, len(splits.train))]
        print_warnings(warnings)
        start = load_starting_weights(weights, network, fitted, recipe.regularise.init, seed)
        with resumable(), training_bar(network.name) as progress:
            result = train(
                network,
                splits,
                recipe,
                folder,
                seed=seed,
                epochs=epochs,
                time=limit,
                started=started,
                weights=start.tensors,
                origin=start.origin,
                normal=start.normal,
                precision=precision,
                threads=threads,
                accumulate=accumulate,
                tensorboard=tensorboard,
                save_s=save_s,
                progress=progress,
            )
    emit("train", asdict(result) | {"images_report": splits.report.as_dict()}, warnings) if as_json else show(result)


def show(result: TrainingResult) -> None:
    """What was reached, and where it lies."""
    click.echo(f"{result.network} by {result.recipe}, seed {result.seed}: {result.ended}")
    click.echo(
        f"  validation   {percent(result.validation, result.validation_images)} (the weights were picked on these)"
    )
    click.echo(f"  test         {percent(result.test, result.test_images)}")
    click.echo(
        f"  training     {result.epochs:.1f} epochs, {show_count(result.images)} images in {show_span(result.seconds)}"
        f" ({result.images_per_s:.0f} images/s, {result.precision}, {result.threads} threads)"
    )
    click.echo(f"  cost         {show_count(result.params)} params, {show_count(result.macs)} MACs an image")
    click.echo(
        f"  files        {result.folder}: model.onnx, weights.safetensors, arch.json, metrics.jsonl, result.json"
    )


def percent(share: float | None, count: int) -> str:
    """An accuracy with its 95 % interval by Wilson, and what it rests on."""
    if share is None:
        return "no images"
    from netlathe.stats.intervals import wilson_interval

    low, high = wilson_interval(round(share * count), count)
    return f"{100 * share:.2f} % of {count} images, interval {100 * low:.1f} to {100 * high:.1f} %"
