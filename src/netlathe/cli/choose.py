"""netlathe choose: the network that fits a device and a budget, and why."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from netlathe.bench.measurement import Measurement
from netlathe.catalogue.licences import allowed as licences_allowed
from netlathe.catalogue.weights import SETS
from netlathe.choose.budget import LIMITS, Budget, read_budget, within_device
from netlathe.choose.decide import ACCURACY, MINIMISED
from netlathe.choose.run import ChoiceResult, choose, notes_of
from netlathe.cli.bench import seconds_option
from netlathe.cli.budget import budget_options
from netlathe.cli.choose_reasons import infeasible_error
from netlathe.cli.choose_show import choice_data, contention_warnings, show_choice
from netlathe.cli.common import (
    batch_option,
    calibration_progress,
    emit,
    html_option,
    json_option,
    print_warnings,
    progress_bar,
    wide_option,
    write_page,
)
from netlathe.cli.device import threads_option
from netlathe.errors import NetlatheError
from netlathe.runtimes.registry import quantising_runtimes, runnable
from netlathe.sources.everything import NAME as ALL_SOURCES
from netlathe.sources.registry import open_source
from netlathe.sources.source import SourceFilter, on_targets, rated_entries, rule_notes
from netlathe.target.device import other_device, targets_on
from netlathe.target.here import ALL, overlooked, targets_here, ways_here
from netlathe.target.target import Target


@click.command()
@budget_options(per="batch", top1=True)
@click.option("--device", metavar="CARD", help="Another device than this machine: predicted, not measured.")
@click.option("--minimise", type=click.Choice(list(MINIMISED)),
              help="Pick the network with the least of this that reaches --top1, not the most accurate.")  # fmt: skip
@click.option("--runtime", "runtimes", multiple=True, metavar="NAME",
              help="A runtime, or all for every installed one.  [default: those that were calibrated]")  # fmt: skip
@click.option("--precision", metavar="NAME", help="[default: every one that was calibrated]")
@threads_option
@batch_option
@click.option("--networks", "pattern", default="*", metavar="PATTERN", help='Only these, such as "regnet*".')
@click.option("--recipe", default="", metavar="WORD", help="Only accuracies by recipes that contain the word.")
@click.option("--extra-data", is_flag=True, help="Also weights pre-trained on more than ImageNet-1k.")
@click.option("--licence", "--license", "licences", multiple=True, metavar="NAME",
              help="Only weights under this licence, or kind: open, non-commercial, vendor, unknown.")  # fmt: skip
@click.option("--accuracy", "images", type=click.Choice(list(SETS)), default="imagenet", show_default=True,
              help="Images of the accuracy: ImageNet's validation set, its ReaL labels, or ImageNet-V2.")  # fmt: skip
@click.option("--from", "source", default=ALL_SOURCES, metavar="SOURCE",
              show_default=True,
              help="Of the candidates: all (zoo and timm), zoo, timm, a folder with accuracies, a search.")  # fmt: skip
@seconds_option
@click.option("--all", "whole", is_flag=True, help="Print the whole front, not its upper end.")
@click.option("--int8", is_flag=True, help="Also measure the quantised file of the pick.")
@click.option("--fresh", is_flag=True, help="Measure again what was measured here in the last day.")
@html_option
@wide_option
@json_option
def command(
    limits: dict[str, Any],
    device: str | None,
    minimise: str | None,
    runtimes: tuple[str, ...],
    precision: str | None,
    threads: int | None,
    batch: int,
    pattern: str,
    recipe: str,
    extra_data: bool,
    licences: tuple[str, ...],
    images: str,
    source: str,
    seconds: float,
    whole: bool,
    int8: bool,
    fresh: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """The most accurate network that fits a budget, with runtime and precision; measured if it is for this machine.

    With --minimise the fastest (or smallest) network that reaches an accuracy.

    \b
      netlathe choose --latency 15ms --size 20MB
      netlathe choose --minimise latency --top1 75
      netlathe choose --latency 5ms --runtime all
      netlathe choose --batch 8 --latency 60ms
      netlathe choose --device stm32f746
      netlathe choose --latency 15ms --html choice.html
      netlathe choose --device phone-a76-core --latency 60ms --top1 70
      netlathe choose --from my-networks/ --latency 15ms
      netlathe choose --from timm --latency 30ms --extra-data --licence open

    Exit code 3: nothing fits; the binding limit and the nearest budgets are named.
    """
    asked, criterion = read_budget(limits), MINIMISED[minimise] if minimise else ACCURACY
    if asked == Budget() and device is None:
        hint = "for example: netlathe choose --latency 15ms --size 20MB"
        raise NetlatheError("a choice needs at least one limit", code="choose.no_budget", hint=hint)
    if minimise and asked.top1 is None:
        hint = f"for example: netlathe choose --minimise {minimise} --top1 75"
        raise NetlatheError("what is minimised needs an accuracy to reach", code="choose.no_accuracy", hint=hint)
    opened, here = open_source(source), other_device(device) is None
    count = threads or 1
    if here:
        check_runtimes(runtimes)
        ways_here(runtimes, precision, count)
    if int8 and not here:
        raise NetlatheError("--int8 measures, so it is for this machine alone", code="choose.int8")
    targets = [] if here else targets_on(str(device), runtimes, precision, threads, batch)
    entries = rated_entries(opened, SourceFilter(pattern, recipe, extra_data, licences_allowed(licences), images))
    try:
        if here:
            with calibration_progress() as progress:
                targets = targets_here(runtimes, precision, count, batch=batch, progress=progress)
        budget = within_device(asked, targets[0])
        if all(budget.limit(limit) is None for limit in LIMITS):
            hint = f"for example: netlathe choose --device {device} --latency 15ms"
            raise NetlatheError("a choice needs at least one limit", code="choose.no_budget", hint=hint)
        pool = on_targets(entries, targets)
        with progress_bar("measuring") as bar:
            outcome = choose(pool, budget, targets, seconds=seconds, fresh=fresh, criterion=criterion, progress=bar)
        if here and not runtimes and precision is None:
            outcome = replace(outcome, notes=overlooked(targets, int8=int8))
        if int8:
            outcome = replace(outcome, int8=measure_int8(outcome, seconds))
    except KeyboardInterrupt:
        click.echo("what was measured is kept: the same command continues", err=True)
        raise
    if outcome.decision.pick is None:
        raise infeasible_error(outcome)
    words = {"minimise": minimise, **limits, "device": None if here else device}
    words |= {"networks": pattern if pattern != "*" else None, "recipe": recipe or None}
    words |= {"threads": targets[0].threads}
    words |= {"batch": batch if batch > 1 else None, "from": source if source != ALL_SOURCES else None}
    words |= {"accuracy": images if images != "imagenet" else None}
    again = repeat(words, targets if targets[0].measures else (), extra_data, licences)
    warnings = [
        *opened.notes,
        *notes_of(targets),
        *rule_notes(entries, targets),
        *contention_warnings(outcome.decision),
    ]
    if html is not None:
        from netlathe.report.pages.choose import page

        write_page(html, page(choice_data(outcome, again), warnings))
    if as_json:
        emit("choose", choice_data(outcome, again), warnings)
        return
    show_choice(outcome, again, whole)
    print_warnings(warnings)


def measure_int8(outcome: ChoiceResult, seconds: float) -> list[Measurement]:
    """The latencies of the quantised file of the pick under every runtime of the choice that has a quantiser."""
    from netlathe.deploy.trial import time_int8

    pick, target = outcome.decision.pick, outcome.targets[0]
    if pick is None:
        return []
    network = pick.net.expression()
    names = dict.fromkeys(t.runtime for t in outcome.targets if t.runtime in quantising_runtimes())
    with progress_bar("quantising and measuring int8") as bar:
        how = {"threads": target.threads, "batch": target.batch, "seconds": seconds}
        return [time_int8(network, name, **how, progress=bar) for name in names]  # type: ignore[arg-type]


def check_runtimes(names: Sequence[str]) -> None:
    """Raise BadParameter for a runtime that cannot run here."""
    for name in names:
        if name not in (ALL, *runnable()):
            raise click.BadParameter(f"{name!r} is not one of {', '.join((*runnable(), ALL))}", param_hint="--runtime")


def repeat(options: dict[str, Any], targets: Sequence[Target], extra_data: bool, licences: Sequence[str] = ()) -> str:
    """The command that repeats a choice, with the runtimes spelt out."""
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    words += [word for name in licences for word in ("--licence", name)]
    for runtime in dict.fromkeys(target.runtime for target in targets):
        words += ["--runtime", runtime]
    precisions = {target.precision for target in targets}
    if len(precisions) == 1:
        words += ["--precision", precisions.pop()]
    return shlex.join(["netlathe", "choose", *words, *["--extra-data"] * extra_data])
