"""netlathe train NET --data photos/ -o run/: a network trained by a recipe, resumable, within a time limit."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.cli.common import emit, json_option, one_net, print_warnings
from netlathe.cli.image_options import image_options
from netlathe.cli.training import (
    SpanType,
    balance_options,
    data_option,
    epochs_option,
    folds_of,
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
    from netlathe.train.cross_validation import CrossValidation
    from netlathe.train.images.options import ImageOptions


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
@click.option("--folds", type=click.IntRange(2), metavar="K",
              help="For small sets: K trainings that each hold out a part, then one on all images.")  # fmt: skip
@balance_options
@image_options
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
    folds: int | None,
    options: ImageOptions,
    as_json: bool,
) -> None:
    """Train NET on images by a recipe. The same command on a folder with a checkpoint goes on where it stopped.

    SOURCE is a folder with a folder a class (and train/, val/, test/ above them, if you like), a CSV with path,label, a
    folder of idx files, an .npz, or digits. `torchrun --nproc-per-node 2 -m netlathe train ...` shares each step.

    \b
      netlathe train resnet20 --recipe digits -o run/
      netlathe train mobilenetv2 --data photos/ --recipe small --time 30m -o run/
      netlathe train resnet18 --data photos/ --recipe finetune --weights timm:resnet18.a1_in1k -o run/
      netlathe train resnet20 --data few/ --recipe digits --folds 5 -o run/
    """
    started = time.monotonic()
    if folds is not None and options.validation is not None:
        raise click.UsageError("--folds and --validation both say what is held out: give one of them")
    needs_torch()
    recipe = recipe_of(recipe_name, changes, resolution, batch)
    network = one_net(net).trainable()
    from netlathe.read.module_sources import names_weights
    from netlathe.train.classification import train
    from netlathe.train.cross_validation import cross_validate
    from netlathe.train.folder import TRAINING
    from netlathe.train.recipe_warnings import find_warnings
    from netlathe.train.run import fit_to_images
    from netlathe.train.start import load_starting_weights

    with run_folder(output, TRAINING) as folder:
        folded = folds_of(data, folds, recipe, options) if folds is not None else None
        splits = folded.whole if folded is not None else images_of(data, recipe, options)
        fitted = fit_to_images(network, splits.train, recipe)
        warnings = [str(caution) for caution in find_warnings(recipe, fitted, len(splits.train))]
        if weights is None and names_weights(net):
            warnings.append(f"{net} starts from random weights: --weights {net} starts from the published ones")
        print_warnings(warnings)
        start = load_starting_weights(weights, network, fitted, recipe.regularise.init, seed)
        with resumable(), training_bar(network.name) as progress:
            how: dict[str, Any] = {
                "seed": seed,
                "epochs": epochs,
                "time": limit,
                "weights": start.tensors,
                "origin": start.origin,
                "normal": start.normal,
                "precision": precision,
                "threads": threads,
                "accumulate": accumulate,
                "tensorboard": tensorboard,
                "save_s": save_s,
                "progress": progress,
            }
            crossed = None
            if folded is not None:
                result, crossed = cross_validate(network, folded, recipe, folder, **how)
            else:
                result = train(network, splits, recipe, folder, started=started, **how)
    if as_json:
        more = {"cross_validation": asdict(crossed) if crossed else None, "images_report": splits.report.as_dict()}
        emit("train", asdict(result) | more, warnings)
    else:
        show(result, crossed)


def show(result: TrainingResult, crossed: CrossValidation | None) -> None:
    """What was reached, and where it lies."""
    click.echo(f"{result.network} by {result.recipe}, seed {result.seed}: {result.ended}")
    if crossed is not None:
        folds = ", ".join(f"{100 * hits / images:.1f}" for hits, images in crossed.by_fold)
        click.echo(f"  {len(crossed.by_fold)} folds      {percent(crossed.share, crossed.images)}; by fold {folds}")
    else:
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
