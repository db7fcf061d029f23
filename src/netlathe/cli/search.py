"""netlathe search: networks of a space, proposed by a strategy, evaluated, compared."""

from __future__ import annotations

import click

from netlathe.cli.lazy import Lazy

QUESTIONS = {
    "compare": ("netlathe.cli.search_compare", "Strategies against each other at equal budget, with power."),
}


@click.group(cls=Lazy, later=QUESTIONS)
def command() -> None:
    """Search a space of networks, and compare strategies honestly."""
