"""netlathe device fit and probe-set: a latency model for a device that cannot run us, from a few measured networks."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date

import click

from netlathe.cli.common import emit, json_option, print_table, wide_option
from netlathe.errors import NetlatheError
from netlathe.runtimes.registry import DEFAULT
from netlathe.tables.table import Column, make_table
from netlathe.units import mac_count, show_count


@click.command("fit")
@click.argument("file", metavar="FILE.csv", required=False)
@click.option("--measurements", metavar="FILE.csv", help="The same as FILE.csv.")
@click.option("-o", "--output", required=True, metavar="CARD.toml", help="The card to write.")
@click.option("--device", metavar="CARD", help="Take figures and name from this card.  [default: a new card]")
@click.option("--name", metavar="TEXT", help="What the device is called.  [default: as in the file]")
@click.option("--class", "class_", default="phone", show_default=True, metavar="CLASS", help="Of a new card.")
@wide_option
@json_option
def fit(
    file: str | None,
    measurements: str | None,
    output: str,
    device: str | None,
    name: str | None,
    class_: str,
    as_json: bool,
) -> None:
    """A card with a latency model from measured networks.

    \b
    FILE.csv is what a kit measured (`netlathe device kit`), or a file of yours. Each line is one measurement, such as
      network,latency_ms,runtime,threads,precision,batch
      mobilenetv2,12.4,tflite,1,fp32,1
      resnet50@160,48.9,tflite,1,fp32,1
    Only the first two columns are needed; processor, system and runtime_version describe the device. The error bar is
    that of networks left out in turn.
    """
    from pathlib import Path

    from netlathe.device import card as cards
    from netlathe.device.measurements import described, fit_models, read

    if (file is None) == (measurements is None):
        hint = "netlathe device fit results.csv -o my-device.toml"
        raise NetlatheError("give one file of measurements", code="usage", hint=hint)

    stem = Path(output).stem.lower().replace("_", "-").replace(" ", "-")
    today = date.today().isoformat()
    networks = read(file or measurements or "")
    title = name or described(networks, "processor") or stem
    base = cards.load(device) if device else cards.DeviceCard(stem, title, class_, today, ())
    models = fit_models(networks, today)
    settings = {(m.runtime, m.threads, m.precision, m.batch) for m in models}
    kept = tuple(m for m in base.models if (m.runtime, m.threads, m.precision, m.batch) not in settings)
    card = replace(base, id=stem, name=name or base.name, models=(*kept, *models))
    cards.save(card, output)
    if as_json:
        emit("device", {"card": output, "models": [asdict(m) for m in models]})
        return
    print_table(make_table(MODEL_COLUMNS, models, title=f"{output}: models of {card.name}"))


MODEL_COLUMNS = (
    Column("runtime", lambda model: model.runtime, text=True),
    Column("threads", lambda model: model.threads, priority=3),
    Column("precision", lambda model: model.precision, priority=2, text=True),
    Column("batch", lambda model: model.batch, priority=3),
    Column("networks", lambda model: model.networks, priority=2),
    Column("error, left out", lambda model: model.error.mape, "{:.0%}".format),
    Column("90 % interval", lambda model: f"{model.error.low:.2f} to {model.error.high:.2f} x"),
)


@click.command("probe-set")
@click.option("-n", "count", type=click.IntRange(3), default=10, show_default=True, help="How many networks.")
@click.option(
    "--networks", "pattern", default="*", show_default=True, metavar="PATTERN", help="Choose from these of the zoo."
)
@click.option("--max-macs", default="5G", show_default=True, metavar="MACS", help="None larger.")
@click.option("--runtime", default=DEFAULT, show_default=True, help="Whose fusion counts.")
@wide_option
@json_option
def probe_set(count: int, pattern: str, max_macs: str, runtime: str, as_json: bool) -> None:
    """The networks to measure on a device, for `netlathe device fit` (D-optimal, with some of middling size)."""
    from netlathe.device.measurements import probe_networks
    from netlathe.device.probe import design

    nets = probe_networks(pattern, count, mac_count(max_macs), runtime)
    chosen = [nets[i] for i in design([net.row for net in nets], count)]
    if as_json:
        emit("device", {"networks": [{"network": net.name, "macs": net.macs} for net in chosen]})
        return
    columns = (Column("network", lambda net: net.name, text=True), Column("MACs", lambda net: net.macs, show_count))
    print_table(make_table(columns, chosen, title=f"measure these {count} of {len(nets)}"))
    click.echo("  then: netlathe device fit --measurements FILE.csv -o CARD.toml")
