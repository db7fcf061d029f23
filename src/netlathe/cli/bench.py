"""netlathe bench NET...: measured latency on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import click

from netlathe.arch.net import Net
from netlathe.bench import ledger
from netlathe.bench.machine import this_machine
from netlathe.bench.measure import HEADLINE, measure
from netlathe.bench.measurement import Measurement
from netlathe.bench.statistics import ENOUGH
from netlathe.cli.common import (
    any_networks,
    batch_option,
    emit,
    input_option,
    json_option,
    print_table,
    print_warnings,
    progress_bar,
    resolution_option,
    single_or_many,
    wide_option,
)
from netlathe.errors import Exit, NetlatheError
from netlathe.read.module import InputShape
from netlathe.runtimes import registry
from netlathe.tables.compare import latencies_table
from netlathe.units import show_ms

threads_option = click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the runtime.")
seconds_option = click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Measuring time a network.",
)
precision_option = click.option("--precision", metavar="NAME", help=registry.precision_help())
processes_option = click.option(
    "--processes",
    type=click.IntRange(1),
    help=f"Fresh ones, one after the other.  [default: {HEADLINE} for one network, else 1]",
)
runtime_option = click.option(
    "--runtime", type=click.Choice(list(registry.runnable())), default=registry.DEFAULT, show_default=True
)


READERS = " or ".join(runtime.name for runtime in registry.onnx_runners())
HELP = f"""Measure latency: each network in processes of its own, the latency where nothing else
runs with a 95 % interval, and as loaded as the machine is. Weights are random.

An ONNX file runs as it is, a torch module as torch exports it to ONNX: under {READERS}.

\b
  netlathe bench mobilenetv2 resnet18
  netlathe bench resnet50 --threads 2 --batch 8
  netlathe bench model.onnx --runtime openvino --precision bf16
  netlathe bench --from 1f0c5a7e2b
"""


@click.command(help=HELP)
@click.argument("nets", nargs=-1, metavar="NET...")
@resolution_option
@input_option
@batch_option
@threads_option
@seconds_option
@processes_option
@runtime_option
@precision_option
@click.option("--from", "source", metavar="ID", help="Repeat the measurement of that id, under its conditions.")
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
    source: str | None,
    as_json: bool,
) -> None:
    """Measure, show, and exit with 4 where nothing ran."""
    before = None
    if source is not None:
        before = ledger.find(source)
        nets, threads, batch, runtime = (before.network,), before.threads, before.batch, before.runtime
        resolution, inputs, precision = None, (), before.precision
        processes = processes or before.processes
    if not nets:
        raise click.UsageError("give a NET, or --from ID")
    networks = any_networks(nets, resolution, inputs) if before is None else [find_measured_net(before)]
    with progress_bar("measuring") as progress:
        done = measure(
            networks,
            batch=batch,
            threads=threads,
            seconds=seconds,
            processes=processes or (HEADLINE if len(networks) == 1 else 1),
            runtime=runtime,
            precision=precision,
            interleave=False,
            progress=progress,
            keep=ledger.append,
        )
    warnings = [m.warning for m in done if m.warning]
    if as_json:
        emit("bench", single_or_many([m.to_json() for m in done]), warnings)
    else:
        show(done)
        if before is not None:
            click.echo(f"  before: {show_ms(before.interval[1])} ({before.date}, {before.device})")
        print_warnings(warnings)
    if all(m.failure for m in done):
        raise click.exceptions.Exit(Exit.CHECK_FAILED)


def find_measured_net(before: Measurement) -> Net:
    """What was measured before. Raises NetlatheError where its name means something else now."""
    shapes = [InputShape(before.input)]  # of a file with free axes, of a network at another resolution
    for inputs in [shapes] if before.network.endswith(".onnx") else [[], shapes]:
        net = any_networks([before.network], None, inputs)[0]
        if net.key == before.key:
            return net
    raise NetlatheError(f"{before.network} is not the network it was for {before.id}", code="bench.changed")


def show(done: Sequence[Measurement]) -> None:
    """The latencies as a table, with their conditions."""
    rows = [m.to_json() for m in done]
    print_table(latencies_table(rows, title=format_conditions(done), caption=format_interval_basis(done[0])))


def format_conditions(done: Sequence[Measurement]) -> str:
    """Device, runtime, threads, precision and batch in a line."""
    m, machine = done[0], this_machine()
    threads = f"{m.threads} thread{'s' * (m.threads > 1)}"
    kinds = " and ".join(dict.fromkeys(m.precision for m in done))
    return f"{machine.cpu} ({m.device}), {m.runtime} {m.runtime_version}, {threads}, {kinds}, batch {m.batch}"


def format_interval_basis(m: Measurement) -> str:
    """What the interval covers."""
    if m.processes == 1:
        return "interval: 95 %, of one process; another one may differ by more (--processes)"
    of = f"of {m.processes} fresh processes" if m.processes >= ENOUGH else ""
    return f"interval: 95 %, {of}" if of else f"interval: the range of {m.processes} fresh processes"
