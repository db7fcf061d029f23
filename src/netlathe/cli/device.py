"""netlathe device: what a device can do, and what that means for a network. One thin sub-command a question."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

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
    one_net,
    print_table,
    print_warnings,
    reading_notes,
    resolution_option,
    wide_option,
    write_page,
)
from netlathe.cli.device_fit import fit, probe_set
from netlathe.cli.lazy import LazyGroup
from netlathe.device.card import CardFigure, DeviceCard, load, names
from netlathe.device.vocabulary import PRECISIONS
from netlathe.tables.device import roofline_table
from netlathe.tables.table import Column, make_table
from netlathe.units import show_ms, show_points

if TYPE_CHECKING:
    from netlathe.arch.network import Network
    from netlathe.device.microcontroller import MicrocontrollerFit, Spread
    from netlathe.read.module import InputShape


LATER = {
    "calibrate": ("netlathe.cli.device_calibrate", "Measure this machine and write its card."),
    "kit": ("netlathe.cli.device_kit", "A folder that measures a device which cannot install Netlathe."),
    "why": ("netlathe.cli.device_why", "Where the time goes on a device, and what would help."),
}


@click.group(cls=LazyGroup, later=LATER)
def command() -> None:
    """What a device can do, and what that means for a network.

    CARD is a shipped card (see `netlathe device list`) or a file of your own, such as my-phone.toml.

    \b
      netlathe device roofline mobilenetv2 --device a100-sxm-40 --precision fp16
      netlathe device why efficientnet_b0 --device rpi-5
      netlathe device micro mobilenetv1_025 --device stm32f746
    """


device_option = click.option("--device", "name", required=True, metavar="CARD", help="A card, by name or file.")
precision_option = click.option(
    "--precision", type=click.Choice(PRECISIONS), help="[default: fp32, else the card's first]"
)


threads_option = click.option(
    "--threads", type=click.IntRange(1), help="[default: 1, or the fewest that the card was measured with]"
)


def pick_precision(card: DeviceCard, precision: str | None) -> str:
    """The precision asked for, else that in which the device is forecast, else the first with a roof."""
    from netlathe.target.device import all_targets

    usual = all_targets(card)[0].precision
    return precision or (usual if usual in card.precisions or not card.precisions else card.precisions[0])


def format_figure(figure: CardFigure) -> str:
    """312000 GFLOP/s -> 312 TFLOP/s where that reads better; as the card says otherwise."""
    tera = figure.unit in ("GFLOP/s", "GOP/s") and figure.value >= 1000
    shown = f"{figure.value / 1000:.4g} T{figure.unit[1:]}" if tera else f"{figure.value:.4g} {figure.unit}"
    return shown + ("?" if figure.unconfirmed or figure.kind == "unconfirmed" else "")


@command.command("list")
@wide_option
@json_option
def list_(as_json: bool) -> None:
    """The cards that come with Netlathe; ? marks unconfirmed figures."""
    cards = [load(name) for name in names()]
    if as_json:
        emit("device", {"cards": [asdict(card) for card in cards]})
        return

    print_table(make_table(CARD_COLUMNS, cards))


def strongest(quantity: str, *of: str) -> Callable[[DeviceCard], str | None]:
    """The largest of a card's figures of a quantity, as it is written; None where it has none."""

    def read(card: DeviceCard) -> str | None:
        figures = [figure for kind in of for figure in card.find(quantity, kind or None)]
        return format_figure(max(figures, key=lambda figure: figure.base)) if figures else None

    return read


def measured(card: DeviceCard) -> str:
    """The runtimes that measurements speak of on a card, its own or those of its cores."""
    from netlathe.device.evidence import evidence

    return ", ".join(dict.fromkeys(name for name, _, _ in evidence(card)))


CARD_COLUMNS = (
    Column("card", lambda card: card.id, text=True),
    Column("class", lambda card: card.class_, priority=2, text=True),
    Column("fp32", strongest("peak", "fp32")),
    Column("fp16, bf16", strongest("peak", "fp16", "bf16"), priority=2),
    Column("int8", strongest("peak", "int8")),
    Column("bandwidth", strongest("bandwidth", "dram"), priority=2),
    Column("memory", lambda card: strongest("sram" if card.find("sram") else "memory", "")(card)),
    Column("measured", lambda card: measured(card) or None, text=True, priority=3),
)
FIGURE_COLUMNS = (
    Column("figure", lambda figure: f"{figure.of} {figure.quantity}".strip(), text=True),
    Column("value", lambda figure: figure, format_figure),
    Column("kind", lambda figure: figure.kind, priority=2, text=True),
    Column("note", lambda figure: figure.note, priority=4, text=True, wraps=True),
    Column("source", lambda figure: figure.source, priority=3, text=True, wraps=True),
)


