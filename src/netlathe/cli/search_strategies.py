"""netlathe search strategies: how a space can be searched."""

from __future__ import annotations

import click

from netlathe.cli.common import emit, json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """The strategies with their sources, and the options that --option NAME=VALUE sets."""
    from netlathe.search.strategy import ROWS

    if as_json:
        emit(
            "search.strategies",
            [
                {
                    "name": row.name,
                    "summary": row.summary,
                    "source": row.source,
                    "extra": row.extra,
                    "options": {
                        name: {"default": option.default, "meaning": option.meaning, "legal": option.legal()}
                        for name, option in row.options.items()
                    },
                }
                for row in ROWS
            ],
        )
        return
    for row in ROWS:
        click.echo(f"{row.name:18} {row.summary} ({row.source})")
        if row.options:
            click.echo(f"{'':18} " + " ".join(f"{name}={option.default}" for name, option in row.options.items()))
    click.echo("\nnetlathe search strategies --json says what each option means and what is legal")
