"""netlathe search darts --data photos/ -o run/: a cell found by gradients, with a watch on collapse."""

from __future__ import annotations

import time

import click

from netlathe.cli.common import json_option
from netlathe.cli.search_oneshot import OneShotRequest, eval_options, run_options, searched, space_options
from netlathe.cli.training import data_option


@click.command()
@data_option
@space_options
@click.option("--order", type=click.Choice(["1", "2"]), default="1", show_default=True, help="2: weights unrolled.")
@click.option("--alpha-lr", type=float, default=3e-4, show_default=True, help="Of Adam on the architecture.")
@click.option("--rest", type=float, default=0.0, show_default=True, help="Epochs before the architecture moves.")
@click.option("--partial", type=click.IntRange(1), default=1, show_default=True, help="PC-DARTS: 1/K of the channels.")
@click.option("--remedy", default="none", show_default=True, metavar="NAME", help="none, early-stop, decay or skips.")
@click.option("--eigenvalue-every", type=click.IntRange(0), default=2, show_default=True, help="Epochs; 0: never.")
@run_options
@eval_options
@json_option
def command(as_json: bool, **asked: object) -> None:
    """Differentiable architecture search (DARTS), first or second order, on the training images of SOURCE.

    The validation and test images are never seen. The log (metrics.jsonl) holds what a collapse shows in: skips,
    entropy, eigenvalue, and what discretisation costs. The same command on a folder with a checkpoint goes on.

    \b
      netlathe search darts --data digits --recipe digits --epochs 20 --channels 8 --cells 4 -o run/
      netlathe search darts --data photos/ --time 2h --remedy early-stop -o run/
      netlathe train run/best.json --data digits --recipe digits -o trained/
    """
    searched("darts", OneShotRequest(**asked), time.monotonic(), as_json)  # type: ignore[arg-type]
