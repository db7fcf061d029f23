"""netlathe experiment --nets a,b --recipes x,y -o study/: was it the recipe, the architecture, or chance?"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.arch.network import Network
from netlathe.cli.common import emit, json_option, print_table, print_warnings, wide_option
from netlathe.cli.image_options import image_options
from netlathe.cli.training import (
    data_option,
    epochs_option,
    images_of,
    needs_torch,
    px_option,
    recipe_of,
    run_folder,
    set_option,
    time_option,
    train_threads_option,
)
from netlathe.errors import NetlatheError
from netlathe.load import load
from netlathe.tables.table import text_table

if TYPE_CHECKING:
    from netlathe.runfolder.folder import RunFolder
    from netlathe.train.experiment.findings import ExperimentFindings
    from netlathe.train.experiment.grid import Experiment, ExperimentRun
    from netlathe.train.experiment.trainer import ExperimentSetup
    from netlathe.train.images.options import ImageOptions
    from netlathe.train.recipe import Recipe

PAGE, DATA = "table.md", "table.json"


@click.command()
@click.option("--nets", metavar="A,B", help="Networks; a zoo name may have choices: mobilenetv1:alpha=0.5.")
@click.option("--recipes", metavar="X,Y", help="Recipes, by name or file.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Runs of every cell.")
@click.option("--fractions", default="1", show_default=True, metavar="F,G", help="Parts of the training images.")
@data_option
@set_option
@px_option
@epochs_option
@click.option("--equal", default="epochs", show_default=True, help="What runs get alike: epochs, images or macs.")
@time_option
@click.option(
    "--precision", default="auto", show_default=True, help="auto: what the first run of a network finds best."
)
@train_threads_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder of the study.")
@click.option("--show", is_flag=True, help="Only the tables of what has finished; trains nothing.")
@wide_option
@image_options
@json_option
def command(
    nets: str | None,
    recipes: str | None,
    seeds: int,
    fractions: str,
    data: str,
    changes: tuple[str, ...],
    resolution: int | None,
    epochs: float | None,
    equal: str,
    limit: float | None,
    precision: str,
    threads: int | None,
    output: Path,
    show: bool,
    options: ImageOptions,
    as_json: bool,
) -> None:
    """Train every network by every recipe with several seeds, and say which differences are more than chance.

    The tables separate architecture, recipe, their interaction and seed noise, with intervals; "no difference shown" is
    an answer. Written to table.md and table.json in the folder of the study. The same command goes on where it was
    stopped; with more networks, recipes, fractions or seeds it trains only what is new.

    \b
      netlathe experiment --nets resnet20,mobilenetv2 --recipes digits,small -o study/
      netlathe experiment --nets resnet20,vit_tiny --recipes small --fractions 0.1,0.3,1 --data photos/ -o study/
      netlathe experiment --show -o study/
    """
    needs_torch()
    from netlathe.train.experiment import grid
    from netlathe.train.folder import images_content

    if show:
        report(grid.load_experiment(output), output, as_json)
        return
    if nets is None or recipes is None:
        missing = " and ".join(
            f"--{name}" for name, value in {"nets": nets, "recipes": recipes}.items() if value is None
        )
        hint = "for example: netlathe experiment --nets resnet20,resnet32 --recipes digits,small -o study/"
        raise NetlatheError(f"{missing} is missing", code="usage", hint=hint)
    networks = networks_of(nets)
    chosen = recipes_of(recipes, changes, resolution)
    shares = fractions_of(fractions)
    with run_folder(output, grid.EXPERIMENT) as folder:
        setup = prepare_setup(networks, chosen, data, options, epochs, equal)
        experiment = grid.plan_experiment(
            list(networks),
            list(setup.recipes),
            shares,
            range(seeds),
            content=setup.content,
            settings={
                "data": data,
                "images": images_content(setup.splits)["key"],
                "resolution": resolution,
                "changes": list(changes),
                "epochs": epochs,
                "equal": equal,
                "seconds": limit,
                "precision": precision,
            },
            facts=facts(setup),
        )
        failed = train_pending(experiment, folder, setup, limit, precision, threads)
    if failed:
        run, error = next(iter(failed.items()))
        raise NetlatheError(
            f"{len(failed)} of {len(experiment.runs)} runs failed; {run}: {error.message}",
            code="study.failed",
            path=str(output),
            hint=f"{error.hint}\nthe same command tries them again; --show prints the tables of the others".lstrip(),
        )
    report(experiment, output, as_json)


def prepare_setup(
    networks: Mapping[str, Network],
    recipes: Mapping[str, Recipe],
    data: str,
    options: ImageOptions,
    epochs: float | None,
    equal: str,
) -> ExperimentSetup:
    """The images at a size that serves all recipes, and everything that the runs share."""
    from netlathe.train.experiment.trainer import EQUAL, ExperimentSetup
    from netlathe.train.recipe_warnings import find_warnings

    if equal not in EQUAL:
        raise click.BadParameter(f"{equal!r} is not one of {', '.join(EQUAL)}", param_hint="--equal")
    largest = max(recipes.values(), key=lambda r: max(r.resolution, ceil(r.evaluate.resolution / r.evaluate.crop)))
    splits = images_of(data, largest, options)
    count = len(splits.train)
    print_warnings(
        str(warning)
        for net in networks.values()
        for recipe in recipes.values()
        for warning in find_warnings(recipe, net, count)
    )
    return ExperimentSetup(networks, recipes, splits, epochs, equal)


def train_pending(
    experiment: Experiment,
    folder: RunFolder,
    setup: ExperimentSetup,
    limit: float | None,
    precision: str,
    threads: int | None,
) -> dict[ExperimentRun, NetlatheError]:
    """Do what is left of an experiment; the runs that failed. What an interruption leaves is kept."""
    from netlathe.train.experiment import grid
    from netlathe.train.experiment.trainer import make_trainer

    finished = len(grid.read_results(experiment, folder.path))
    click.echo(f"{len(experiment.runs)} runs, {finished} of them finished", err=True)
    run = make_trainer(setup, time=limit, precision=precision, threads=threads)
    try:
        return grid.run_pending(experiment, folder, run, lambda line: click.echo(line, err=True))
    except KeyboardInterrupt:
        click.echo("what was trained is kept: the same command goes on, --show prints what there is", err=True)
        raise


def report(experiment: Experiment, folder: Path, as_json: bool) -> None:
    """Write the tables of the runs that have finished, and print them. Raises NetlatheError where none has."""
    from netlathe.files import write_text
    from netlathe.train.experiment import grid
    from netlathe.train.experiment.findings import analyse, to_document
    from netlathe.train.experiment.table import render_markdown

    findings = analyse(experiment, grid.read_results(experiment, folder))
    data = to_document(findings)
    write_text(folder / PAGE, render_markdown(findings))
    write_text(folder / DATA, json.dumps(data, indent=1, allow_nan=False) + "\n")
    if as_json:
        emit("experiment", data)
    else:
        print_findings(findings, folder)


def print_findings(findings: ExperimentFindings, folder: Path) -> None:
    """The tables and notes on stdout."""
    from netlathe.train.experiment.table import build_tables

    for table in build_tables(findings):
        print_table(text_table(table.columns, table.rows, title=table.title))
    for note in findings.notes:
        click.echo(f"- {note}")
    click.echo(f"written: {folder / PAGE}, {folder / DATA}")


def facts(setup: ExperimentSetup) -> dict[str, Any]:
    """What the tables say about networks and images, and the command that makes the experiment again."""
    counted = {"train": setup.splits.train, "validation": setup.splits.validation, "test": setup.splits.test}
    return {
        "networks": {name: setup.costs(name) for name in setup.networks},
        "classes": len(setup.splits.train.classes),
        **{f"{name}_images": len(images) if images is not None else 0 for name, images in counted.items()},
        "command": shlex.join(["netlathe", *sys.argv[1:]]),
    }


def networks_of(texts: str) -> dict[str, Network]:
    """The networks by name, or by what was typed where it has choices. Raises NetlatheError for repeats."""
    pairs = [(text, network) for text in parts(texts) for network in load(text)]
    names = [network.name for _, network in pairs]
    labels = [text if "=" in text or names.count(network.name) > 1 else network.name for text, network in pairs]
    refuse_twice("network", labels)
    return {label: network for label, (_, network) in zip(labels, pairs, strict=True)}


def recipes_of(texts: str, changes: tuple[str, ...], resolution: int | None) -> dict[str, Recipe]:
    """The recipes with changes on top, by their names without them. Raises NetlatheError for repeats."""
    pairs = [(Path(text).stem, recipe_of(text, changes, resolution)) for text in parts(texts)]
    refuse_twice("recipe", [name for name, _ in pairs])
    return dict(pairs)


def refuse_twice(what: str, names: list[str]) -> None:
    """Raise NetlatheError for a name that is given twice."""
    for name in names:
        if names.count(name) > 1:
            raise NetlatheError(f"the {what} {name} is given twice", code="study.twice", hint="leave one of them out")


def fractions_of(text: str) -> list[float]:
    """0.1,0.3,1 as numbers. Raises NetlatheError for anything else."""
    try:
        return [float(part) for part in parts(text)]
    except ValueError:
        hint = "write --fractions 0.1,0.3,1"
        raise NetlatheError(f"{text!r} are not fractions", code="study.fraction", hint=hint) from None


def parts(text: str) -> list[str]:
    """a,b,c as a list; key=value belongs to the network before it: mobilenetv1:alpha=0.5,shallow=true,resnet20."""
    texts: list[str] = []
    for part in filter(None, (word.strip() for word in text.split(","))):
        if texts and ":" in texts[-1] and re.fullmatch(r"\w+=.*", part):
            texts[-1] += f",{part}"
        else:
            texts.append(part)
    return texts
