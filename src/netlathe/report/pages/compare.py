"""The pages of `netlathe compare` and `netlathe bench`: networks side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netlathe.html import Html, join, pairs, paragraph, table, tag
from netlathe.report.charts import front, intervals, stages
from netlathe.report.page import Page, PagePart
from netlathe.tables.compare import latencies_table, networks_table, quiet_interval
from netlathe.tables.page import render_html
from netlathe.units import show_bytes, show_ms

Data = Mapping[str, Any]


def page(data: Data, warnings: Sequence[str] = (), *, command: str = "") -> Page:
    """`data` is that of `netlathe compare --json`."""
    rows = data["networks"]
    timed = [row["latency"] for row in rows if row["latency"]]
    done = [row for row in rows if row["latency"] and not row["latency"]["failure"]]
    sections: list[tuple[str, Sequence[PagePart]]] = []
    if done:
        sections.append(("Latency", [latencies([row["latency"] for row in done])]))
    placed = [point(row) for row in done if row["top1"]]
    if len(placed) > 1:
        sections.append(("Accuracy", [front.chart(placed)]))
    sections.append(("Cost", [bars(rows), costs(rows)]))
    changed = [row for row in rows if row.get("changes")]
    if changed:
        sections.append(("Differences", [changes(rows[0]["name"], row) for row in changed]))
    return Page(
        title=" and ".join((", ".join(row["name"] for row in rows[:-1]), rows[-1]["name"])),
        lead=f"{len(rows)} networks side by side; ratios are to {rows[0]['name']}.",
        basis=conditions(timed[0]) if timed else "Costs alone: nothing was measured.",
        notes=warnings,
        sections=sections,
        command=command,
    )


def bench(data: Data, warnings: Sequence[str] = (), *, command: str = "") -> Page:
    """`data` is that of `netlathe bench --json`: one measurement, or several under `networks`."""
    networks = data.get("networks", [data])
    done = [m for m in networks if not m["failure"]]
    return Page(
        title=", ".join(m["network"] for m in networks) + ": measured latency",
        lead="Median and 95 % interval of the median.",
        basis=conditions(networks[0]),
        notes=[*warnings, *(f"{m['network']} failed: {m['failure']}" for m in networks if m["failure"])],
        sections=[
            ("Latency", [latencies(done), render_html(latencies_table(done), "Latencies")] if done else []),
            *((m["network"], [measurement(m)]) for m in done),
        ],
        command=command or f"netlathe bench --from {networks[0]['id']}",
    )


def conditions(m: Data) -> str:
    """Device, runtime, threads, precision and batch in a line."""
    threads = f"{m['threads']} thread{'s' * (m['threads'] > 1)}"
    how = f"{m['runtime']} {m['runtime_version']}, {threads}, {m['precision']}, batch {m['batch']}"
    return f"{m['cpu']} ({m['device']}), {how}"


def latencies(done: Sequence[Data]) -> PagePart:
    """The latencies as marks with whiskers."""
    values = [intervals.Interval(m["network"], *quiet_interval(m), f"{m['runs']:,} runs, id {m['id']}") for m in done]
    quick = min(done, key=lambda m: quiet_interval(m)[1])
    fastest = f"{quick['network']} is the fastest with {show_ms(quiet_interval(quick)[1])}."
    text = f"Where nothing else runs, with 95 % interval. {fastest}"
    return intervals.chart("latency", "Measured latency", text, values, x="ms", show=show_ms)


def measurement(m: Data) -> Html:
    """Everything that a reader needs to repeat and judge a latency."""
    low, ms, high = quiet_interval(m)
    several = f"{m['processes']} process{'es' * (m['processes'] > 1)}"
    memory = show_bytes(m["rss_bytes"]) if m["rss_bytes"] is not None else None
    return pairs(
        [
            ("quiet", f"{show_ms(ms)} ({low:.3g} to {high:.3g} ms)"),
            ("as loaded", f"{show_ms(m['median_ms'])} ({m['low_ms']:.3g} to {m['high_ms']:.3g} ms)"),
            ("least, 90th percentile", f"{show_ms(m['min_ms'])}, {show_ms(m['p90_ms'])}"),
            (
                "runs",
                f"{m['runs']:,} in {m['blocks']} blocks, {several}, after {m['warmups']} warm-ups",
            ),
            ("resident memory", memory),
            ("others on the machine", f"{m['foreign_load']:.2f} cores" + ", contended" * m["contended"]),
            ("date", m["date"]),
            ("id", m["id"]),
        ]
    )


def point(row: Data) -> front.FrontPoint:
    """A network in the plane of accuracy and latency; the area is the peak of activations."""
    m = row["latency"]
    low, ms, high = quiet_interval(m)
    return front.FrontPoint(row["name"], row["top1"], ms, low, high, row["peak_bytes"], "front", "measured")


def bars(rows: Sequence[Data]) -> PagePart:
    """MACs, params and activations against the largest."""
    return stages.between([stages.StageBar(row["name"], row["macs"], row["params"], row["peak_bytes"]) for row in rows],
                          "peak memory")  # fmt: skip


def costs(rows: Sequence[Data]) -> Html:
    """Every figure."""
    return render_html(networks_table(rows), "Costs")


def changes(first: str, row: Data) -> Html:
    """What turns the first network into this one."""
    rows = row["changes"]
    heads = tuple(rows[0])
    cells = [[f"{v:+,}" if k in ("params", "macs") else str(v) for k, v in change.items()] for change in rows]
    title = f"{first} to {row['name']}: {len(rows)} changes"
    return join([paragraph(tag("b", title)), table(heads, cells, label=title)])
