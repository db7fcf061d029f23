"""The page of `netlathe choose`: the front, the pick and why, and how well the latencies were predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from netlathe.html import Html, bullets
from netlathe.report.charts import front, predicted
from netlathe.report.page import Page, PagePart
from netlathe.tables.choose import candidate_key, candidate_name, front_table, latency_interval
from netlathe.tables.compare import quiet_interval
from netlathe.tables.page import render_html
from netlathe.units import show_bytes, show_count, show_ms

Data = Mapping[str, Any]
LEADS = {None: "The most accurate", "latency": "The fastest", "memory": "The one of least memory"}
LEADS |= {"size": "The smallest", "macs": "The one of fewest MACs"}
SHOW = {"macs": show_count, "size": show_bytes, "memory": show_bytes, "latency": show_ms, "top1": "{:g} %".format}


def page(data: Data, warnings: Sequence[str] = ()) -> Page:
    """`data` is that of `netlathe choose --json`."""
    pick, device, budget = data["pick"], data["device"], data["budget"]
    limits = {name: value for name, value in budget.items() if value is not None}
    pairs = [pair(c) for c in data["measured"] if c["predicted"] and c["latency"] and not c["latency"]["failure"]]
    first = front.chart(points(data), latency_ms=budget["latency"], accuracy=budget["top1"])
    sections: list[tuple[str, Sequence[PagePart]]] = [
        ("Why this one", [bullets(data.get("reasons", ()))] if data.get("reasons") else []),
        ("The front", [first, candidates(data)]),
    ]
    if pairs:
        sections.append(("Prediction", [predicted.chart(pairs)]))
    threads = f"{device['threads']} thread{'s' * (device['threads'] > 1)}, " if device["here"] else ""
    how = f"{len(data['measured'])} candidates measured here" if device["here"] else "latency predicted, not measured"
    return Page(
        title=f"{candidate_name(pick)} for {format_budget(limits)}",
        lead=f"{LEADS[data.get('minimised')]} of {data['fitting']} networks that fit, "
        f"among {data['candidates']} candidates.",
        basis=f"{device['name']} ({device['id']}), {pick['runtime']}, {pick['precision']}, {threads}"
        f"batch {data['batch']}; {how}. Accuracy is published, ImageNet top-1.",
        tiles=tiles(pick, limits),
        notes=warnings,
        sections=[(title, parts) for title, parts in sections if parts],
        command=data["command"],
    )


def format_budget(limits: Mapping[str, float]) -> str:
    """The budget in words."""
    words = [f"{'at least ' * (name == 'top1')}{SHOW[name](value)} {name}" for name, value in limits.items()]
    return ", ".join(words) or "no limit"


def tiles(pick: Data, limits: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """The pick, figure by figure, with the limit below."""
    low, middle, high = latency_interval(pick)
    uses = {
        "top1": pick["top1"],
        "latency": middle,
        "memory": pick["memory_bytes"],
        "size": pick["size_bytes"],
        "macs": pick["macs"],
    }
    rows = []
    for name, value in uses.items():
        bound = f"{'at least' if name == 'top1' else 'at most'} {SHOW[name](limits[name])}" if name in limits else ""
        ends = f"{low:.3g} to {high:.3g} ms" if name == "latency" and high < inf else ""
        about = "~" if name == "latency" and not pick["latency"] else ""
        word = {"top1": "top-1", "macs": "MACs"}.get(name, name)
        rows.append((word, about + SHOW[name](value), "; ".join(filter(None, (ends, bound))) or "no limit"))
    return rows


def points(data: Data) -> list[front.FrontPoint]:
    """What the front shows: pick, ties, front, and what else was measured."""
    marks: dict[tuple[str, str, str], front.FrontPoint] = {}
    limits = data["budget"]

    def over(c: Data) -> bool:
        used = {
            "macs": c["macs"],
            "size": c["size_bytes"],
            "memory": c["memory_bytes"],
            "latency": c.get("deciding_ms") or latency_interval(c)[2],
        }
        too_big = any(limits[name] is not None and used[name] > limits[name] for name in used)
        return too_big or (limits["top1"] is not None and c["top1"] < limits["top1"])

    def add(candidates: Iterable[Data], mark: str) -> None:
        for c in candidates:
            low, middle, high = latency_interval(c)
            note = f"{'measured' if c['latency'] else 'predicted'}, {c['runtime']} {c['precision']}"
            point = front.FrontPoint(candidate_name(c), c["top1"], middle, low, high, c["memory_bytes"], mark, note)
            marks.setdefault((candidate_name(c), c["runtime"], c["precision"]), point)

    add([data["pick"]], "pick")
    add(data["ties"], "tied")
    add(data["front"], "front")
    for c in data["measured"]:
        add([c], "over" if over(c) else "fits")
    return list(marks.values())


def pair(c: Data) -> predicted.PredictedPair:
    """A measured candidate and its forecast."""
    p, m = c["predicted"], c["latency"]
    return predicted.PredictedPair(candidate_name(c), (p["low_ms"], p["ms"], p["high_ms"]), quiet_interval(m))


def candidates(data: Data) -> Html:
    """The front and what is tied with the pick, with what the figures rest on."""
    shown = {candidate_key(c): c for c in [*data["front"], *data["ties"]]}
    marks = {candidate_key(c): "tied" for c in data["ties"]} | {candidate_key(data["pick"]): "pick"}
    several = len({(c["runtime"], c["precision"]) for c in shown.values()}) > 1
    rows = front_table(shown.values(), marks, batch=data["batch"], several=several)
    return render_html(rows, "Candidates of the front")
