"""netlathe recipe: how networks are trained, as data. One thin sub-command a question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from netlathe.cli.common import emit, json_option, one_network, print_table, print_warnings, terminal_width, wide_option
from netlathe.tables.table import Column, make_table
from netlathe.train import recipefile
from netlathe.train.recipe import Published, Recipe, peak_lr
from netlathe.train.recipe_warnings import IMAGENET, find_warnings
from netlathe.train.recipecheck import flatten

PLAIN_EPOCHS, PLAIN_PX = 90, 224  # of torchvision's first weights, the measure of cost
set_option = click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field; again for each further one."
)


@click.group()
def command() -> None:
    """How networks are trained, as data: every hyperparameter with its source.

    RECIPE is the name of a shipped recipe (see `netlathe recipe list`) or a file of your own, such as mine.toml.

    \b
      netlathe recipe show rsb-a3 --net resnet18
      netlathe recipe diff torchvision-v1 torchvision-v2
    """


def format_field_value(x: Any) -> str:
    """A field for people: - where a recipe does not read it."""
    if x is None:
        return "-"
    if isinstance(x, list):
        return ", ".join(map(format_field_value, x)) or "none"
    return f"{x:.6g}" if isinstance(x, float) else json.dumps(x) if isinstance(x, bool) else str(x)


def cost(recipe: Recipe, images: int) -> dict[str, float]:
    """How much a training sees, and that over 90 epochs at 224 px: images, and pixels, which MACs follow."""
    times = recipe.epochs / PLAIN_EPOCHS
    return {
        "images": recipe.epochs * images,
        "steps": recipe.epochs * (images // recipe.batch),
        "images_over_90_epochs": times,
        "pixels_over_90_epochs": times * (recipe.resolution / PLAIN_PX) ** 2,
    }


def as_data(recipe: Recipe) -> dict[str, Any]:
    """A recipe for programs: resolved, with what is derived."""
    derived = {"key": recipefile.recipe_key(recipe), "peak_lr": peak_lr(recipe.optimiser, recipe.batch)}
    return recipefile.resolve(recipe) | {"base": recipe.base} | derived


@command.command("list")
@wide_option
@json_option
def list_(as_json: bool) -> None:
    """The recipes that come with Netlathe; cost is pixels seen over those of 90 epochs at 224 px."""
    recipes = [recipefile.load(name) for name in recipefile.recipe_names()]
    if as_json:
        emit("recipe", {"recipes": [as_data(recipe) for recipe in recipes]})
        return
    print_table(make_table(RECIPE_COLUMNS, recipes))


def show_best(results: Sequence[Published]) -> str:
    """The best published accuracy and its network."""
    best = max(results, key=lambda result: result.top1, default=None)
    return f"{best.top1:.1f} {best.network}" if best else "-"


RECIPE_COLUMNS = (
    Column("recipe", lambda recipe: recipe.name, text=True),
    Column("epochs", lambda recipe: recipe.epochs, "{:g}".format),
    Column("batch", lambda recipe: recipe.batch, priority=2),
    Column("px", lambda recipe: recipe.resolution, priority=2),
    Column("optimiser", lambda recipe: recipe.optimiser.name, priority=2, text=True),
    Column("lr", lambda recipe: peak_lr(recipe.optimiser, recipe.batch), "{:.3g}".format, priority=2),
    Column("decay", lambda recipe: recipe.schedule.decay, priority=3, text=True),
    Column("cost", lambda recipe: cost(recipe, IMAGENET)["pixels_over_90_epochs"], "x {:.2g}".format),
    Column("best top-1 %", lambda recipe: recipe.published, show_best),
)


@command.command()
@click.argument("name", metavar="RECIPE")
@set_option
@click.option("--net", metavar="NET", help="Say what the literature has against training this network by it.")
@click.option("--images", type=click.IntRange(1), default=IMAGENET, show_default=True, help="In an epoch.")
@click.option("--toml", "as_toml", is_flag=True, help="The complete file, to start a recipe of your own.")
@wide_option
@json_option
def show(name: str, settings: tuple[str, ...], net: str | None, images: int, as_toml: bool, as_json: bool) -> None:
    """Every field of a recipe, with its source; ? marks what nobody has checked against it."""
    recipe = recipefile.load(name, settings)
    warnings = [str(caution) for caution in find_warnings(recipe, one_network(net), images)] if net else []
    if as_json:
        emit("recipe", as_data(recipe) | {"cost": cost(recipe, images)}, warnings)
        return
    if as_toml:
        click.echo(recipefile.to_toml(recipe), nl=False)
        print_warnings(warnings)
        return
    rows: list[tuple[str, ...]] = []
    for path, value in flatten(recipefile.resolve(recipe)):
        if path.partition(".")[0] not in recipefile.ABOUT:
            doubted = path in recipe.unconfirmed or path.partition(".")[0] in recipe.unconfirmed
            table = path.partition(".")[0]
            first = table != path and not any(row[0].startswith(f"{table}.") for row in rows)
            note = recipe.notes.get(path, recipe.notes.get(table, "") if first else "")
            rows.append((path, format_field_value(value) + "?" * doubted, note))
    print_fields(f"{recipe.name}: {recipe.title}", ("field", "value", "note"), rows)
    click.echo(f"  source   {recipe.source}")
    if recipe.base:
        click.echo(f"  base     {recipe.base}")
    seen = cost(recipe, images)
    click.echo(
        f"  cost     {seen['images'] / 1e6:,.3g} M images of {images:,}, {seen['steps']:,.0f} steps; "
        f"x {seen['images_over_90_epochs']:.2g} the images and x {seen['pixels_over_90_epochs']:.2g} the pixels of "
        f"{PLAIN_EPOCHS} epochs at {PLAIN_PX} px\n"
        f"  peak lr  {peak_lr(recipe.optimiser, recipe.batch):.4g} at {recipe.batch} images a step\n"
        f"  key      {recipefile.recipe_key(recipe)}"
    )
    if "published" in recipe.notes:
        click.echo(f"  result   {recipe.notes['published']}")
    for result in recipe.published:
        click.echo(f"  result   {result.network} {result.top1:g} %" + (f" ({result.note})" if result.note else ""))
    print_warnings(warnings)


@command.command()
@click.argument("a")
@click.argument("b")
@wide_option
@json_option
def diff(a: str, b: str, as_json: bool) -> None:
    """The way from recipe A to recipe B, field by field, with B's notes; - where a recipe does not read the field."""
    one, other = recipefile.load(a), recipefile.load(b)
    changes = recipefile.diff(one, other)
    notes = [other.notes.get(step.field, "") for step in changes]
    if as_json:
        steps = [step._asdict() | {"note": note} for step, note in zip(changes, notes, strict=True)]
        emit("recipe", {"a": one.name, "b": other.name, "differences": steps})
        return
    if not changes:
        click.echo(f"{one.name} and {other.name} train alike")
        return
    rows = [
        (d.field, format_field_value(d.a), format_field_value(d.b), note)
        for d, note in zip(changes, notes, strict=True)
    ]
    print_fields("", ("field", one.name, other.name, "note"), rows)
    results = {result.network: result.top1 for result in one.published}
    for result in other.published:
        if result.network in results:
            gain = result.top1 - results[result.network]
            click.echo(f"  result   {result.network} {results[result.network]:g} -> {result.top1:g} % ({gain:+.2f})")


def print_fields(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table of texts; a last column that is empty goes without its heading. A pipe gets it without a frame."""
    first, *middle, last = headings
    columns = (
        Column(first, 0, text=True),
        *(Column(heading, i, text=True) for i, heading in enumerate(middle, 1)),
        Column(last if any(row[-1] for row in rows) else "", -1, priority=2, text=True, wraps=True, name=last),
    )
    table = make_table(columns, rows, title=title)
    if terminal_width() is not None:
        print_table(table)
        return
    lines = [headings, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    if title:
        click.echo(title + "\n")
    for line in [table.headings, *rows]:
        click.echo("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    click.echo()
