"""What calibration adds to a card, for people: operators alone, and how near a network comes to them."""

from __future__ import annotations

from collections.abc import Iterable

import click

from netlathe.cli.common import print_table
from netlathe.device.card import DeviceCard, Model, Operator
from netlathe.tables.device import ceilings_table
from netlathe.tables.table import Column, make_table
from netlathe.target.bottlenecks import Ceiling
from netlathe.units import show_percent


def show_models(card: DeviceCard) -> None:
    """A line a model, and the table of its operators."""
    for model in card.models:
        error = model.error
        click.echo(
            f"  model    {model.runtime} {model.runtime_version}, {model.threads} threads, {model.precision}, "
            f"batch {model.batch}: {model.networks} networks, {model.date}; "
            f"{100 * error.mape:.1f} % mean error on held-out networks" + f"; {model.machine}" * bool(model.machine)
        )
        if model.operators:
            show_operators(card, model)


def show_operators(card: DeviceCard, model: Model) -> None:
    """Each operator alone: times cold and warm, its rate in what binds it at the roofs, and its share of them, cold."""
    peak, bandwidth = card.find("peak", model.precision), card.find("bandwidth", "dram")
    roofs = (max(f.base for f in peak), max(f.base for f in bandwidth)) if peak and bandwidth else None

    def least(operator: Operator) -> tuple[float, bool]:
        return operator.least_ms(*roofs) if roofs else (0.0, operator.macs > 0)

    def rate(operator: Operator, ms: float) -> str:
        compute = least(operator)[1]
        return f"{operator.rate(ms, compute) / 1e9:.3g} {'GFLOP/s' if compute else 'GB/s'}"

    columns = (
        Column("class", lambda operator: operator.of, text=True),
        Column("operator alone", lambda operator: operator.shape, priority=2, text=True),
        Column("ms cold", lambda operator: operator.cold_ms, "{:.3f}".format, priority=3),
        Column("ms warm", lambda operator: operator.warm_ms, "{:.3f}".format, priority=3),
        Column("cold", lambda operator: rate(operator, operator.cold_ms)),
        Column("warm", lambda operator: rate(operator, operator.warm_ms), priority=2),
        Column(
            "of the roof, cold",
            lambda operator: least(operator)[0] / operator.cold_ms or None,
            lambda share: show_percent(share, 0),
        ),
    )
    title = f"{model.runtime} {model.precision}, {model.threads} threads"
    print_table(make_table(columns, model.operators, title=title))


def show_ceilings(ceilings: Iterable[Ceiling]) -> None:
    """A line a class."""
    print_table(ceilings_table(ceiling._asdict() for ceiling in ceilings))