@command.command()
@click.argument("name", metavar="CARD")
@click.option("--toml", "as_toml", is_flag=True, help="The file itself, to start a card of your own.")
@wide_option
@json_option
def show(name: str, as_toml: bool, as_json: bool) -> None:
    """Every figure of a card, with its kind and its source, and its models; `this` is the card of this machine."""
    from netlathe.cli.device_operators import show_models
    from netlathe.device.card import to_toml
    from netlathe.target.device import load_device

    card = load_device(name)
    if as_toml:
        click.echo(to_toml(card), nl=False)
        return
    if as_json:
        emit("device", asdict(card))
        return
    print_table(make_table(FIGURE_COLUMNS, card.figures, title=f"{card.name}, {card.class_}, {card.date}"))
    show_models(card)
    if card.notes:
        click.echo(f"  note     {card.notes}")


@command.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@json_option
def check(files: tuple[str, ...], as_json: bool) -> None:
    """Read cards of your own and report every fault with its place."""
    cards = {file: load(file) for file in files}
    warnings = [f"{file}: {warning}" for file, card in cards.items() for warning in card.warnings(*card.figures)]
    if as_json:
        emit("device", {"cards": [asdict(card) for card in cards.values()]}, warnings)
        return
    for file, card in cards.items():
        click.echo(f"{file}: right; {card.id}, {len(card.figures)} figures, {len(card.models)} models")
    print_warnings(warnings)


