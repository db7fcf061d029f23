"""netlathe search rsws --data photos/ -o run/: random search with weight sharing, the baseline of DARTS."""

from __future__ import annotations

import time

import click

from netlathe.cli.common import json_option
from netlathe.cli.search_oneshot import OneShotRequest, eval_options, run_options, searched, space_options
from netlathe.cli.training import data_option


@click.command()
@data_option
@space_options
@click.option("--candidates", type=click.IntRange(1), default=1000, show_default=True, help="A round, on one batch.")
@click.option("--finalists", type=click.IntRange(1), default=10, show_default=True, help="On the validation half.")
@run_options
@eval_options
@json_option
def command(as_json: bool, **asked: object) -> None:
    """Random search with weight sharing: one supernet trained on random paths, the best of many paths kept.

    What a search by gradients has to beat: give it the same supernet and the same --time.

    \b
      netlathe search rsws --data digits --recipe digits --epochs 20 --channels 8 --cells 4 -o run/
    """
    searched("rsws", OneShotRequest(**asked), time.monotonic(), as_json)  # type: ignore[arg-type]
