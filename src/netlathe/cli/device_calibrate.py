"""netlathe device calibrate: what this machine attains, as a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netlathe.bench.calibrate import Calibration, calibrate, card_of
from netlathe.bench.machine import this_machine
from netlathe.bench.own_card import own_card_path, read_own_card
from netlathe.cli.common import emit, json_option, print_table, progress_bar
from netlathe.device.card import load, save
from netlathe.errors import NetlatheError
from netlathe.files import make_folder
from netlathe.runtimes import registry
from netlathe.tables.table import text_table


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
@click.option("--force", is_flag=True, help="On a busy machine too.")
@json_option
def command(
    names: tuple[str, ...],
    everything: bool,
    precision: str | None,
    threads: int,
    output: Path | None,
    force: bool,
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
    usable = [name for name in registry.installed() if name not in on_gpu]
    asked = usable if everything else list(names or (registry.DEFAULT,))
    cuda = set(asked) <= on_gpu
    if (not cuda and set(asked) & on_gpu) or (cuda and output is None):
        hint = "netlathe device calibrate --runtime torch-cuda -o my-gpu.toml"
        raise NetlatheError("a GPU has a card of its own: name its file with -o", code="device.cuda", hint=hint)
    before = (load(output) if output.exists() else None) if output else read_own_card()
    done: list[Calibration] = []
    for name in asked:
        for kind in registry.runtime(name).precisions if everything else (precision,):
            with progress_bar(f"{name} {kind or ''}".strip()) as progress:
                done.append(calibrate(name, precision=kind, threads=threads, force=force, progress=progress))
    path = output or own_card_path()
    make_folder(path.parent)
    save(card_of(this_machine(), done, before, cuda=cuda), path)
    if as_json:
        emit("device.calibrate", {"card": str(path), "calibrations": [data(c) for c in done]})
        return
    show(done)
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
    rows = []
    for c in done:
        error, figures = c.model.error, {(f.quantity, f.of): f for f in c.figures}
        peak = figures["peak", c.model.precision]
        rows.append(
            (
                f"{c.model.runtime} {c.model.runtime_version}",
                c.model.precision,
                str(c.model.threads),
                f"{peak.value:g} {peak.unit}",
                f"{figures['bandwidth', 'dram'].value:g} GB/s" if ("bandwidth", "dram") in figures else "-",
                f"{100 * error.mape:.1f} %",
                f"{error.low:.2f} to {error.high:.2f}",
                f"{c.seconds:.0f} s",
            )
        )
    heads = ("runtime", "precision", "threads", "peak", "dram copy", "held-out MAPE", "measured / predicted", "took")
    machine = this_machine()
    print_table(text_table(heads, rows, title=f"{machine.cpu} ({machine.id})"))
