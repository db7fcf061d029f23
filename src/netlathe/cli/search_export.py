"""netlathe search export out/ -o best.json: the winner of a search as an expression, like any other network."""

from __future__ import annotations

from pathlib import Path

import click

from netlathe.cli.common import emit, json_option
from netlathe.errors import NetlatheError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--trial", type=click.IntRange(0), help="Another trial than the winner.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("best.json"), show_default=True)
@json_option
def command(folder: Path, trial: int | None, output: Path, as_json: bool) -> None:
    """Write the winner, or any trial, as arch.json: to be counted, compared, trained and deployed like any network.

    \b
      netlathe search export out/ -o best.json
      netlathe cost best.json ; netlathe train best.json --data photos/ -o run/
    """
    from netlathe.arch.document import to_json
    from netlathe.cli.search_show import read
    from netlathe.files import write_text
    from netlathe.search.config import build_problem
    from netlathe.search.run import winner_network
    from netlathe.search.summary import winning_trial

    config, facts, trials, _ = read(folder)
    if trial is not None and trial >= len(trials):
        raise NetlatheError(f"there is no trial {trial}", code="search.trial", hint=f"0 to {len(trials) - 1}")
    chosen = winning_trial(trials, facts) if trial is None else trials[trial]
    if chosen is None:
        raise NetlatheError("no trial has finished yet", code="search.trial", path=str(folder))
    network = winner_network(build_problem(config, folder), chosen, folder)
    write_text(output, to_json(network))
    if as_json:
        emit("search.export", {"trial": chosen.number, "network": network.name, "file": str(output)})
    else:
        click.echo(f"{output}: {network.name}, trial {chosen.number}")
