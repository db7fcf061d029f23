"""netlathe reshape NET: turn knobs, factor convolutions, scale, and solve for a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from netlathe.arch.diff import Change, Diff, diff
from netlathe.arch.network import Network
from netlathe.cli.common import command_line, emit, json_option, one_network, print_table, wide_option, write_page
from netlathe.cost.count import count
from netlathe.errors import NetlatheError, unknown
from netlathe.reshape.factor import FORMS, dense, factor, where
from netlathe.reshape.knobs import KNOBS, KnobRules, exponents, turn_knobs
from netlathe.reshape.solve import MEASURES, Solution, solve
from netlathe.reshape.width import ROUNDING
from netlathe.tables.table import Column, make_table
from netlathe.units import COUNTS, quantity, show_count

COSTS = {"params": "params", "macs": "MACs", "acts": "acts"}  # of one image, and their headings
SHOWN = 24  # lines of a diff on one screen


def target(text: str) -> tuple[str, int]:
    """macs=300M as a measure and a number."""
    measure, sign, value = text.partition("=")
    if not sign:
        raise NetlatheError(f"{text!r} is not a target", code="solve.target", hint='write --to "macs=300M"')
    if measure not in MEASURES:
        raise unknown("cost", measure, MEASURES, code="solve.measure")
    return measure, round(quantity(value, COUNTS, f"number of {measure}", "300M"))


@click.command()
@click.argument("net")
@click.option("--width", type=float, metavar="X", help="Every free width times X.")
@click.option("--depth", type=float, metavar="X", help="The blocks of every stage times X.")
@click.option("--inner", type=float, metavar="X", help="The widths inside blocks times X: expansion, squeeze.")
@click.option("--groups", type=int, metavar="N", help="The cardinality of bottlenecks.")
@click.option("--resolution", type=int, metavar="PX", help="Square images of this size.")
@click.option("--rounding", type=click.Choice(list(ROUNDING)), default="ten_percent", show_default=True)
@click.option("--keep", multiple=True, metavar="PATH", help="Leave the widths and depths of these paths alone.")
@click.option(
    "--factor", "form", type=click.Choice(list(FORMS)), help="First factor dense convolutions into this form."
)
@click.option("--where", "path", default="*", metavar="PATH", help="Factor only below paths such as 'stage3*'.")
@click.option("--kernel", type=int, metavar="K", help="Factor only KxK.")
@click.option("--into", type=int, metavar="N", help="The groups, or the free width, of the factored form.")
@click.option("--to", metavar="COST", help='A budget, such as "macs=300M": solve for the missing knob.')
@click.option("--solve", "knob", type=click.Choice(list(KNOBS)), help="The knob to solve for.")
@click.option("--diff", "all_changes", is_flag=True, help="Every change, not only the first.")
@click.option("--exponents", "show_exponents", is_flag=True, help="How costs grow with each knob, measured.")
@click.option("--doubling", is_flag=True, help="What twice the MACs buy, by every policy of scaling.")
@click.option("--device", metavar="CARD", help="With --doubling: the predicted latency on this card too.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="With --doubling: a plot up to 8 times.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the arch.json here.")
@wide_option
@json_option
def command(
    net: str,
    form: str | None,
    path: str,
    kernel: int | None,
    into: int | None,
    to: str | None,
    knob: str | None,
    all_changes: bool,
    show_exponents: bool,
    doubling: bool,
    device: str | None,
    html: Path | None,
    output: Path | None,
    as_json: bool,
    rounding: str,
    keep: tuple[str, ...],
    **knobs: float | None,
) -> None:
    """Turn the knobs of NET and show what changes; a new network, the old one stays.

    \b
      netlathe reshape resnet50 --inner 2 --groups 32                  it is now resnext50_32x4d
      netlathe reshape mobilenetv2 --resolution 160 --to "macs=100M"   solves for the width
      netlathe reshape vgg16_bn --factor separable -o small.json
    """
    start = one_network(net)
    if show_exponents:
        show_exponents_table(start, as_json)
        return
    if doubling:
        show_doubling(start, device, html, as_json)
        return
    turned = {name: value for name, value in knobs.items() if value is not None}
    if not (turned or form or to):
        raise NetlatheError("nothing to do: no knob, form or budget is given", code="reshape.nothing",
                            hint="for example --width 0.5, --factor separable or --to macs=300M")  # fmt: skip
    network = start
    if form:
        number: dict[str, Any] = {"groups": into} if form == "grouped" else {"width": into}
        chosen = where(path=path, kernel=kernel, form="dense", test=dense)
        network = factor(network, form, chosen, **number).network
    rules = KnobRules(width=rounding, keep=keep)
    solved: Solution | None = None
    if to:
        solved = solve(network, *target(to), knob, turned, rules)
        network = replace(solved.network, name=f"{network.name}{solved.network.name.removeprefix(network.name)}")
    else:
        network = turn_knobs(network, turned, rules)
    show_change(start, network, solved, all_changes, as_json)
    if output is not None:
        from netlathe.arch.document import to_json
        from netlathe.files import write_text

        write_text(output, to_json(network))
        click.echo(f"wrote {output}", err=True)


def costs(network: Network) -> dict[str, int]:
    """params, MACs and activations of one image."""
    cost = count(network.graph())
    return {"params": cost.params, "macs": cost.macs, "acts": cost.acts}


def show_change(start: Network, end: Network, solved: Solution | None, everything: bool, as_json: bool) -> None:
    """Before, after, ratio; the knob that was solved for; what changed."""
    before, after = costs(start), costs(end)
    changed = diff(start.graph(), end.graph())
    if as_json:
        emit("reshape", {
            "name": end.name,
            "from": start.name,
            "input": list(end.input),
            "before": before,
            "after": after,
            "solved": solved and {"knob": solved.knob, "value": solved.value, "reachable": list(solved.reachable)},
            "changes": [change._asdict() for change in changed.changes],
        })  # fmt: skip
        return
    if solved is not None:
        low, high = map(show_count, solved.reachable)
        click.echo(f"{solved.knob} = {solved.value:g} (reachable: {low} to {high})")
    columns = (
        Column("network", 0, text=True),
        *(cost_column(heading, name) for name, heading in COSTS.items()),
    )
    rows = [(net.name, {name: show_count(cost) for name, cost in figures.items()})
            for net, figures in ((start, before), (end, after))]  # fmt: skip
    print_table(make_table(columns, [*rows, ("ratio", ratios(before, after))]))
    click.echo("\n".join(lines(changed, everything)))


def cost_column(heading: str, name: str, show: Callable[[Any], str] = str) -> Column:
    """A cost of rows that are a name and costs."""
    return Column(heading, lambda row: row[1][name], show)


def ratios(before: dict[str, int], after: dict[str, int]) -> dict[str, str]:
    """After over before."""
    return {name: f"{after[name] / before[name]:.4f}" if before[name] else "-" for name in before}


def lines(changed: Diff, everything: bool) -> list[str]:
    """The diff as text, cut to a screen unless asked for whole."""
    shown = changed.changes if everything else changed.changes[:SHOWN]
    texts = [line(change) for change in shown]
    rest = len(changed.changes) - len(shown)
    if rest:
        texts.append(f"  and {rest} more changes: --diff shows them")
    if changed.elsewhere.ops:
        texts.append(f"  {changed.elsewhere.ops} other operators see other shapes: {delta(changed.elsewhere)}")
    return texts or ["no difference"]


def line(change: Change) -> str:
    """A change and its cost."""
    cost = delta(change)
    return f"{change}{f'  ({cost})' if cost else ''}"


def delta(change: Change) -> str:
    """Params and MACs more or less."""
    parts = [f"{what} {'+' if value > 0 else '-'}{show_count(abs(value))}"
             for what, value in (("params", change.params), ("MACs", change.macs)) if value]  # fmt: skip
    return ", ".join(parts)


def show_exponents_table(network: Network, as_json: bool) -> None:
    """log2 of the costs when each knob is doubled; why a knob has no meaning."""
    powers: dict[str, Any] = {}
    for knob in KNOBS:
        try:
            powers[knob] = exponents(network, knob)
        except NetlatheError as error:
            powers[knob] = error.message
    if as_json:
        emit("reshape", {"name": network.name, "exponents": powers})
        return
    fitted = {knob: values for knob, values in powers.items() if isinstance(values, dict)}
    columns = (
        Column("knob", 0, text=True),
        *(cost_column(heading, name, "{:.2f}".format) for name, heading in COSTS.items()),
    )
    title = f"{network.name}: log2 of the cost when the knob is doubled"
    print_table(make_table(columns, fitted.items(), title=title))
    for knob, why in powers.items():
        if isinstance(why, str):
            click.echo(f"{knob}: {why}")


def show_doubling(network: Network, device: str | None, html: Path | None, as_json: bool) -> None:
    """Ratios of the costs by policy; of the latency too, where a card is given."""
    from netlathe.reshape.compound import doubling

    latency = predicted(device) if device is not None else None
    rows = doubling(network, latency=latency)
    if html is not None:
        from netlathe.report.charts.curves import chart, chart_page

        what = f"latency on {device}" if device else "activations"
        curves: dict[str, list[tuple[float, float]]] = {bought.policy: [(1.0, 1.0)] for bought in rows}
        for times in (2, 4, 8):
            for bought in doubling(network, times, latency):
                grown = bought.acts if bought.latency is None else bought.latency
                curves[bought.policy].append((bought.macs, grown))
        drawn = chart(
            curves,
            title=f"{what} over MACs",
            description=f"{network.name} scaled up to eight times its MACs by each policy: what {what} grow to.",
            x=f"MACs, times those of {network.name}",
            y=f"{what}, times",
        )
        write_page(html, chart_page(drawn, title=f"{network.name}: ways to grow", command=command_line()))
    if as_json:
        policies = [bought._asdict() | {"network": bought.network.name} for bought in rows]
        emit("reshape", {"name": network.name, "device": device, "policies": policies})
        return
    columns = (
        Column("policy", lambda bought: bought.policy, text=True),
        Column("MACs", lambda bought: bought.macs, "{:.2f}".format),
        Column("params", lambda bought: bought.params, "{:.2f}".format, priority=2),
        Column("acts", lambda bought: bought.acts, "{:.2f}".format),
        Column("acts per MACs", lambda bought: bought.acts / bought.macs, "{:.2f}".format, priority=2),
        Column(f"latency on {device}", lambda bought: bought.latency, "{:.2f}".format) if device else None,
    )
    print_table(make_table(columns, rows, title=f"{network.name}: ratios after a doubling of the MACs"))


def predicted(device: str) -> Callable[[Network], float]:
    """The latency in ms that a card predicts for a network."""
    from netlathe.target.device import default_target

    target = default_target(device)
    return lambda network: target.predict(network).total_ms
