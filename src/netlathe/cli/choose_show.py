"""What `netlathe choose` prints: the front, the pick, the reasons; or why nothing fits."""

from __future__ import annotations

from math import inf
from typing import Any

import click

from netlathe.bench.measure import HEADLINE
from netlathe.choose.budget import LIMITS, Candidate
from netlathe.choose.decide import Decision, binding, noise_of, pareto_candidates
from netlathe.choose.run import ChoiceResult, nearest_budget, notes_of
from netlathe.cli.common import print_table
from netlathe.errors import Infeasible
from netlathe.tables.choose import candidate_key, front_table
from netlathe.units import show_bytes, show_count, show_ms

SHOWN = 12  # rows of the front that fit on a screen


def deciding_candidates(decision: Decision) -> list[Candidate]:
    """The candidates that the decision rests on."""
    return [c for c in (decision.pick, *decision.ties, decision.cheaper) if c is not None]


def contention_warnings(decision: Decision) -> list[str]:
    """One warning for all measurements that other processes disturbed."""
    measured = [c.latency for c in deciding_candidates(decision) if c.latency is not None]
    disturbed = [m for m in measured if m.contended]
    if not disturbed:
        return []
    load = max(m.foreign_load for m in disturbed)
    count = f"{len(disturbed)} of {len(measured)} latencies behind this choice"
    how = f"were measured on a busy machine (others used up to {load:.1f} cores)"
    return [f"{count} {how}: they are quiet estimates with wider intervals; --wide shows the latency as loaded too"]


def residual(c: Candidate) -> float | None:
    """measured / predicted - 1, where both are known."""
    if c.latency is None or c.latency.failure or c.forecast is None:
        return None
    return c.latency_ms / c.forecast.ms - 1


def candidate_data(c: Candidate) -> dict[str, Any]:
    """A candidate as JSON values."""
    return {
        "name": c.net.name,
        "resolution": c.resolution,
        "runtime": c.runtime,
        "precision": c.precision,
        "top1": c.top1,
        "recipe": c.known_accuracy.recipe,
        "source": c.known_accuracy.source,
        "macs": c.macs,
        "size_bytes": c.size_bytes,
        "memory_bytes": c.memory_bytes,
        "predicted": c.forecast._asdict() if c.forecast else None,
        "latency": c.latency.to_json() if c.latency else None,
        "latency_ms": c.latency_ms if c.latency_ms < inf else None,
        "residual": residual(c),
    }


def choice_data(outcome: ChoiceResult, again: str) -> dict[str, Any]:
    """The outcome as JSON values."""
    decision, budget, target = outcome.decision, outcome.budget, outcome.targets[0]
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
        "front": [candidate_data(c) for c in pareto_candidates(decision.fitting)],
        "budget": {limit.name: budget.limit(limit) for limit in LIMITS},
        "candidates": len(outcome.candidates),
        "measured": [candidate_data(c) for c in outcome.candidates if c.is_measured],
        "excluded": outcome.excluded,
        "fitting": len(decision.fitting),
        "device": {
            "id": target.device.id,
            "name": target.device.name,
            "here": target.measures,
            "threads": target.threads,
        },
        "batch": target.batch,
        "reasons": reasons(outcome) if decision.pick else [],
        "command": again,
    }


def show_choice(outcome: ChoiceResult, again: str, whole: bool) -> None:
    """The front as a table, the pick and the reasons in sentences."""
    decision, target = outcome.decision, outcome.targets[0]
    pick = decision.pick
    assert pick is not None
    marks = {candidate_key(c): "tied" for c in map(candidate_data, decision.ties)}
    marks |= {candidate_key(candidate_data(pick)): "pick"}
    best = pareto_candidates(decision.fitting) or [pick]
    shown = {c.key: c for c in [*best[: None if whole else SHOWN], pick, *decision.ties]}
    ordered = sorted(shown.values(), key=lambda c: (-c.top1, c.latency_ms))
    several = len(outcome.targets) > 1
    how = "" if several else f", {pick.runtime}, {pick.precision}"
    threads = f", {target.threads} thread{'s' * (target.threads > 1)}" if target.measures else ""
    where = f"{target.device.name} ({target.device.id}){how}{threads}, batch {target.batch}"
    rows = [candidate_data(c) for c in ordered]
    title = f"{where}: the front of accuracy, latency and memory"
    print_table(front_table(rows, marks, batch=target.batch, several=several, title=title))
    if len(best) > SHOWN and not whole:
        click.echo(f"  ... and {len(best) - SHOWN} less accurate networks of the front: --all shows them\n")
    for line in reasons(outcome):
        click.echo(f"  {line}")
    click.echo(f"\n  repeat: {again}")


def format_candidate(c: Candidate, several: bool) -> str:
    """A candidate in a sentence."""
    return f"{c.name} under {c.runtime} {c.precision}" if several else c.name


