"""netlathe regnets: samples of the RegNet design space, and how their costs are distributed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.arch.network import Network
from netlathe.cli.common import command_line, emit, html_option, json_option, print_table, wide_option, write_page
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.reshape.regnet_space import RegNetSpace, sample
from netlathe.stats.quantiles import step_quantile
from netlathe.tables.table import Column, make_table
from netlathe.units import mac_count, show_count, show_ms

if TYPE_CHECKING:
    from netlathe.target.target import Target

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@click.command()
@click.option("--macs", default="360M:440M", show_default=True, metavar="LOW:HIGH", help="The MACs of every sample.")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=200, show_default=True, help="Samples.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", metavar="CARD", help="The predicted latency on this card too.")
@html_option
@wide_option
@json_option
def command(macs: str, count: int, seed: int, device: str | None, html: Path | None, as_json: bool) -> None:
    """Sample RegNetX and RegNetY networks of equal MACs, and compare the distributions of their costs.

    \b
      netlathe regnets --macs 360M:440M --device phone-a76-core
      netlathe regnets -n 500 --html acts.html
    """
    from netlathe.target.device import default_target

    target = default_target(device) if device is not None else None
    low, _, high = macs.partition(":")
    if not high:
        hint = "write --macs 360M:440M"
        raise NetlatheError(f"{macs!r} is not a range of MACs", code="unit.syntax", hint=hint)
    bounds = (mac_count(low), mac_count(high))
    spaces = {f"RegNet{'Y' if excite else 'X'}": RegNetSpace(macs=bounds, excite=excite) for excite in (False, True)}
    samples = {name: [costs(n, target) for n in sample(space, count, seed)] for name, space in spaces.items()}
    if html is not None:
        from netlathe.report.charts.curves import chart_page, distribution_chart

        drawn = "ms" if device else "acts"
        label = f"predicted ms on {device}" if device else "activations"
        chart = distribution_chart({name: [row[drawn] for row in rows] for name, rows in samples.items()}, label)
        write_page(html, chart_page(chart, title=f"RegNets of {macs} MACs", command=command_line()))
    if as_json:
        emit("regnets", {"macs": bounds, "seed": seed, "device": device, "samples": samples})
        return
    shows = {"params": show_count, "acts": show_count, "ms": show_ms}
    table_rows = [
        (f"{name} {cost}", [show(step_quantile([row[cost] for row in rows], q)) for q in QUANTILES])
        for cost, show in shows.items()
        for name, rows in samples.items()
        if cost in rows[0]
    ]
    columns = (Column("share of networks below", 0, text=True), *map(quantile_column, range(len(QUANTILES))))
    print_table(make_table(columns, table_rows, title=f"{count} samples each of {macs} MACs, seed {seed}"))


def quantile_column(index: int) -> Column:
    """The cost below which a share of the networks lies."""
    return Column(f"{100 * QUANTILES[index]:g} %", lambda row: row[1][index])


def costs(network: Network, target: Target | None) -> dict[str, Any]:
    """The costs of a sample."""
    count = totals(network.body, *network.inputs)
    row = {"name": network.name, "macs": count.macs, "params": count.params, "acts": count.acts}
    if target is not None:
        prediction = target.predict(network)
        row |= {"ms": prediction.total_ms, "interval_ms": [prediction.low_ms, prediction.high_ms]}
    return row
