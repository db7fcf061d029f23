"""netlathe modernise NET: the ConvNeXt roadmap on a bottleneck ResNet, step by step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from netlathe.arch.network import Network
from netlathe.cli.common import batch_option, emit, json_option, one_network, print_table, wide_option
from netlathe.cost.count import count
from netlathe.reshape.modernise import Rung, ladder, resnet200
from netlathe.tables.table import Column, make_table
from netlathe.units import show_count, show_ms


@click.command()
@click.argument("net")
@batch_option
@click.option("--latency", is_flag=True, help="Measure every step on this machine, in turns.")
@click.option("--seconds", type=float, default=1.0, show_default=True, help="Measuring time a step.")
@click.option("--threads", type=click.IntRange(1), help="[default: 1; with --device, the fewest that the card knows]")
@click.option("--device", metavar="CARD", help="Predict the latency of every step on this card.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write every step as arch.json.")
@wide_option
@json_option
def command(
    net: str,
    batch: int,
    latency: bool,
    seconds: float,
    threads: int | None,
    device: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """From a bottleneck ResNet to a ConvNeXt, a rewrite a step; the last step is the network of the zoo.

    \b
      netlathe modernise resnet50                 published accuracy and cost beside the counts
      netlathe modernise resnet101 -o steps/      convnext_small
    """
    from netlathe.target.device import default_target

    target = default_target(device, threads=threads, batch=batch) if device is not None else None
    start = resnet200() if net == "resnet200" else one_network(net)
    rungs = ladder(start)
    rows = [row(rung) for rung in rungs]
    if latency:
        from netlathe.bench.measure import measure

        networks = unique(rungs)
        done = measure(networks, batch=batch, threads=threads or 1, seconds=seconds)
        measured = {m.network: m for m in done}
        for rung, entry in zip(rungs, rows, strict=True):
            m = measured[rung.network.name]
            entry["latency_ms"] = None if m.failure else m.interval[1]
            entry["latency_interval_ms"] = None if m.failure else [*m.interval[::2]]
    if target is not None:
        for rung, entry in zip(rungs, rows, strict=True):
            prediction = target.predict(rung.network)
            entry["predicted_ms"] = prediction.total_ms
            entry["predicted_interval_ms"] = [prediction.low_ms, prediction.high_ms]
    if output is not None:
        save(rungs, output)
    if as_json:
        emit("modernise", {"name": start.name, "equals": twin(rungs[-1].network), "steps": rows})
        return
    show(start.name, rows)
    equal = twin(rungs[-1].network)
    if equal:
        click.echo(f"the last step is {equal}, the same expression")


def row(rung: Rung) -> dict[str, Any]:
    """A step as JSON values."""
    cost, published = count(rung.network.graph()), rung.published
    return {
        "step": rung.step,
        "what": rung.what,
        "params": cost.params,
        "macs": cost.macs,
        "acts": cost.acts,
        "published_macs_G": published.macs_G if published else None,
        "published_top1": published.top1 if published else None,
        "published_deviation": published.deviation if published else None,
        "note": published.note if published else "",
    }


def unique(rungs: list[Rung]) -> list[Network]:
    """The networks of the rungs, each once: the recipe changes none."""
    return list({rung.network.name: rung.network for rung in rungs}.values())


def twin(network: Network) -> str:
    """The network of the zoo with the same expression; empty where there is none."""
    from netlathe import zoo

    return next((name for name in zoo.names("convnext*") if zoo.get(name).body == network.body), "")


def show(name: str, rows: list[dict[str, Any]]) -> None:
    """The table and its notes."""
    published = any(entry["published_top1"] for entry in rows)
    notes = [entry["note"] for entry in rows if entry["note"]]

    def show_published_macs(entry: dict[str, Any]) -> str:
        mark = f" [{notes.index(entry['note']) + 1}]" if entry["note"] else ""
        return f"{entry['published_macs_G']:.2f}{mark}"

    def show_published_top1(entry: dict[str, Any]) -> str:
        deviation = f" ±{entry['published_deviation']:.2f}" if entry["published_deviation"] else ""
        return f"{entry['published_top1']:.2f}{deviation}"

    columns = (
        Column("step, and what it changes", lambda entry: f"{entry['step']:21}  {entry['what']}", text=True),
        Column("params", "params", show_count, priority=2),
        Column("MACs", "macs", show_count),
        Column("acts", "acts", show_count, priority=3),
        Column("paper's G", show_published_macs, priority=2) if published else None,
        Column("top-1 %", show_published_top1) if published else None,
        *(time_column(heading, key) for key, heading in TIMES.items() if key in rows[0]),
    )
    print_table(make_table(columns, rows, title=f"{name}: the ConvNeXt roadmap"))
    for i, note in enumerate(notes, 1):
        click.echo(f"[{i}] {note}")


def time_column(heading: str, key: str) -> Column:
    """A latency, or that it failed."""
    return Column(heading, lambda entry: "failed" if entry[key] is None else show_ms(entry[key]))


TIMES = {"predicted_ms": "predicted", "latency_ms": "measured"}


def save(rungs: list[Rung], folder: Path) -> None:
    """Every network as a file."""
    from netlathe.arch.document import to_json
    from netlathe.files import make_folder, write_text

    make_folder(folder)
    for i, network in enumerate(unique(rungs)):
        write_text(folder / f"{i:02}-{network.name}.json", to_json(replace(network)))
    click.echo(f"wrote {len(unique(rungs))} networks to {folder}", err=True)
