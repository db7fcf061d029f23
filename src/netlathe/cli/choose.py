"""netlathe choose: the network that fits this machine and a budget, and why."""

from __future__ import annotations

import shlex
from typing import Any

import click

from netlathe.bench.measurement import Measurement
from netlathe.choose.budget import LIMITS, Budget, Candidate
from netlathe.choose.decide import Decision, binding, front, noise
from netlathe.choose.run import SHOWN, Conditions, Outcome, candidates, choose, nearest_budget
from netlathe.cli.bench import runtime_option, seconds_option, threads_option
from netlathe.cli.common import emit, json_option, print_table, progress_bar, warn
from netlathe.errors import Infeasible, NetlatheError
from netlathe.units import byte_count, mac_count, milliseconds, show_bytes, show_count, show_ms


@click.command()
@click.option("--latency", metavar="TIME", help="For one image, such as 15ms.")
@click.option("--memory", metavar="SIZE", help="Weights and peak activations, such as 64MB.")
@click.option("--size", metavar="SIZE", help="Of the file, fp32, such as 20MB or 20MiB.")
@click.option("--macs", metavar="COUNT", help="Multiply-accumulates for one image, such as 600M.")
@click.option("--top1", type=float, metavar="PERCENT", help="The least published ImageNet top-1.")
@click.option("--networks", "pattern", default="*", metavar="PATTERN", help='Only these, such as "regnet*".')
@click.option("--recipe", default="", metavar="WORD", help="Only accuracies by recipes that contain the word.")
@click.option("--extra-data", is_flag=True, help="Also networks pre-trained on more than ImageNet-1k.")
@threads_option
@seconds_option
@runtime_option
@click.option("--all", "whole", is_flag=True, help="Print the whole front, not its upper end.")
@click.option("--fresh", is_flag=True, help="Measure again what was measured here in the last day.")
@json_option
def command(
    latency: str | None,
    memory: str | None,
    size: str | None,
    macs: str | None,
    top1: float | None,
    pattern: str,
    recipe: str,
    extra_data: bool,
    threads: int,
    seconds: float,
    runtime: str,
    whole: bool,
    fresh: bool,
    as_json: bool,
) -> None:
    """The most accurate network that fits a budget on this machine, measured here.

    \b
      netlathe choose --latency 15ms --size 20MB
      netlathe choose --latency 5ms --memory 16MB --networks "mobilenet*"
      netlathe choose --macs 600M --top1 75

    Exit code 3: nothing fits; the binding limit and the nearest budgets are named.
    """
    if top1 is not None and not 0 < top1 < 100:
        raise NetlatheError(f"--top1 is a percentage between 0 and 100, not {top1}", code="unit.range")
    budget = Budget(
        latency=milliseconds(latency) if latency else None,
        memory=byte_count(memory) if memory else None,
        size=byte_count(size) if size else None,
        macs=mac_count(macs) if macs else None,
        top1=top1,
    )
    if budget == Budget():
        hint = "for example: netlathe choose --latency 15ms --size 20MB"
        raise NetlatheError("a choice needs at least one limit", code="choose.no_budget", hint=hint)
    found = candidates(pattern, recipe=recipe, extra_data=extra_data)
    conditions = Conditions(threads=threads, seconds=seconds, runtime=runtime, fresh=fresh)
    try:
        with progress_bar("measuring") as progress:
            outcome = choose(found, budget, conditions, progress=progress)
    except KeyboardInterrupt:
        click.echo("what was measured is kept: the same command continues", err=True)
        raise
    said = {"latency": latency, "memory": memory, "size": size, "macs": macs, "top1": top1}
    options = {"networks": pattern if pattern != "*" else None, "recipe": recipe or None, "threads": threads}
    again = repeat({**said, **options}, extra_data)
    if outcome.decision.pick is None:
        raise infeasible(outcome)
    warnings = busy(involved(outcome.decision))
    if as_json:
        emit("choose", data(outcome, again), warnings)
        return
    show(outcome, again, whole)
    warn(warnings)


