"""netlathe advise: recommend an architecture for a task, with reasons."""

from __future__ import annotations

from typing import Any

import click

from netlathe.audit.advise import TASKS, Advice, advise, image_count
from netlathe.choose.budget import Candidate, read_budget
from netlathe.cli.audit import format_field
from netlathe.cli.budget import budget_options
from netlathe.cli.common import emit, json_option, print_table, wide_option
from netlathe.cli.device import threads_option
from netlathe.errors import Exit
from netlathe.tables.table import Column, make_table
from netlathe.units import show_bytes, show_count, show_ms, show_points


@click.command()
@click.option("--task", required=True, type=click.Choice(list(TASKS)), help="What the network is for.")
@click.option("--images", metavar="COUNT", help="Training images, such as 50k or 2M.")
@click.option("--device", metavar="CARD", help="Where it runs: a card by name or file (netlathe device list).")
@budget_options()
@click.option("--precision", metavar="NAME", help="On the device, such as fp16.")
@threads_option
@wide_option
@json_option
def command(
    task: str,
    images: str | None,
    device: str | None,
    limits: dict[str, Any],
    precision: str | None,
    threads: int | None,
    as_json: bool,
) -> int:
    """The lecture's decision table as an answer: what to take, whether the evidence agrees, and what fits the device.

    \b
      netlathe advise --task classification --images 50k
      netlathe advise --task mobile --device phone-a76-core --latency 60ms
      netlathe advise --task audio

    Exit code 3: no network keeps the limits.
    """
    budget = read_budget(limits)
    count = image_count(images) if images else None
    advice = advise(task, images=count, device=device, precision=precision, threads=threads, budget=budget)
    if as_json:
        emit("advise", advice.record())
    else:
        show(advice)
    return Exit.DONE if advice.possible else Exit.INFEASIBLE


def forecast(candidate: Candidate) -> str:
    """The middle of the forecast and its upper end, which has to fit."""
    return f"{show_ms(candidate.latency_ms)}, at most {show_ms(candidate.latency_high_ms)}"


def show(advice: Advice) -> None:
    """The answer, the reasons, the networks, the next command."""
    click.echo(f"{advice.task}: {advice.answer}\n")
    for i, reason in enumerate(advice.reasons, 1):
        click.echo("\n".join(format_field(f"{i}.", reason)))
    if advice.fitting:
        timed = bool(advice.device)
        columns = (
            Column("the most accurate that fit", lambda candidate: candidate.name, text=True),
            Column("top-1 %", lambda candidate: candidate.top1, show_points),
            Column("forecast", lambda candidate: forecast(candidate) if timed else None, priority=1 if timed else 4),
            Column("memory", lambda candidate: candidate.memory_bytes, show_bytes, priority=2),
            Column("size", lambda candidate: candidate.size_bytes, show_bytes, priority=2),
            Column("MACs", lambda candidate: candidate.macs, show_count, priority=2),
            Column("recipe of the accuracy", lambda candidate: candidate.known_accuracy.recipe,
                   priority=3, text=True),
        )  # fmt: skip
        print_table(make_table(columns, advice.fitting))
    click.echo(f"{'' if advice.fitting else chr(10)}  next: {advice.command}")
