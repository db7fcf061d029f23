"""What `netlathe choose` prints: the front, and the outcome as JSON values."""

from __future__ import annotations

from math import inf
from typing import Any

import click

from netlathe.choose.budget import LIMITS, Candidate
from netlathe.choose.decide import ACCURACY, Decision, binding, pareto_candidates
from netlathe.choose.run import ChoiceResult
from netlathe.cli.choose_reasons import better_unbuilt, reasons
from netlathe.cli.common import print_table
from netlathe.tables.choose import candidate_key, front_table

SHOWN = 12  # rows of the front that fit on a screen


def deciding_candidates(decision: Decision) -> list[Candidate]:
    """The candidates that the decision rests on."""
    return [c for c in (decision.pick, *decision.ties, decision.cheaper, decision.dearer) if c is not None]


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
        "weights": c.known_accuracy.weights or None,
        "licence": c.known_accuracy.licence or None,
        "extra_data": c.known_accuracy.data or None,
        "macs": c.macs,
        "size_bytes": c.size_bytes,
        "memory_bytes": c.memory_bytes,
        "predicted": c.forecast._asdict() if c.forecast else None,
        "latency": c.latency.to_json() if c.latency else None,
        "latency_ms": c.latency_ms if c.latency_ms < inf else None,
        "deciding_ms": c.deciding_ms if c.deciding_ms < inf else None,
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
        "next_more_accurate": candidate_data(decision.dearer) if decision.dearer else None,
        "likely": [candidate_data(c) for c in decision.likely],
        "minimised": None if outcome.criterion is ACCURACY else outcome.criterion.name,
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
        "unbuilt": {"candidates": len(outcome.unbuilt), "better": [candidate_data(c) for c in better_unbuilt(outcome)]},
        "device": {
            "id": target.device.id,
            "name": target.device.name,
            "here": target.measures,
            "threads": target.threads,
        },
        "batch": target.batch,
        "int8": [m.to_json() for m in outcome.int8],
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
