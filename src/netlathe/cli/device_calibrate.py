"""netlathe device calibrate: what this machine attains, as a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netlathe.bench.calibrate import Calibration, calibrate
from netlathe.bench.machine import this_machine
from netlathe.bench.own_card import calibrating, own_card_path, read_calibrated_card
from netlathe.bench.raw import read_raw_files, save_calibrations
from netlathe.cli.common import calibration_progress, emit, json_option, print_table, wide_option
from netlathe.device.card import CardFigure, load
from netlathe.errors import NetlatheError
from netlathe.runtimes import registry
from netlathe.tables.table import Column, make_table
from netlathe.target.here import titled
from netlathe.units import show_percent


@click.command("calibrate")
@click.option(
    "--runtime",
    "names",
    type=click.Choice(list(registry.runnable())),
    multiple=True,
    help=f"[default: {registry.DEFAULT}]",
)
@click.option("--all", "everything", is_flag=True, help="Every runtime that is installed, in every precision.")
@click.option("--precision", metavar="NAME", help=registry.precision_help())
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="[default: where choose finds it]"
)
@click.option("--force", is_flag=True, help="On a machine so busy that its quiet speed does not show, too.")
@click.option("--refit", is_flag=True, help="Measure nothing: fit what was measured for the card again.")
@wide_option
@json_option
def command(
    names: tuple[str, ...],
    everything: bool,
    precision: str | None,
    threads: int,
    output: Path | None,
    force: bool,
    refit: bool,
    as_json: bool,
) -> None:
    """Measure this machine for half a minute a runtime and write its card: roofs, bandwidths, latency models.

    The card of this machine is what `choose` predicts with; a file given with -o can be shared.

    \b
      netlathe device calibrate
      netlathe device calibrate --runtime openvino --precision bf16 -o my-server.toml
    """
    if output is not None and output.suffix != ".toml":
        raise NetlatheError(f"a card is a .toml file, not {output.name}", code="device.file", path=str(output))
    on_gpu = registry.on_gpu()
    usable = [name for name in registry.installed() if registry.runtime(name).processor == "cpu"]
    asked = usable if everything else list(names or (registry.DEFAULT,))
    cuda = set(asked) <= on_gpu
    if (not cuda and set(asked) & on_gpu) or (cuda and output is None):
        hint = "netlathe device calibrate --runtime torch-cuda -o my-gpu.toml"
        raise NetlatheError("a GPU has a card of its own: name its file with -o", code="device.cuda", hint=hint)
    for name in asked:
        registry.runtime_version(name)
    ways = [
        (name, kind)
        for name in asked
        for kind in (registry.runtime(name).precisions if everything else (registry.precision_of(name, precision),))
    ]
    with calibrating(wait=False):
        before = (load(output) if output.exists() else None) if output else read_calibrated_card()
        path, done = output or own_card_path(), list[tuple[str, Calibration]]()
        if refit:
            done = read_raw_files(path)
        for name, kind in ways if not refit else ():
            with calibration_progress() as progress:
                shown = titled(progress, f"{name} {kind}")
                done.append((name, calibrate(name, precision=kind, threads=threads, force=force, progress=shown)))
        save_calibrations(path, done, before, cuda=cuda)
    calibrations = [calibration for _, calibration in done]
    if as_json:
        emit("device.calibrate", {"card": str(path), "calibrations": [data(c) for c in calibrations]})
        return
    show(calibrations)
    click.echo(f"wrote {path}", err=True)


def data(c: Calibration) -> dict[str, Any]:
    """A calibration as JSON values."""
    return {
        "runtime": c.model.runtime,
        "version": c.model.runtime_version,
        "precision": c.model.precision,
        "threads": c.model.threads,
        "error": {"mape": c.model.error.mape, "low": c.model.error.low, "high": c.model.error.high},
        "figures": [{"quantity": f.quantity, "of": f.of, "value": f.value, "unit": f.unit} for f in c.figures],
        "probes": len(c.probes),
        "networks": len(c.networks),
        "seconds": c.seconds,
        "foreign_load": c.foreign_load,
    }


def show(done: list[Calibration]) -> None:
    """A row a runtime."""
    machine = this_machine()
    print_table(make_table(COLUMNS, done, title=f"{machine.cpu} ({machine.id})"))


def figure(calibration: Calibration, quantity: str, of: str) -> CardFigure | None:
    """What calibration found, by quantity and what it is of."""
    return next((f for f in calibration.figures if (f.quantity, f.of) == (quantity, of)), None)


COLUMNS = (
    Column("runtime", lambda c: f"{c.model.runtime} {c.model.runtime_version}", text=True),
    Column("precision", lambda c: c.model.precision, text=True),
    Column("threads", lambda c: c.model.threads, priority=3),
    Column("peak", lambda c: figure(c, "peak", c.model.precision), lambda peak: f"{peak.value:g} {peak.unit}"),
    Column("dram copy", lambda c: figure(c, "bandwidth", "dram"), lambda copy: f"{copy.value:g} GB/s", priority=2),
    Column("held-out MAPE", lambda c: c.model.error.mape, show_percent),
    Column("measured / predicted", lambda c: f"{c.model.error.low:.2f} to {c.model.error.high:.2f}", priority=2),
    Column("took", lambda c: f"{c.seconds:.0f} s", priority=3),
)
