"""netlathe device why NET: where the time goes on a device, and what would help."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.cli.common import (
    batch_option,
    command_line,
    emit,
    html_option,
    input_option,
    json_option,
    one_net,
    print_table,
    print_warnings,
    reading_notes,
    resolution_option,
    wide_option,
    write_page,
)
from netlathe.cli.device import device_option, precision_option, threads_option
from netlathe.cli.device_operators import show_ceilings
from netlathe.tables.device import changes_table
from netlathe.target.bottlenecks import Ceiling, Explanation, explain, explain_untried, find_ceilings
from netlathe.target.device import default_target
from netlathe.target.target import Target, latency_data, operators_of
from netlathe.units import show_interval, show_ms

if TYPE_CHECKING:
    from netlathe.arch.net import Net
    from netlathe.read.module import InputShape


@click.command("why")
@click.argument("net", metavar="NET")
@device_option
@precision_option
@batch_option
@resolution_option
@input_option
@click.option("--runtime", metavar="NAME", help="[default: the card's first]")
@threads_option
@html_option
@wide_option
@json_option
def command(
    net: str,
    name: str,
    precision: str | None,
    batch: int,
    resolution: int | None,
    inputs: tuple[InputShape, ...],
    runtime: str | None,
    threads: int | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Where the time goes, and what the changes that gain would buy: each is made, and its latency forecast again."""
    target = default_target(name, runtime, precision, threads, batch)
    network = one_net(net, resolution, inputs)
    answer = explain(network, target)
    near = find_ceilings(operators_of(network), answer.latency, target.model, batch) if target.model else []
    warnings = [*reading_notes([network]), *answer.latency.warnings, *explain_untried(network)]
    data = why_data(network, target, answer, near)
    if html is not None:
        from netlathe.report.pages import device

        write_page(html, device.why(data, warnings, command=command_line()))
    if as_json:
        emit("device", data, warnings)
        return
    show(data)
    if near:
        show_ceilings(near)
    print_warnings(warnings)


def why_data(network: Net, target: Target, answer: Explanation, near: list[Ceiling]) -> dict[str, Any]:
    """The latency, where it goes, and what would help, as JSON values."""
    rows = [{"path": row.path, "kind": row.class_, "bound": row.bound, "ms": row.ms} for row in answer.latency.rows]
    return {
        "network": network.name,
        "card": target.device.id,
        **latency_data(target, network),
        "by_bound": answer.by_bound,
        "by_kind": answer.by_kind,
        "changes": [asdict(change) for change in answer.changes],
        "ceilings": [ceiling._asdict() for ceiling in near],
        "parts": rows,
    }


def show(data: dict[str, Any]) -> None:
    """The latency, its basis and its bound; what it consists of; the changes."""
    ms = data["ms"]
    interval = show_interval(data["low_ms"], data["high_ms"])
    where = f"{data['card']}, {data['runtime']}, {data['precision']}, batch {data['batch']}"
    click.echo(f"{data['network']} on {where}: ~{show_ms(ms)} ({interval})")
    click.echo(f"  basis     {data['basis']}")
    if data["least_ms"] is not None:
        click.echo(f"  bound     at least {show_ms(data['least_ms'])}, by the roofline")
    for what in ("bound", "kind"):
        shares = ", ".join(f"{key} {100 * part / ms:.0f} %" for key, part in data[f"by_{what}"].items())
        click.echo(f"  by {what:<6} {shares}")
    slowest = sorted(data["parts"], key=lambda part: -part["ms"])[:3]
    click.echo("  slowest   " + ", ".join(f"{part['path'] or part['kind']} {show_ms(part['ms'])}" for part in slowest))
    print_table(changes_table(data["changes"]))