def reasons(outcome: ChoiceResult) -> list[str]:
    """Why this one: fit, ties, the next better by limit, the next cheaper, and what was left out."""
    decision, budget = outcome.decision, outcome.budget
    pick, several = decision.pick, len(outcome.targets) > 1
    assert pick is not None
    lines = [
        f"pick: {format_candidate(pick, several)}, the most accurate of {len(decision.fitting)} candidates that fit"
    ]
    if decision.ties:
        names = ", ".join(
            f"{format_candidate(c, several)} ({c.top1:.1f} %, {show_ms(c.latency_ms)})" for c in decision.ties
        )
        winner = format_candidate(pick, several)
        lines[0] = f"pick: {winner}, the fastest of those whose accuracy is tied with the best that fits"
        images = pick.known_accuracy.images
        noise = f"tied within {noise_of(pick):.2f} points, the noise of {images:,} test images" if images else "tied"
        lines.append(f"{noise}: {names}")
    uses = [
        f"{limit.name} {limit.show(limit.used(pick))} of {limit.show(bound)}"
        for limit in LIMITS
        if (bound := budget.limit(limit)) is not None
    ]
    lines.append("it uses: " + "; ".join(uses))
    tight = binding(decision, budget)
    if tight:
        lines.append(f"binding limit: {tight.limit.name}")
    for r in decision.relaxations:
        better = f"{format_candidate(r.candidate, several)} ({r.candidate.top1:.1f} %, +{r.gain:.1f} points)"
        lines.append(f"next better: --{r.limit.name} {r.limit.ask(r.value)} would admit {better}")
    if not decision.relaxations:
        lines.append("next better: no single limit, raised alone, admits a better network")
    if decision.cheaper:
        c = decision.cheaper
        saved = pick.latency_ms - c.latency_ms
        lost = f"gives up {pick.top1 - c.top1:.1f} points"
        lines.append(f"next cheaper: {format_candidate(c, several)} saves {show_ms(saved)} and {lost}")
    return [*lines, *accounting(outcome)]


def accounting(outcome: ChoiceResult) -> list[str]:
    """How many candidates there were, and which were measured, and why the others were not."""
    total, measured_count = len(outcome.candidates), sum(c.is_measured for c in outcome.candidates)
    broken = ", ".join(f"{name} {n}" for name, n in outcome.excluded.items() if n)
    left = f"of {total} candidates these exceed a limit that needs no measurement: {broken or 'none'}"
    if not outcome.targets[0].measures:
        basis = next((c.forecast.basis for c in outcome.candidates if c.forecast), "nothing: no latency is known")
        return [left, f"nothing was measured: this is not the machine at hand; latency is predicted by {basis}"]
    fresh = sum(c.latency is not None and c.latency.processes >= HEADLINE for c in outcome.candidates)
    measured = f"measured {measured_count}, {fresh} of them in {HEADLINE} fresh processes each, the pick for one"
    return [left, measured, "of the others the forecast, at the lower end of its interval, rules a win out"]


FAILURES = 3  # networks that did not run and are named


def infeasible_error(outcome: ChoiceResult) -> Infeasible:
    """The error for a budget that no network meets: what binds, and the nearest budgets that work."""
    budget, decision, several = outcome.budget, outcome.decision, len(outcome.targets) > 1
    lines = [
        f"--{r.limit.name} {r.limit.ask(r.value)} would do: "
        f"{format_candidate(r.candidate, several)} ({r.candidate.top1:.1f} %)"
        for r in decision.relaxations
    ]
    broken_runs = [c for c in outcome.candidates if c.latency and c.latency.failure]
    for c in broken_runs[:FAILURES]:
        assert c.latency is not None
        lines.append(f"{format_candidate(c, several)} did not run: {c.latency.failure}")
    if len(broken_runs) > FAILURES:
        lines.append(f"nor did {len(broken_runs) - FAILURES} others")
    if not lines:
        candidate, broken = nearest_budget(outcome)
        finite = [limit for limit in broken if limit.used(candidate) < inf]
        joint = " and ".join(f"--{limit.name} {limit.ask(limit.used(candidate))}" for limit in finite)
        lines = [
            f"no single limit is to blame; the nearest network, {format_candidate(candidate, several)}, needs {joint}"
        ]
    smallest = min(outcome.candidates, key=lambda c: (c.macs, c.latency_ms))
    how, batch = "" if smallest.is_measured else "about ", outcome.targets[0].batch
    of_batch = f" for {batch} images" if batch > 1 else ""
    uses = [
        f"{show_count(smallest.macs)} MACs",
        f"{smallest.top1:.1f} % top-1",
        f"{show_bytes(smallest.size_bytes)} size",
        f"{show_bytes(smallest.memory_bytes)} memory",
        *([f"{how}{show_ms(smallest.latency_ms)}{of_batch}"] if smallest.latency_ms < inf else []),
    ]
    lines.append(f"the smallest network, {format_candidate(smallest, several)}: {', '.join(uses)}")
    lines += notes_of(outcome.targets)
    tight = binding(decision, budget)
    blame = f"; the binding limit is {tight.limit.name}" if tight else ""
    message = f"no network of {len(outcome.candidates)} fits this budget{blame}"
    return Infeasible(message, code="budget.infeasible", hint="\n".join(lines))
