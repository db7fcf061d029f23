"""netlathe bench NET...: measured latency on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import click

from netlathe.bench import ledger
from netlathe.bench.machine import this_machine
from netlathe.bench.measure import measure
from netlathe.bench.measurement import Measurement
from netlathe.bench.runtimes import RUNTIMES
from netlathe.cli.common import (
    batch_option,
    emit,
    json_option,
    networks,
    print_table,
    progress_bar,
    resolution_option,
    single_or_many,
    warn,
)
from netlathe.errors import Exit, NetlatheError
from netlathe.units import show_bytes, show_ms

threads_option = click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the runtime.")
seconds_option = click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Measuring time a network.",
)
precision_option = click.option("--precision", metavar="NAME", help="fp32, or bf16 where the runtime has it.")
runtime_option = click.option("--runtime", type=click.Choice(list(RUNTIMES)), default="onnxruntime", show_default=True)


@click.command()
@click.argument("nets", nargs=-1, metavar="NET...")
@resolution_option
@batch_option
@threads_option
@seconds_option
@runtime_option
@precision_option
@click.option("--from", "source", metavar="ID", help="Repeat the measurement of that id, under its conditions.")
@json_option
def command(
    nets: tuple[str, ...],
    resolution: int | None,
    batch: int,
    threads: int,
    seconds: float,
    runtime: str,
    precision: str | None,
    source: str | None,
    as_json: bool,
) -> None:
    """Measure latency: each network in a process of its own, random weights, median and 95 % interval.

    \b
      netlathe bench mobilenetv2 resnet18
      netlathe bench resnet50 --threads 2 --batch 8
      netlathe bench --from 1f0c5a7e2b
    """
    before = None
    if source is not None:
        before = ledger.find(source)
        nets, threads, batch, runtime = (before.network,), before.threads, before.batch, before.runtime
        resolution, precision = before.resolution, before.precision
    if not nets:
        raise click.UsageError("give a NET, or --from ID")
    found = networks(nets, resolution)
    if before is not None and found[0].key != before.key:
        raise NetlatheError(f"{before.network} is not the network it was for {source}", code="bench.changed")
    with progress_bar("measuring") as progress:
        done = measure(
            found,
            batch=batch,
            threads=threads,
            seconds=seconds,
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
            click.echo(f"  before: {show_ms(before.median_ms)} ({before.date}, {before.device})")
        warn(warnings)
    if all(m.failure for m in done):
        raise click.exceptions.Exit(Exit.CHECK_FAILED)


def show(done: Sequence[Measurement]) -> None:
    """The latencies as a table, with their conditions."""
    table = [
        (
            m.network,
            m.id,
            *((m.failure, *[""] * 5) if m.failure else figures(m)),
        )
        for m in done
    ]
    heads = ("network", "id", "median", "95 % interval", "min", "p90", "runs", "memory")
    print_table(conditions(done[0]), heads, table)


def figures(m: Measurement) -> tuple[str, ...]:
    """The cells of a measurement that succeeded."""
    memory = show_bytes(m.rss_bytes) if m.rss_bytes is not None else "-"
    interval = f"{m.low_ms:.3g} to {m.high_ms:.3g} ms"
    return show_ms(m.median_ms), interval, show_ms(m.min_ms), show_ms(m.p90_ms), str(m.runs), memory


def conditions(m: Measurement) -> str:
    """Device, runtime, threads, precision and batch in a line."""
    machine = this_machine()
    threads = f"{m.threads} thread{'s' * (m.threads > 1)}"
    return f"{machine.cpu} ({m.device}), {m.runtime} {m.runtime_version}, {threads}, {m.precision}, batch {m.batch}"
