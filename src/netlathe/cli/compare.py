"""netlathe compare A B...: networks side by side, costs exact, latencies interleaved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netlathe.arch.diff import diff
from netlathe.arch.graph import Graph
from netlathe.arch.net import Net
from netlathe.bench import ledger
from netlathe.bench.measure import measure
from netlathe.bench.measurement import Measurement
from netlathe.catalogue.weights import best_weights
from netlathe.cli.bench import (
    format_conditions,
    format_interval_basis,
    precision_option,
    processes_option,
    runtime_option,
    seconds_option,
    threads_option,
)
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
    progress_bar,
    reading_notes,
    resolution_option,
    wide_option,
    write_page,
)
from netlathe.cost.count import BYTES
from netlathe.device.workload import cost_of, memory_of
from netlathe.errors import NetlatheError
from netlathe.read.module import InputShape
from netlathe.tables.compare import networks_table
from netlathe.target.target import work_of
from netlathe.zoo.published import best


@click.command()
@nets_argument
@resolution_option
@input_option
@batch_option
@threads_option
@seconds_option
@processes_option
@runtime_option
@precision_option
@click.option("--no-latency", is_flag=True, help="Costs alone: nothing is measured.")
@click.option("--diff", "with_diff", is_flag=True, help="What turns the first network into each of the others.")
@html_option
@wide_option
@json_option
def command(
    nets: tuple[str, ...],
    resolution: int | None,
    inputs: tuple[InputShape, ...],
    batch: int,
    threads: int,
    seconds: float,
    processes: int | None,
    runtime: str,
    precision: str | None,
    no_latency: bool,
    with_diff: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Compare networks with the first one: exact costs, and latencies measured in turns on this machine.

    \b
      netlathe compare resnet50 mobilenetv2 efficientnet_b0
      netlathe compare "resnext50_*" --no-latency
    """
    networks = any_networks(nets, resolution, inputs)
    if len(networks) < 2:
        raise NetlatheError("give at least two networks to compare", code="compare.one")
    done: list[Measurement] = []
    if not no_latency:
        with progress_bar("measuring") as progress:
            done = measure(
                networks,
                batch=batch,
                threads=threads,
                seconds=seconds,
                processes=processes or 1,
                runtime=runtime,
                precision=precision,
                progress=progress,
                keep=ledger.append,
            )
    warnings = reading_notes(networks)
    warnings += [m.warning or f"{m.network} failed: {m.failure}" for m in done if m.warning or m.failure]
    rows = [row(network, batch) for network in networks]
    for entry, m in zip(rows, done, strict=False):
        entry["latency"] = m.to_json() | versus(m, done[0])
    diffs = [diff(networks[0].graph(), network.graph()) for network in networks[1:]] if with_diff else []
    for entry, changed in zip(rows[1:], diffs, strict=False):
        entry["changes"] = [change._asdict() for change in changed.changes]
    if html is not None:
        from netlathe.report.pages.compare import page

        write_page(html, page({"networks": rows}, warnings, command=command_line()))
    if as_json:
        emit("compare", {"networks": rows}, warnings)
        return
    title, caption = (format_conditions(done), format_interval_basis(done[0])) if done else (f"batch {batch}, fp32", "")
    print_table(networks_table(rows, title=title, caption=caption))
    for network, changed in zip(networks[1:], diffs, strict=False):
        click.echo(f"{networks[0].name} -> {network.name}")
        click.echo(changed)
    print_warnings(warnings)


def row(network: Net, batch: int) -> dict[str, Any]:
    """The costs of a network and its best published accuracy, as JSON values."""
    work = work_of(network)
    cost, (top1, recipe) = cost_of(work), published(network)
    size = BYTES[work.precision if isinstance(work, Graph) else "fp32"]
    return {
        "name": network.name,
        "input": list(network.input),
        "params": cost.params,
        "macs": cost.macs,
        "acts": cost.acts,
        "intensity": cost.intensity(size, batch, fused=True),
        "peak_bytes": memory_of(work, size, batch).arena,
        "top1": top1,
        "recipe": recipe,
        "latency": None,
    }


def published(network: Net) -> tuple[float | None, str | None]:
    """The best published accuracy of a network at its resolution in %, and how it was reached."""
    side = network.input[-1] if network.input else 0
    weights = best_weights(network.name, side)
    if weights:
        return weights.top1["imagenet"], f"timm {weights.name.partition('.')[2]}"
    figure = best(network.name, side)
    return (figure.top1, figure.recipe) if figure else (None, None)


def versus(m: Measurement, first: Measurement) -> dict[str, Any]:
    """The ratio of a latency to the first one's; tied where the intervals overlap."""
    return {
        "ratio": m.interval[1] / first.interval[1] if not (m.failure or first.failure) else None,
        "tied": m is not first and m.interval[0] <= first.interval[2] and first.interval[0] <= m.interval[2],
    }
