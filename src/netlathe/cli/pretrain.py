"""netlathe pretrain NET --data photos/ -o run/: a network learns from images alone what it is later fine-tuned from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netlathe.cli.common import emit, json_option, one_network
from netlathe.cli.image_options import image_options
from netlathe.cli.training import (
    SpanType,
    data_option,
    epochs_option,
    images_of,
    needs_torch,
    px_option,
    resumable,
    run_folder,
    set_option,
    settings,
    time_option,
    train_threads_option,
    training_bar,
)
from netlathe.units import show_count, show_span

if TYPE_CHECKING:
    from netlathe.train.images.options import ImageOptions
    from netlathe.train.ssl.feature_score import FeatureScore
    from netlathe.train.ssl.pretraining import PretrainingResult


@click.command()
@click.argument("net")
@data_option
@click.option("--method", "method_name", default="simclr-dcl", show_default=True, help="simclr-dcl, simclr or moco-v2.")
@click.option("--temperature", type=click.FloatRange(0, min_open=True), help="Of the loss, instead of the method's.")
@set_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder of the run.")
@epochs_option
@time_option
@click.option("--batch", type=click.IntRange(2), help="Images a step, instead of the method's.")
@px_option
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--weights", metavar="SOURCE", help="To start from: timm:NAME, torchvision:NAME, or a file.")
@click.option("--precision", default="auto", show_default=True, help="A policy; auto measures and takes the fastest.")
@train_threads_option
@click.option("--save-every", "save_s", type=SpanType(), default="30s", show_default=True, help="Checkpoints.")
@click.option("--tensorboard", is_flag=True, help="Event files too.")
@image_options
@json_option
def command(
    net: str,
    data: str,
    method_name: str,
    temperature: float | None,
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
    save_s: float,
    tensorboard: bool,
    options: ImageOptions,
    as_json: bool,
) -> None:
    """Pretrain NET on images by a self-supervised method; labels are used only to say what its features are worth.

    SOURCE is what `netlathe train` reads. The same command on a folder with a checkpoint goes on where it stopped.

    \b
      netlathe pretrain resnet18 --data photos/ --time 30m -o pre/
      netlathe train resnet18 --data photos/ --recipe finetune --weights pre/weights.safetensors -o run/
    """
    started = time.monotonic()
    needs_torch()
    network = one_network(net)
    from netlathe.train.folder import PRETRAINING
    from netlathe.train.recipefile import set_fields
    from netlathe.train.run import fit_to_images
    from netlathe.train.ssl.method import find_method
    from netlathe.train.ssl.pretraining import pretrain
    from netlathe.train.start import load_starting_weights

    method = find_method(method_name)
    if words := settings(changes, resolution, batch):
        method = replace(method, recipe=set_fields(method.recipe, words))
    if temperature is not None:
        method = replace(method, temperature=temperature)
    recipe = method.recipe
    with run_folder(output, PRETRAINING) as folder:
        splits = images_of(data, recipe, options)
        start = load_starting_weights(
            weights, network, fit_to_images(network, splits.train, recipe), recipe.regularise.init, seed
        )
        with resumable(), training_bar(f"{network.name}, {method.name}") as progress:
            result = pretrain(
                network,
                splits,
                method,
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
                tensorboard=tensorboard,
                save_s=save_s,
                say=lambda line: click.echo(line, err=True),
                progress=progress,
            )
    emit("pretrain", asdict(result) | {"images_report": splits.report.as_dict()}) if as_json else show(result)


def show(result: PretrainingResult) -> None:
    """What the features are worth, before and after, and where the weights lie."""
    click.echo(f"{result.network} by {result.method}, seed {result.seed}: {result.ended}")
    for name, judged in result.after.items():
        click.echo(f"  {name}, {judged.images} images")
        for what, judge in (("knn", "kNN, 20 neighbours"), ("probe", "linear probe")):
            picked = " (the weights were picked on this)" if (name, what) == ("validation", "knn") else ""
            click.echo(f"    {judge:<19}{share(result.after, name, what)}, {result.start}: "
                       f"{share(result.before, name, what)}{picked}")  # fmt: skip
    if result.loss is not None:
        click.echo(f"  loss         {result.loss:.3f}; where all views look alike {result.chance:.3f}")
    click.echo(
        f"  training     {result.epochs:.1f} epochs, {show_count(result.images)} images in {show_span(result.seconds)}"
        f" ({result.images_per_s:.0f} images/s, {result.precision}, {result.threads} threads)"
    )
    click.echo(f"  files        {result.folder}: weights.safetensors, arch.json, metrics.jsonl, result.json")
    click.echo(
        f"  next         netlathe train {result.folder}/arch.json --weights {result.folder}/weights.safetensors ..."
    )


def share(sets: Mapping[str, FeatureScore], name: str, what: str) -> str:
    """81.2 % (76.5 to 85.1)"""
    value = getattr(sets[name], what)
    low, high = getattr(sets[name], f"{what}_interval")
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
