"""The charts of the page: those of the report, of this moment's network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netlathe.arch.net import Net
from netlathe.errors import unknown
from netlathe.lab.facts import LabFacts
from netlathe.report.charts import memory, profile, roofline, stages
from netlathe.report.charts.chart import Chart
from netlathe.units import show_ms
from netlathe.zoo.published import best


def under_roof(f: LabFacts) -> Chart | None:
    """Every operator at what it reaches in the predicted time; None where the card has no roof."""
    times = {row.path: row.ms for row in f.prediction.rows} if f.prediction else None
    return roofline.chart(f.roof, times) if f.roof else None


def over_time(f: LabFacts) -> Chart:
    """The arena; against the SRAM of a microcontroller, for of other devices activations take a small part."""
    return memory.chart({"arena": f.arena}, most_bytes=f.fit.sram_limit if f.fit else None)


CHARTS: dict[str, Callable[[LabFacts], Chart | None]] = {
    "roofline": under_roof,
    "stages": lambda f: stages.chart(stages.parts(f.stages)),
    "profile": lambda f: profile.chart(f.graph),
    "memory": over_time,
}


def charts(f: LabFacts, names: Iterable[str] = tuple(CHARTS), *, tables: bool = True) -> dict[str, Any]:
    """By name; None for one that the device has no figures for. Raises NetlatheError for an unknown name."""
    drawings: dict[str, Any] = {}
    for name in dict.fromkeys(names):
        if name not in CHARTS:
            raise unknown("chart", name[:40], CHARTS, code="lab.chart")
        chart = CHARTS[name](f)
        drawings[name] = None if chart is None else plain(chart, tables)
    return drawings


def plain(chart: Chart, tables: bool = True) -> dict[str, Any]:
    """A chart as JSON values; the table is left out while nobody looks at it."""
    return chart._asdict() | ({} if tables else {"rows": None})


def here(f: LabFacts, start: Net) -> dict[str, Any] | None:
    """Where this network is on the front: its latency, and its accuracy where that is published for what it is now."""
    p = f.prediction
    if p is None:
        return None
    turned = f.turned.values.keys() - {"resolution"} if f.turned else set()
    figure = best(f.net.name, f.net.input[-1]) if f.net.name == start.name and not turned else None
    return {"ms": p.total_ms, "text": show_ms(p.total_ms), "top1": figure.top1 if figure else None}