@command.command()
@click.argument("net", metavar="NET")
@device_option
@precision_option
@batch_option
@resolution_option
@input_option
@click.option(
    "--by", type=click.Choice(["op", "kind", "bound"]), default="kind", show_default=True, help="What a row is."
)
@click.option("--attained", is_flag=True, help="Measured figures of the card, where it has them, instead of its roofs.")
@click.option("--eager", is_flag=True, help="Every operator moves its own bytes: nothing is fused.")
@html_option
@wide_option
@json_option
def roofline(
    net: str,
    name: str,
    precision: str | None,
    batch: int,
    resolution: int | None,
    inputs: tuple[InputShape, ...],
    by: str,
    attained: bool,
    eager: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """A bound, no forecast (see why): least times by the roofline.

    Operator by operator the longer of FLOPs / peak and bytes / bandwidth. FLOPs = 2 x MACs.
    """
    from netlathe.device.roofline import roofline as read
    from netlathe.target.device import load_device

    card, network = load_device(name), one_net(net, resolution, inputs)
    roof = read(
        network.graph(),
        card,
        precision=pick_precision(card, precision),
        batch=batch,
        fused=not eager,
        attained=attained,
    )
    facts = {key: getattr(roof, key) for key in ("ms", "ridge", "intensity", "waiting", "efficiency")}
    data = {"network": network.name} | asdict(roof) | facts
    warnings = [*reading_notes([network]), *roof.warnings]
    if html is not None:
        from netlathe.report.pages import device

        write_page(html, device.roofline(data, warnings, command=command_line()))
    if as_json:
        emit("device", data, warnings)
        return
    print_table(roofline_table(data, by))
    click.echo(
        f"  ridge    {roof.ridge:.1f} FLOP/byte; the network has {roof.intensity:.1f}\n"
        f"  waits    {100 * roof.waiting:.0f} % of the time is bound by memory\n"
        f"  total    {show_ms(roof.ms)} at least ({show_ms(roof.ms / batch)} an image): at most "
        f"{100 * roof.efficiency:.1f} % of the peak"
    )
    print_warnings(warnings)


CARDS = (("h200-sxm", "bf16", 128), ("rtx-3090", "fp16", 128), ("i9-10940x", "fp32", 1), ("phone-2016-core", "fp32", 1))


@command.command()
@wide_option
@json_option
def rankings(as_json: bool) -> None:
    """VGG-16, ResNet-50 and MobileNetV1 by MACs, on GPUs and on CPUs: the three rankings of the lecture's slide."""
    from netlathe.device.rankings import CAPTIONS, NETWORKS, by_card, by_macs, measurements

    cards = [by_card(load(name), precision=precision, batch=batch) for name, precision, batch in CARDS]
    every = [by_macs(), *measurements(), *cards]
    if as_json:
        data = [asdict(r) | {"ratios": r.ratios, "steps": r.steps, "verdict": r.verdict} for r in every]
        emit("device", {"networks": NETWORKS, "captions": {k: c.text for k, c in CAPTIONS.items()}, "rankings": data})
        return

    for what, caption in CAPTIONS.items():
        columns = (
            Column("cost over MobileNetV1's", lambda ranking: ranking.source, text=True, wraps=True),
            *(ratio_column(name, i) for i, name in enumerate(NETWORKS)),
            Column("the caption", lambda ranking: ranking.verdict, text=True, wraps=True),
        )
        rows = [ranking for ranking in every if ranking.what == what]
        print_table(make_table(columns, rows, title=f'{what}: "{caption.text}"'))


def ratio_column(network: str, index: int) -> Column:
    """A network's cost over MobileNetV1's."""
    return Column(network, lambda ranking: ranking.ratios[index], "{:.1f}".format)


@command.command()
@nets_argument
@device_option
@click.option("--runtime", default="tinyengine", show_default=True, help="tinyengine, x-cube-ai, cmsis-nn or tflm.")
@resolution_option
@input_option
@click.option("--published", is_flag=True, help="At every resolution with a published accuracy: the alpha/rho tables.")
@wide_option
@json_option
def micro(
    nets: tuple[str, ...],
    name: str,
    runtime: str,
    resolution: int | None,
    inputs: tuple[InputShape, ...],
    published: bool,
    as_json: bool,
) -> None:
    """Flash, SRAM and time of int8 networks on a microcontroller: what fits, what fits in patches."""
    from netlathe.target.device import load_device
    from netlathe.target.microcontroller import fit_net
    from netlathe.zoo.published import best

    card, networks = load_device(name), any_networks(nets, resolution, inputs)
    if published:
        networks = list(at_published(net.expression() for net in networks))
    fits = [fit_net(network, card, runtime) for network in networks]
    figures = [best(network.name.partition("@")[0], network.input[-1]) for network in networks]
    top1 = [figure.top1 if figure else None for figure in figures]
    warnings = reading_notes(networks) + list(dict.fromkeys(warning for one in fits for warning in one.warnings))
    if as_json:
        rows = [asdict(one) | {"top1": accuracy} for one, accuracy in zip(fits, top1, strict=True)]
        emit("device", {"card": card.id, "fits": rows}, warnings)
        return
    show_fits(card, fits, top1)
    print_warnings(warnings)


def at_published(networks: Iterable[Network]) -> list[Network]:
    """The networks at every resolution for which an accuracy is published."""
    from netlathe.zoo.published import figures

    return [
        network.at(size)
        for network in networks
        for size in sorted({figure.resolution for figure in figures(network.name)})
    ]


def show_ends(figure: Spread, unit: float = 1.0) -> str:
    """The middle, and both ends: 300 (294 to 309)"""
    middle, low, high = (f"{part / unit:.0f}" for part in (figure.mid, figure.low, figure.high))
    return f"{middle} ({low} to {high})"


def show_kib(figure: Spread) -> str:
    """Both ends in KiB."""
    return show_ends(figure, 1024)


def show_verdict(fit: MicrocontrollerFit) -> str:
    """Whether a network fits; what is too small for it, or what running it in patches costs."""
    if fit.patched:
        n, more = fit.patched.splits, 100 * fit.patched.extra
        return f"{n}x{n} patches to {fit.patched.path}, +{more:.1f} % MACs"
    return f"{fit.verdict}: {fit.binding}" if fit.verdict == "too big" else fit.verdict


FIT_COLUMNS = (  # of pairs: a fit and the published accuracy
    Column("network", lambda row: row[0].network, text=True),
    Column("flash KiB", lambda row: row[0].flash, show_kib, priority=3),
    Column("SRAM KiB", lambda row: row[0].sram, show_kib),
    Column("ms", lambda row: row[0].ms or None, show_ends),
    Column("top-1 %", lambda row: row[1] or None, show_points, priority=2),
    Column("verdict", lambda row: row[0], show_verdict, text=True, wraps=True),
)


def show_fits(card: DeviceCard, fits: list[MicrocontrollerFit], top1: list[float | None]) -> None:
    """A row a network, then the most accurate that fits."""
    flash = fits[0].flash_limit
    limits = f"flash {flash // 1024 if flash else '?'} KiB, SRAM {fits[0].sram_limit // 1024} KiB"
    title = f"{card.id} under {fits[0].runtime}: {limits}, int8"
    print_table(make_table(FIT_COLUMNS, zip(fits, top1, strict=True), title=title))
    fitting = [
        (a or 0.0, one.network) for one, a in zip(fits, top1, strict=True) if one.verdict in ("fits", "in patches")
    ]
    if len(fits) > 1:
        click.echo(f"  the most accurate that fits: {max(fitting)[1]}" if fitting else "  none fits for certain")


command.add_command(fit)
command.add_command(probe_set)
