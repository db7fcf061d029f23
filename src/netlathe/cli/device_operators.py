"""What calibration adds to a card, for people: operators alone, and how near a network comes to them."""

from __future__ import annotations

from collections.abc import Iterable

import click

from netlathe.cli.common import print_table
from netlathe.device.card import DeviceCard, Model, load
from netlathe.device.why import Ceiling
from netlathe.errors import NetlatheError
from netlathe.tables.table import text_table

THIS = "this"  # the card of this machine, by this name


def named(name: str) -> DeviceCard:
    """A card by name or file, or that of this machine. Raises NetlatheError where it was never calibrated."""
    if name != THIS:
        return load(name)
    from netlathe.bench.own_card import own_card_path, read_own_card

    card = read_own_card()
    if card is None:
        hint = "netlathe device calibrate measures it in half a minute a runtime"
        raise NetlatheError("this machine has no card yet", code="device.none", path=str(own_card_path()), hint=hint)
    return card


def show_models(card: DeviceCard) -> None:
    """A line a model, and the table of its operators."""
    for model in card.models:
        error = model.error
        click.echo(
            f"  model    {model.runtime} {model.runtime_version}, {model.threads} threads, {model.precision}, "
            f"batch {model.batch}: {model.networks} networks, {model.date}; "
            f"{100 * error.mape:.1f} % mean error on held-out networks"
        )
        if model.operators:
            show_operators(card, model)


def show_operators(card: DeviceCard, model: Model) -> None:
    """Each operator alone: times cold and warm, its rate in what binds it at the roofs, and its share of them, cold."""
    peak, bandwidth = card.find("peak", model.precision), card.find("bandwidth", "dram")
    rows = []
    for one in model.operators:
        roofs = (max(f.base for f in peak), max(f.base for f in bandwidth)) if peak and bandwidth else None
        least, compute = one.least_ms(*roofs) if roofs else (0.0, one.macs > 0)
        unit = "GFLOP/s" if compute else "GB/s"
        cold, warm = (f"{one.rate(ms, compute) / 1e9:.3g} {unit}" for ms in (one.cold_ms, one.warm_ms))
        share = f"{100 * least / one.cold_ms:.0f} %" if least else "-"
        rows.append((one.of, one.shape, f"{one.cold_ms:.3f}", f"{one.warm_ms:.3f}", cold, warm, share))
    heads = ("class", "operator alone", "ms cold", "ms warm", "cold", "warm", "of the roof, cold")
    print_table(text_table(heads, rows, title=f"{model.runtime} {model.precision}, {model.threads} threads"))


def show_ceilings(found: Iterable[Ceiling]) -> None:
    """A line a class."""
    rows = [
        (c.kind, f"{c.here:.3g} {c.unit}", f"{c.warm:.3g} {c.unit}", f"{c.cold:.3g} {c.unit}", f"{c.here / c.warm:.0%}")
        for c in found
    ]
    print_table(text_table(("kind", "here", "best alone, warm", "best alone, cold", "of warm"), rows))
