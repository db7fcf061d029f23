"""What the tests of the report share: every chart once, with names that are out to break a page."""

from __future__ import annotations

from netlathe import zoo
from netlathe.cost.memory import timeline
from netlathe.cost.table import cost_rows
from netlathe.device.card import load
from netlathe.device.latency import predict
from netlathe.device.roofline import roofline
from netlathe.report.charts import curves, front, intervals, memory, predicted, profile, progress, regret, stages
from netlathe.report.charts import roofline as roof
from netlathe.report.charts.chart import Chart
from netlathe.report.page import Page
from netlathe.units import show_ms

EVIL = "<script>alert(1)</script>"
EVILS = (EVIL, '"><img src=x onerror=alert(1)>', "</script><h1>out</h1>", "@ink", "%{x} $\\alpha$ &amp;")


def charts() -> list[Chart]:
    """One of each kind."""
    graph, card = zoo.get("mobilenetv2").graph(), load("rpi-5")
    found = predict(graph, card)
    points = [
        front.FrontPoint(name, 70.0 + i, 5.0 + i, 4.5 + i, 5.5 + i, 10**7 * (i + 1), mark, "measured")
        for i, (name, mark) in enumerate(zip(EVILS, front.MARKS, strict=True))
    ]
    pairs = [predicted.PredictedPair(name, (4, 5, 6), (4.5 + i, 5.0 + i, 5.5 + i)) for i, name in enumerate(EVILS)]
    regrets = [
        regret.RegretCurve(name, (1, 2, 3), (3, 2, 1 + i), (2, 1, 0.5), (4, 3, 2 + i)) for i, name in enumerate(EVILS)
    ]
    values = [intervals.Interval(name, i, i + 1.0, i + 2.0, name) for i, name in enumerate(EVILS)]
    parts = [stages.StageBar(name, 10 * i, 20 * i, 30 * i) for i, name in enumerate(EVILS)]
    trials = [progress.TrialMark(i, "done", 50.0 + i, name) for i, name in enumerate(EVILS)]
    return [
        front.chart(points, latency_ms=9.0, accuracy=71.0),
        roof.chart(roofline(graph, card), {row.path: row.ms for row in found.rows}),
        stages.chart(stages.parts(cost_rows(graph))),
        stages.between(parts),
        profile.chart(graph),
        memory.chart({name: timeline(graph, name) for name in ("folded", "eager")}, most_bytes=8_000_000),
        predicted.chart(pairs),
        regret.chart(regrets),
        progress.chart(trials),
        curves.distribution_chart({name: [1.0 + i, 2.0, 3.0] for i, name in enumerate(EVILS)}, EVIL),
        intervals.chart("values", EVIL, EVIL, values, x="ms", show=show_ms),
    ]


def page() -> Page:
    """All of them on one page."""
    return Page(
        title=EVIL,
        lead=EVIL,
        basis=EVIL,
        tiles=[(name, name, name) for name in EVILS],
        notes=EVILS,
        sections=[(EVIL, charts())],
        command=f"netlathe cost '{EVIL}'",
    )
