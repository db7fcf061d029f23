"""The pages of `netlathe device roofline` and `netlathe device why`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netlathe.device.roofline import Roofline, RooflineRow
from netlathe.report.charts import intervals
from netlathe.report.charts import roofline as roof
from netlathe.report.page import Page, PagePart
from netlathe.tables.device import ceilings_table, changes_table, slowest_table
from netlathe.tables.page import render_html
from netlathe.units import show_interval, show_ms

Data = Mapping[str, Any]


def roofline(data: Data, warnings: Sequence[str] = (), *, command: str = "") -> Page:
    """`data` is that of `netlathe device roofline --json`."""
    fields = {name: data[name] for name in ("card", "precision", "batch", "peak", "bandwidth")}
    figures = Roofline(
        **fields, lines=tuple(RooflineRow(**line) for line in data["lines"]), warnings=tuple(data["warnings"])
    )
    kinds: dict[str, float] = {}
    for line in figures.lines:
        kinds[line.kind] = kinds.get(line.kind, 0.0) + line.ms
    return Page(
        title=f"{data['network']} under the roof of {figures.card}",
        lead="The least time of an operator is the longer of FLOPs / peak and bytes / bandwidth. FLOPs = 2 x MACs.",
        basis=f"{figures.card}, {figures.precision}, batch {figures.batch}; nothing was measured.",
        tiles=[
            ("least time", show_ms(figures.ms), f"{show_ms(figures.ms / figures.batch)} an image"),
            ("waits for memory", f"{100 * figures.waiting:.0f} %", "of that time"),
            ("of the peak", f"{100 * figures.efficiency:.1f} %", "at most"),
            ("intensity", f"{figures.intensity:.1f}", f"FLOP/byte; the ridge is at {figures.ridge:.1f}"),
        ],
        notes=warnings,
        sections=[("Roofline", [roof.chart(figures)]), ("Where the time goes", [shares("kind", kinds, figures.ms)])],
        command=command,
    )


def why(data: Data, warnings: Sequence[str] = (), *, command: str = "") -> Page:
    """`data` is that of `netlathe device why --json`."""
    ms = data["ms"]
    slow = sorted(data["parts"], key=lambda part: -part["ms"])[:20]
    sections: list[tuple[str, Sequence[PagePart]]] = [
        ("Where the time goes", [shares(by, data[f"by_{by}"], ms) for by in ("bound", "kind")]),
        ("What would help", [render_html(changes_table(data["changes"]), "Changes")]),
        ("The slowest operators", [render_html(slowest_table(slow, ms), "The slowest operators")]),
    ]
    if data["ceilings"]:
        sections.append(("How near to the best", [render_html(ceilings_table(data["ceilings"]), "Ceilings")]))
    best = data["changes"][0] if data["changes"] else None
    gain = (f"-{100 * best['gain']:.0f} %", best["name"]) if best else ("none", "no known change gains 1 %")
    interval = show_interval(data["low_ms"], data["high_ms"])
    tiles = [("latency", f"~{show_ms(ms)}", f"predicted, {interval}"), ("best change", *gain)]
    if data["least_ms"] is not None:
        tiles.insert(1, ("bound", f"at least {show_ms(data['least_ms'])}", "by the roofline"))
    return Page(
        title=f"Why {data['network']} takes {show_ms(ms)} on {data['card']}",
        lead="Every change is made, and its latency forecast again; none is judged for accuracy.",
        basis=f"{data['runtime']}, {data['precision']}, batch {data['batch']}; {data['basis']}.",
        tiles=tiles,
        notes=warnings,
        sections=sections,
        command=command,
    )


def shares(by: str, times: Mapping[str, float], whole: float) -> PagePart:
    """Time by bound or by kind as bars."""
    values = [
        intervals.Interval(name, ms, ms, ms, f"{100 * ms / whole:.1f} %" if whole else "") for name, ms in times.items()
    ]
    most = max(times, key=lambda name: times[name], default="")
    text = f"Most of it: {most}, {100 * times[most] / whole:.0f} %." if most and whole else ""
    return intervals.chart(f"by-{by}", f"Time by {by}", text, values, x="ms", show=show_ms, bars=True)