def repeat(options: dict[str, Any], extra_data: bool) -> str:
    """The command that repeats a choice."""
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["netlathe", "choose", *words, *["--extra-data"] * extra_data])


def involved(decision: Decision) -> list[Measurement]:
    """The measurements that the decision rests on."""
    named = [decision.pick, *decision.ties, decision.cheaper]
    return [c.latency for c in named if c is not None and c.latency is not None]


def busy(measurements: list[Measurement]) -> list[str]:
    """One warning for all measurements that other processes disturbed."""
    disturbed = [m for m in measurements if m.contended]
    if not disturbed:
        return []
    load = max(m.foreign_load for m in disturbed)
    count = f"{len(disturbed)} of {len(measurements)} latencies behind this choice"
    busy = f"were measured on a busy machine (others used up to {load:.1f} cores)"
    return [f"{count} {busy} and may be too high; close them and repeat with --fresh"]


def candidate_data(c: Candidate) -> dict[str, Any]:
    """A candidate as JSON values."""
    return {
        "name": c.network.name,
        "resolution": c.resolution,
        "top1": c.top1,
        "recipe": c.figure.recipe,
        "source": c.figure.source,
        "macs": c.macs,
        "size_bytes": c.size_bytes,
        "memory_bytes": c.memory_bytes,
        "latency": c.latency.to_json() if c.latency else None,
    }


def data(outcome: Outcome, again: str) -> dict[str, Any]:
    """The outcome as JSON values."""
    decision, budget = outcome.decision, outcome.budget
    tight = binding(decision, budget)
    return {
        "pick": candidate_data(decision.pick) if decision.pick else None,
        "ties": [candidate_data(c) for c in decision.ties],
        "next_cheaper": candidate_data(decision.cheaper) if decision.cheaper else None,
        "next_better": [
            {"limit": r.limit.name, "value": r.value, "gain": r.gain, "candidate": candidate_data(r.candidate)}
            for r in decision.relaxations
        ],
        "binding": tight.limit.name if tight else None,
        "front": [candidate_data(c) for c in front(decision.fitting)],
        "budget": {limit.name: budget.limit(limit) for limit in LIMITS},
        "candidates": len(outcome.candidates),
        "measured": sum(c.latency is not None for c in outcome.candidates),
        "excluded": outcome.excluded,
        "beyond_roof": [c.name for c in outcome.unreachable],
        "roof_macs_per_second": outcome.roof_macs_per_ms and outcome.roof_macs_per_ms * 1e3,
        "fitting": len(decision.fitting),
        "device": {"id": outcome.machine.id, "cpu": outcome.machine.cpu, "cores": outcome.machine.cores},
        "command": again,
    }


def show(outcome: Outcome, again: str, whole: bool) -> None:
    """The front as a table, the pick and the reasons in sentences."""
    decision = outcome.decision
    pick = decision.pick
    assert pick is not None
    assert pick.latency is not None
    marks = {pick.name: "pick"} | {c.name: "tied" for c in decision.ties}
    best = front(decision.fitting)
    shown = {c.name: c for c in [*best[: None if whole else SHOWN], pick, *decision.ties]}
    ordered = sorted(shown.values(), key=lambda c: (-c.top1, c.latency_ms))
    m, machine = pick.latency, outcome.machine
    print_table(
        f"{machine.cpu} ({machine.id}), {m.runtime} {m.runtime_version}, "
        f"{m.threads} thread{'s' * (m.threads > 1)}, {m.precision}, batch 1: the front of accuracy, latency and memory",
        ("network", "", "top-1 %", "latency", "95 % interval", "memory", "size", "MACs", "recipe of the accuracy"),
        [cells(c, marks.get(c.name, "")) for c in ordered],
    )
    if len(best) > SHOWN and not whole:
        click.echo(f"  ... and {len(best) - SHOWN} less accurate networks of the front: --all shows them\n")
    for line in reasons(outcome):
        click.echo(f"  {line}")
    click.echo(f"\n  repeat: {again}")


