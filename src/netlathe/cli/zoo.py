"""netlathe zoo [PATTERN]: the networks that come with Netlathe and what they cost."""

from __future__ import annotations

import click

from netlathe import zoo
from netlathe.cli.common import emit, json_option, print_table, wide_option
from netlathe.cost.totals import totals
from netlathe.errors import unknown
from netlathe.tables.table import Column, make_table
from netlathe.units import show_count, show_points, show_shape
from netlathe.zoo.published import best


@click.command()
@click.argument("pattern", default="*")
@wide_option
@json_option
def command(pattern: str, as_json: bool) -> None:
    """The registered networks whose names match PATTERN, such as "regnet*"."""
    names = zoo.names(pattern)
    if not names:
        raise unknown("pattern", pattern, zoo.names(), code="zoo.unknown_name")
    entries = []
    for name in names:
        network = zoo.get(name)
        entries.append((network, totals(network.body, *network.inputs), best(name)))
    table = make_table(COLUMNS, entries)
    if as_json:
        emit("zoo", {"networks": table.records()})
        return
    print_table(table)


COLUMNS = (  # of a network, its totals, and its best published accuracy
    Column("network", lambda row: row[0].name, text=True, key="name"),
    Column("input", lambda row: list(row[0].input), show_shape, key="input"),
    Column("params", lambda row: row[1].params, show_count, key="params"),
    Column("MACs", lambda row: row[1].macs, show_count, key="macs"),
    Column("top-1 %", lambda row: row[2].top1 if row[2] else None, show_points, key="top1"),
    Column("recipe", lambda row: row[2].recipe if row[2] else None, priority=2, text=True, missing="", key="recipe"),
)
