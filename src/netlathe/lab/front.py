"""The front around a network: the published accuracies of the zoo against the latency predicted on the device.

Costs and forecasts are those of `netlathe choose`. They take seconds for a device that was not seen before, so they are
made one network at a time, between the moves of knobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

from netlathe import zoo
from netlathe.choose.budget import Candidate
from netlathe.choose.decide import Decision, decide
from netlathe.choose.decide import pareto_candidates as best
from netlathe.choose.place import MCU, Place, candidate, micro_candidate, qualifying, within_card
from netlathe.device import latency
from netlathe.device.card import DeviceCard
from netlathe.errors import NetlatheError
from netlathe.lab.charts import plain
from netlathe.lab.facts import GRAPHS
from netlathe.lab.fair_queue import Pause
from netlathe.lab.running import Run, run_of
from netlathe.lab.state import LabState
from netlathe.report.charts import front as charts
from netlathe.report.charts.front import Point

Key: TypeAlias = tuple[DeviceCard, Run, int]
KNOWN: dict[Key, asyncio.Task[list[Candidate]]] = {}
KEPT = 16  # devices
QUIET = tuple(charts.MARKS[mark][0] for mark in ("front", "fits", "over"))


async def front(state: LabState, card: DeviceCard, pause: Pause) -> dict[str, Any]:
    """The chart, and the pick in words. Raises NetlatheError where the card allows no prediction."""
    key = (card, run_of(card, state.run), state.batch)
    if key not in KNOWN:
        while len(KNOWN) >= KEPT:
            KNOWN.pop(next(iter(KNOWN))).cancel()
        KNOWN[key] = asyncio.ensure_future(gathered(*key, pause))
    try:
        found = await asyncio.shield(KNOWN[key])
    except NetlatheError:
        KNOWN.pop(key, None)
        raise
    budget = within_card(state.budget, card)
    decision = decide(found, budget)
    marks = {id(c): "front" for c in best(decision.fitting)} | {id(c): "tied" for c in decision.ties}
    marks |= {id(c): "over" for c in found if budget.broken(c)} | {id(decision.pick): "pick"}
    points = [point(c, marks.get(id(c), "fits")) for c in found if c.forecast is not None]
    chart = charts.chart(points, latency_ms=budget.latency)
    for trace in chart.figure["data"]:  # nearly two hundred whiskers and names would hide the front
        if trace.get("name") in QUIET:
            trace.pop("error_x", None)
            trace["mode"] = "markers"
        if trace.get("name") in QUIET[1:]:
            trace["opacity"] = 0.45
    return {"chart": plain(chart), "pick": said(decision, found)}


async def gathered(card: DeviceCard, run: Run, batch: int, pause: Pause) -> list[Candidate]:
    """All candidates; after each, whoever waits for an answer gets it."""
    return [c async for c in made(card, run, batch, pause)]


async def made(card: DeviceCard, run: Run, batch: int, pause: Pause) -> AsyncIterator[Candidate]:
    """One candidate at a time."""
    place = Place(card, ((run.runtime, run.precision),), run.threads, False, batch=batch)
    make = micro_candidate if card.class_ == MCU else candidate
    for (name, resolution), figure in qualifying().items():
        yield make(place, zoo.get(name, resolution=resolution), figure, run.runtime, run.precision)
        while len(latency.MEMO) > GRAPHS:
            latency.MEMO.popitem(last=False)
        await pause()


def point(c: Candidate, mark: str) -> Point:
    """A candidate as the chart wants it."""
    low, ms, high = c.interval
    return Point(c.name, c.top1, ms, low, high, c.memory_bytes, mark, "predicted")


def said(decision: Decision, found: list[Candidate]) -> str:
    """The pick in words."""
    if decision.pick is None:
        return f"None of {len(found)} published networks keeps these limits."
    p = decision.pick
    return f"Of the zoo, {p.name} ({p.top1:.1f} %) is the most accurate that keeps these limits."