def cells(c: Candidate, mark: str) -> tuple[str, ...]:
    """A row of the front; a rough latency is marked."""
    m = c.latency
    assert m is not None
    rough = "~" if m.rough else ""
    return (
        c.name,
        mark,
        f"{c.top1:.1f}",
        f"{rough}{show_ms(m.median_ms)}",
        f"{m.low_ms:.3g} to {m.high_ms:.3g} ms",
        show_bytes(c.memory_bytes),
        show_bytes(c.size_bytes),
        show_count(c.macs),
        c.figure.recipe,
    )


def reasons(outcome: Outcome) -> list[str]:
    """Why this one: fit, ties, the next better by limit, the next cheaper, and what was left out."""
    decision, budget, pick = outcome.decision, outcome.budget, outcome.decision.pick
    assert pick is not None
    lines = [f"pick: {pick.name}, the most accurate of {len(decision.fitting)} networks that fit"]
    if decision.ties:
        names = ", ".join(f"{c.name} ({c.top1:.1f} %, {show_ms(c.latency_ms)})" for c in decision.ties)
        lines[0] = f"pick: {pick.name}, the fastest of those whose accuracy is tied with the best that fits"
        lines.append(f"tied within {noise(pick.top1):.2f} points, the noise of 50,000 test images: {names}")
    uses = [
        f"{limit.name} {limit.show(limit.used(pick))} of {limit.show(b)}"
        for limit in LIMITS
        if (b := budget.limit(limit))
    ]
    lines.append("it uses: " + "; ".join(uses))
    tight = binding(decision, budget)
    if tight:
        lines.append(f"binding limit: {tight.limit.name}")
    for r in decision.relaxations:
        better = f"{r.candidate.name} ({r.candidate.top1:.1f} %, +{r.gain:.1f} points)"
        lines.append(f"next better: --{r.limit.name} {r.limit.ask(r.value)} would admit {better}")
    if not decision.relaxations:
        lines.append("next better: no single limit, raised alone, admits a better network")
    if decision.cheaper:
        c = decision.cheaper
        saved = pick.latency_ms - c.latency_ms
        lines.append(f"next cheaper: {c.name} saves {show_ms(saved)} and gives up {pick.top1 - c.top1:.1f} points")
    broken = ", ".join(f"{name} {n}" for name, n in outcome.excluded.items() if n)
    lines.append(
        f"of {len(outcome.candidates)} candidates, not measured because they exceed a limit: {broken or 'none'}"
    )
    if outcome.unreachable:
        roof = outcome.roof_macs_per_ms or 0.0
        lines.append(
            f"not measured because their MACs take longer than the latency even at the {show_count(roof * 1e3)}MAC/s "
            f"of a dense convolution here: {len(outcome.unreachable)}"
        )
    return lines


def infeasible(outcome: Outcome) -> Infeasible:
    """The error for a budget that nothing keeps: what binds, and the nearest budgets that work."""
    budget, decision = outcome.budget, outcome.decision
    lines = [
        f"--{r.limit.name} {r.limit.ask(r.value)} would do: {r.candidate.name} ({r.candidate.top1:.1f} %)"
        for r in decision.relaxations
    ]
    if not lines:
        candidate, broken = nearest_budget(outcome)
        joint = " and ".join(f"--{limit.name} {limit.ask(limit.used(candidate))}" for limit in broken)
        lines = [f"no single limit is to blame; the nearest network, {candidate.name}, needs {joint}"]
    smallest = min(outcome.candidates, key=lambda c: c.macs)
    lines.append(
        f"the smallest network, {smallest.name}: {show_count(smallest.macs)} MACs, {smallest.top1:.1f} % top-1, "
        f"{show_bytes(smallest.size_bytes)} size, {show_bytes(smallest.memory_bytes)} memory"
        + (f", {show_ms(smallest.latency_high_ms)}" if smallest.latency else "")
    )
    tight = binding(decision, budget)
    blame = f"; the binding limit is {tight.limit.name}" if tight else ""
    message = f"no network of {len(outcome.candidates)} fits this budget{blame}"
    return Infeasible(message, code="budget.infeasible", hint="\n".join(lines))
