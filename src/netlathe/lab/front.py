"""The front around a network: the published accuracies of the zoo against the latency predicted on the device.

Costs and forecasts are those of `netlathe choose`. They take seconds for a device that was not seen before.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from netlathe.choose.budget import Candidate, candidate_on, within_device
from netlathe.choose.decide import Decision, decide
from netlathe.choose.decide import pareto_candidates as best
from netlathe.device.card import DeviceCard
from netlathe.lab.charts import plain
from netlathe.lab.facts import forget_graphs
from netlathe.lab.running import target_named
from netlathe.lab.state import LabState
from netlathe.report.charts import front as charts
from netlathe.report.charts.front import FrontPoint
from netlathe.sources.zoo import Zoo
from netlathe.target.target import Target

QUIET = tuple(charts.MARKS[mark][0] for mark in ("front", "fits", "over"))


def front(state: LabState, card: DeviceCard) -> dict[str, Any]:
    """The chart, and the pick in words. Raises NetlatheError where the card allows no prediction."""
    target = target_named(card, state.run, state.batch)
    candidates = predict_zoo(target)
    budget = within_device(state.budget, target)
    decision = decide(candidates, budget)
    marks = {id(c): "front" for c in best(decision.fitting)} | {id(c): "tied" for c in decision.ties}
    marks |= {id(c): "over" for c in candidates if budget.broken(c)} | {id(decision.pick): "pick"}
    points = [point(c, marks.get(id(c), "fits")) for c in candidates if c.forecast is not None]
    chart = charts.chart(points, latency_ms=budget.latency)
    for trace in chart.figure["data"]:  # nearly two hundred whiskers and names would hide the front
        if trace.get("name") in QUIET:
            trace.pop("error_x", None)
            trace["mode"] = "markers"
        if trace.get("name") in QUIET[1:]:
            trace["opacity"] = 0.45
    return {"chart": plain(chart), "pick": describe_pick(decision, candidates)}


@lru_cache(maxsize=16)
def predict_zoo(target: Target) -> list[Candidate]:
    """All published networks as candidates on a target."""
    candidates = []
    for net, accuracy, _, work in Zoo().entries():
        candidates.append(candidate_on(target, net, accuracy, work))
        forget_graphs()
    return candidates


def point(c: Candidate, mark: str) -> FrontPoint:
    """A candidate as the chart wants it."""
    low, ms, high = c.interval
    return FrontPoint(c.name, c.top1, ms, low, high, c.memory_bytes, mark, "predicted")


def describe_pick(decision: Decision, candidates: list[Candidate]) -> str:
    """The pick in words."""
    if decision.pick is None:
        return f"None of {len(candidates)} published networks keeps these limits."
    p = decision.pick
    return f"Of the zoo, {p.name} ({p.top1:.1f} %) is the most accurate that keeps these limits."
