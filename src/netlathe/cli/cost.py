"""netlathe cost NET...: exact params, MACs, memory and traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlathe.arch.graph import Graph
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
from netlathe.cost.count import BYTES
from netlathe.cost.document import document, totals_document
from netlathe.cost.table import GROUPINGS
from netlathe.tables.cost import networks_table, parts_table, title_of
from netlathe.units import show_bytes, show_interval, show_ms

if TYPE_CHECKING:
    from netlathe.arch.net import Net
    from netlathe.read.module import InputShape
    from netlathe.report.page import Page
    from netlathe.target.target import Target

STAND_IN = "rpi-5"  # whose latency a page shows where no device was named and this machine has no card


@click.command()
@nets_argument
@click.option("--by", type=click.Choice(list(GROUPINGS)), default="stage", show_default=True, help="What a row is.")
@resolution_option
@input_option
@batch_option
@click.option(
    "--precision",
    type=click.Choice(list(BYTES)),
    help="Of the floats.  [default: the device's, else the file's or fp32]",
)
@click.option("--convention", "tool", type=click.Choice(TOOLS), help="What another tool prints for the net, and why.")
@html_option
@click.option("--device", metavar="CARD", help="The latency on it too.  [default of a page: this machine, else rpi-5]")
@wide_option
@json_option
@without_collection()
def command(
    nets: tuple[str, ...],
    by: str,
    resolution: int | None,
    inputs: tuple[InputShape, ...],
    batch: int,
    precision: str | None,
    tool: str | None,
    html: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Exact costs of networks, without weights and, for expressions, without torch.

    NET is a zoo name, a pattern ("resnet*"), name:choice=value, file.py:name (an expression or a torch module, with
    arguments or not: file.py:Net:width=48), package.module:name, arch.json or model.onnx.

    \b
      netlathe cost resnet50 --by block
      netlathe cost mobilenetv2:alpha=0.5 --resolution 160 --precision int8
      netlathe cost resnet50 --convention fvcore
      netlathe cost resnet50 --device rpi-5
      netlathe cost resnet50 --html resnet50.html --device rpi-5
      netlathe cost my_file.py:make_model --input 3x224x224
    """
    if (html is not None or device is not None) and tool:
        raise click.UsageError("--html and --device show our own counts: leave --convention out")
    target = target_of(device, precision, batch) if device is not None else None
    networks = any_networks(nets, resolution, inputs)
    notes = reading_notes(networks)
    if html is not None:
        target = target or own_target(precision, batch)
        write_page(html, page(networks, by, batch, precision, target))
    precision = precision or (target.precision if target is not None and device is not None else None)
    if tool:
        shown = [(network, c) for network in networks for c in conventions(network, tool)]
        if as_json:
            emit("cost", single_or_many([convention_data(network, c) for network, c in shown]), notes)
        else:
            show_conventions(shown)
    elif as_json:
        emit("cost", single_or_many([data(network, by, batch, precision, target) for network in networks]), notes)
    elif len(networks) > 1:
        show_many(networks, batch, precision, target)
    else:
        show(networks[0], by, batch, precision, target)
    if not as_json:
        print_warnings(notes)


def target_of(device: str, precision: str | None, batch: int) -> Target:
    """The usual way to run networks on a device."""
    from netlathe.target.device import default_target

    return default_target(device, None, precision, None, batch)


def own_target(precision: str | None, batch: int) -> Target:
    """This machine, where it was calibrated in this precision, else a device that stands in for it."""
    from netlathe.bench.own_card import read_own_card
    from netlathe.target.device import all_targets

    own = read_own_card()
    targets = [target for target in all_targets(own, batch) if precision in (None, target.precision)] if own else []
    return next((target for target in targets if target.model), None) or target_of(STAND_IN, precision, batch)


def data(network: Net, by: str, batch: int, precision: str | None, target: Target | None = None) -> dict[str, Any]:
    """The costs of a network as JSON values, with its latency on a target; in its own precision where none is asked."""
    from netlathe.target.target import operators_of, work_of

    work = work_of(network) if by == "net" else operators_of(network)
    if isinstance(work, Graph):
        costs = document(network.name, network.input, work, by, batch, precision or work.precision)
    else:
        from netlathe.device.workload import cost_of, memory_of

        kind = precision or "fp32"
        peaks = memory_of(work, BYTES[kind], batch)
        costs = totals_document(network.name, network.input, cost_of(work), peaks, batch, kind)
    if target is None:
        return costs
    from netlathe.target.target import latency_data

    return costs | {"latency": latency_data(target, network)}


def page(networks: list[Net], by: str, batch: int, precision: str | None, target: Target) -> Page:
    """One network on a device, or several side by side."""
    from netlathe.report.pages import cost

    kind = precision or target.precision
    if len(networks) > 1:
        return cost.many([data(network, by, batch, kind, target) for network in networks], command=command_line())
    return cost.page(data(networks[0], by, batch, kind, target), networks[0], target, command=command_line())


def show(network: Net, by: str, batch: int, precision: str | None, target: Target | None) -> None:
    """One network: a row a part, then the totals."""
    d = data(network, by, batch, precision)
    if d["rows"]:
        print_table(parts_table(d))
    else:
        click.echo(f"{title_of(d)}: totals of the table of networks" + parts_hint(network))
    moved, intensity, peak = d["moved_bytes"], d["intensity"], d["memory_bytes"]
    facts = {
        "params": f"{d['params']:,} trainable ({show_bytes(d['weight_bytes'])}), {d['buffers']:,} in buffers",
        "MACs": f"{d['macs']:,} an image: convolutions and matrix products; FLOPs = 2 x MACs = {d['flops']:,}",
        "acts": f"{d['acts']:,} outputs of convolutions and matrix products ({d['acts_pycls']:,} as pycls counts)",
        "moved": f"{show_bytes(moved['eager'])} eager, {show_bytes(moved['fused'])} fused: "
        f"{intensity['eager']:.1f} and {intensity['fused']:.1f} FLOP/byte",
        "peak": f"{show_bytes(peak['eager'])} eager, {show_bytes(peak['folded'])} folded and in place, "
        f"{show_bytes(peak['best'])} in the best order, {show_bytes(peak['arena'])} in one arena",
    }
    if target is not None:
        latency = data(network, by, batch, precision, target)["latency"]
        facts["latency"] = (
            f"~{show_ms(latency['ms'])} ({show_interval(latency['low_ms'], latency['high_ms'])}), "
            f"{latency['device']}, {latency['runtime']}, {latency['precision']}: {latency['basis']}"
        )
    for name, fact in facts.items():
        click.echo(f"  {name:<7} {fact}")


def parts_hint(network: Net) -> str:
    """How to see the parts of a network whose totals alone are known here."""
    return f"; pip install 'netlathe[{network.missing_extra}]' adds its parts" if network.missing_extra else ""


def show_many(networks: list[Net], batch: int, precision: str | None, target: Target | None) -> None:
    """Several networks: a row each."""
    documents = [data(network, "net", batch, precision, target) for network in networks]
    kinds = dict.fromkeys(document["precision"] for document in documents)
    print_table(networks_table(documents, f"batch {batch}, {', '.join(kinds)}"))


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
