"""netlathe cost NET...: exact params, MACs, memory and traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.cli.common import (
    any_networks,
    batch_option,
    command_line,
    emit,
    html_option,
    input_option,
    json_option,
    nets_argument,
    print_table,
    print_warnings,
    reading_notes,
    resolution_option,
    single_or_many,
    wide_option,
    without_collection,
    write_page,
)
from netlathe.cost.conventions import TOOLS, Convention, convention, published_macs
from netlathe.cost.count import BYTES, count
from netlathe.cost.document import document
from netlathe.cost.memory import memory
from netlathe.cost.table import GROUPINGS
from netlathe.tables.cost import networks_table, parts_table
from netlathe.units import show_bytes

if TYPE_CHECKING:
    from netlathe.arch.net import Net
    from netlathe.read.module import InputShape
    from netlathe.report.page import Page

STAND_IN = "rpi-5"  # whose roofline a page shows where no device was named and this machine has no card


@click.command()
@nets_argument
@click.option("--by", type=click.Choice(list(GROUPINGS)), default="stage", show_default=True, help="What a row is.")
@resolution_option
@input_option
@batch_option
@click.option("--precision", type=click.Choice(list(BYTES)), default="fp32", show_default=True, help="Of all tensors.")
@click.option("--convention", "tool", type=click.Choice(TOOLS), help="What another tool prints for the net, and why.")
@html_option
@click.option("--device", metavar="CARD", help="Of the roofline in the page.  [default: this machine, else rpi-5]")
@wide_option
@json_option
@without_collection()
def command(
    nets: tuple[str, ...],
    by: str,
    resolution: int | None,
    inputs: tuple[InputShape, ...],
    batch: int,
    precision: str,
    tool: str | None,
    html: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Exact costs of networks, without weights and, for expressions, without torch.

    NET is a zoo name, a pattern ("resnet*"), name:choice=value, file.py:function (an expression or a torch module),
    arch.json or model.onnx.

    \b
      netlathe cost resnet50 --by block
      netlathe cost mobilenetv2:alpha=0.5 --resolution 160 --precision int8
      netlathe cost resnet50 --convention fvcore
      netlathe cost resnet50 --html resnet50.html --device rpi-5
      netlathe cost my_file.py:make_model --input 3x224x224
    """
    networks = any_networks(nets, resolution, inputs)
    notes = reading_notes(networks)
    if html is not None and tool:
        raise click.UsageError("--html shows our own counts: leave --convention out")
    if device is not None and html is None:
        raise click.UsageError("--device is for the page: give --html FILE, or see netlathe device roofline")
    if html is not None:
        write_page(html, page(networks, by, batch, precision, device))
    if tool:
        shown = [(network, c) for network in networks for c in conventions(network, tool)]
        if as_json:
            emit("cost", single_or_many([convention_data(network, c) for network, c in shown]), notes)
        else:
            show_conventions(shown)
    elif as_json:
        emit("cost", single_or_many([data(network, by, batch, precision) for network in networks]), notes)
    elif len(networks) > 1:
        show_many(networks, batch, precision)
    else:
        show(networks[0], by, batch, precision)
    if not as_json:
        print_warnings(notes)


def data(network: Net, by: str, batch: int, precision: str) -> dict[str, Any]:
    """The costs of a network as JSON values."""
    return document(network.name, network.input, network.graph(), by, batch, precision)


def page(networks: list[Net], by: str, batch: int, precision: str, device: str | None) -> Page:
    """One network on a device, or several side by side."""
    from netlathe.bench.own_card import read_own_card
    from netlathe.cli.device_operators import load_card
    from netlathe.report.pages import cost

    if len(networks) > 1:
        return cost.many([data(network, by, batch, precision) for network in networks], command=command_line())
    own = read_own_card() if device is None else None
    usable = own is not None and precision in own.precisions and own.find("bandwidth", "dram")
    card = own if usable else load_card(device or STAND_IN)
    return cost.page(data(networks[0], by, batch, precision), networks[0].graph(), card, command=command_line())


def show(network: Net, by: str, batch: int, precision: str) -> None:
    """One network: a row a part, then the totals."""
    graph = network.graph()
    size = BYTES[precision]
    cost, peak = count(graph), memory(graph, size, batch)
    print_table(parts_table(data(network, by, batch, precision)))
    eager, fused = cost.bytes(size, batch), cost.bytes(size, batch, fused=True)
    facts = {
        "params": f"{cost.params:,} trainable ({show_bytes(cost.weight_bytes(size))}), {cost.buffers:,} in buffers",
        "MACs": f"{cost.macs:,} an image: convolutions and matrix products; FLOPs = 2 x MACs = {cost.flops:,}",
        "acts": f"{cost.acts:,} outputs of convolutions and matrix products ({cost.acts_pycls:,} as pycls counts)",
        "moved": f"{show_bytes(eager)} eager, {show_bytes(fused)} fused: "
        f"{cost.intensity(size, batch):.1f} and {cost.intensity(size, batch, fused=True):.1f} FLOP/byte",
        "peak": f"{show_bytes(peak.eager)} eager, {show_bytes(peak.folded)} folded and in place, "
        f"{show_bytes(peak.best)} in the best order, {show_bytes(peak.arena)} in one arena",
    }
    for name, fact in facts.items():
        click.echo(f"  {name:<7} {fact}")


def show_many(networks: list[Net], batch: int, precision: str) -> None:
    """Several networks: a row each."""
    documents = [data(network, "net", batch, precision) for network in networks]
    print_table(networks_table(documents, f"batch {batch}, {precision}"))


def conventions(network: Net, tool: str) -> list[Convention]:
    """What a tool prints, or each value that was published."""
    graph = network.graph()
    if tool != "paper":
        return [convention(graph, tool, network.name)]
    return [convention(graph, tool, network.name, figure) for figure in published_macs(network.name, network.input[-1])]


def convention_data(network: Net, c: Convention) -> dict[str, Any]:
    """Another tool's total as JSON values."""
    return {
        "name": network.name,
        "convention": c.tool,
        "total": c.macs,
        "macs": c.ours,
        "differences": [d._asdict() for d in c.differences],
    }


def show_conventions(shown: list[tuple[Net, Convention]]) -> None:
    """Another tool's totals, and a line a reason for the difference from ours."""
    for network, c in shown:
        percent = f"{100 * (c.macs / c.ours - 1):+.2f} %" if c.ours else "-"
        click.echo(f"{network.name}: {c.tool} prints {c.macs:,} where {c.ours:,} are MACs ({percent})")
        for d in c.differences:
            click.echo(f"  {d.macs:+,}  {d.reason}" + (f" ({d.ops} operators)" if d.ops else ""))
