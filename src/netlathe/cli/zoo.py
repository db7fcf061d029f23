"""netlathe zoo [PATTERN]: the networks that come with Netlathe and what they cost."""

from __future__ import annotations

import click

from netlathe import zoo
from netlathe.cli.common import emit, json_option, print_table
from netlathe.cost.totals import totals
from netlathe.errors import unknown
from netlathe.tables.table import text_table
from netlathe.units import show_count
from netlathe.zoo.published import best


@click.command()
@click.argument("pattern", default="*")
@json_option
def command(pattern: str, as_json: bool) -> None:
    """The registered networks whose names match PATTERN, such as "regnet*"."""
    found = zoo.names(pattern)
    if not found:
        raise unknown("pattern", pattern, zoo.names(), code="zoo.unknown_name")
    entries = []
    for name in found:
        network = zoo.get(name)
        entries.append((network, totals(network.body, *network.inputs), best(name)))
    if as_json:
        rows = [
            {
                "name": network.name,
                "input": list(network.input),
                "params": count.params,
                "macs": count.macs,
                "top1": figure.top1 if figure else None,
                "recipe": figure.recipe if figure else None,
            }
            for network, count, figure in entries
        ]
        emit("zoo", {"networks": rows})
        return
    table = [
        (
            network.name,
            "x".join(map(str, network.input)),
            show_count(count.params),
            show_count(count.macs),
            f"{figure.top1:.1f}" if figure and figure.top1 else "-",
            figure.recipe if figure else "",
        )
        for network, count, figure in entries
    ]
    print_table(text_table(("network", "input", "params", "MACs", "top-1 %", "recipe"), table))
