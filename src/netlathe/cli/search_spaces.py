"""netlathe search spaces: what can be searched."""

from __future__ import annotations

import inspect

import click

from netlathe.cli.common import emit, json_option
from netlathe.units import show_count


@click.command()
@json_option
def command(as_json: bool) -> None:
    """The spaces by name, with their decisions and sizes.

    Beside them: around:NET, the knobs of any network of the zoo, and file.py:function, an expression with Choice nodes.
    """
    from netlathe.search import spaces

    rows = []
    for name in spaces.names():
        space = spaces.get(name)
        about = (inspect.getdoc(inspect.getmodule(spaces.space_builder(name))) or "").partition("\n")[0].rstrip(".")
        rows.append({"name": name, "decisions": len(space.decisions), "size": space.size, "about": about})
    if as_json:
        emit("search.spaces", rows)
        return
    for row in rows:
        click.echo(f"{row['name']:14} {row['about']}")
        click.echo(f"{'':14} {row['decisions']} decisions, {size(int(str(row['size'])))} networks")
    click.echo(f"{'around:NET':14} the knobs of any network of the zoo, such as around:resnet20")
    click.echo(f"{'file.py:name':14} what a function of yours returns: an expression with Choice nodes")


def size(count: int) -> str:
    """Exact where that is short."""
    return f"{count:,}" if count < 10**7 else f"{count:.2e}" if count >= 10**12 else show_count(count)
