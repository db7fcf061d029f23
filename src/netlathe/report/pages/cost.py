"""The page of `netlathe cost`: what a network costs, where, and what that means on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netlathe.arch.net import Net
from netlathe.cost.count import BYTES
from netlathe.cost.memory import timeline
from netlathe.device.latency import LatencyPrediction
from netlathe.errors import NetlatheError
from netlathe.html import Html, bullets, pairs, table
from netlathe.report.charts import memory, profile, stages
from netlathe.report.charts import roofline as roof
from netlathe.report.page import Page, PagePart
from netlathe.tables.cost import networks_table
from netlathe.tables.page import render_html
from netlathe.target.target import Target
from netlathe.units import show_bytes, show_count, show_interval, show_ms

Data = Mapping[str, Any]
VARIANTS = {
    "eager": "eager: every operator its own tensor",
    "folded": "folded: norm and activation ride, add in place",
    "best": "best: the same, in the best order",
    "arena": "arena: one block with fixed offsets",
    "max_in_out": "the largest step's input and output",
    "total": "all activations together",
}


def page(data: Data, net: Net | None = None, target: Target | None = None, *, command: str = "") -> Page:
    """`data` is that of `netlathe cost --json`; its network gives the shape and the timeline, a target the latency."""
    precision, batch = data["precision"], data["batch"]
    tiles, notes = figures(data), list[str]()
    sections: list[tuple[str, Sequence[PagePart]]] = [("Where the cost is", [stages.chart(parts(data), data["by"])])]
    if net is not None:
        graph, card = net.graph(), target.device if target else None
        sections.append(("Shape", [profile.chart(graph)]))
        lines = {name: timeline(graph, name, BYTES[precision], batch) for name in ("folded", "eager")}
        sram = card.bytes("sram") if card is not None and card.find("sram") else None
        sections.append(("Memory", [memory.chart(lines, most_bytes=sram), peaks(data)]))
    else:
        sections.append(("Memory", [peaks(data)]))
    if latency := data.get("latency"):
        tiles.append(latency_tile(latency))
    if net is not None and target is not None:
        sections.append((f"On {target.device.name}", on_target(net, target, notes)))
    sections.append(("Totals", [totals(data)]))
    shape = "x".join(map(str, data["input"]))
    return Page(
        title=f"{data['name']}: what it costs",
        lead=f"{shape}, batch {batch}, {precision}. Counts are exact; FLOPs = 2 x MACs; bytes are of the batch.",
        tiles=tiles,
        notes=notes,
        sections=sections,
        command=command,
    )


def figures(data: Data) -> list[tuple[str, str, str]]:
    """The tiles."""
    peak = data["memory_bytes"]
    return [
        ("params", show_count(data["params"]), f"{show_bytes(data['weight_bytes'])} of weights"),
        ("MACs", show_count(data["macs"]), "of one image"),
        ("moved", show_bytes(data["moved_bytes"]["fused"]), f"{data['intensity']['fused']:.1f} FLOP/byte, fused"),
        ("peak memory", show_bytes(peak["arena"]), f"of activations, in one arena; eager {show_bytes(peak['eager'])}"),
    ]


def parts(data: Data) -> list[stages.StageBar]:
    """The rows of the document."""
    return [
        stages.StageBar(row["path"] or data["name"], row["macs"], row["params"], row["moved_bytes"]["fused"])
        for row in data["rows"]
    ]


def peaks(data: Data) -> Html:
    """The peak in every sense that people mean."""
    sizes, at = data["memory_bytes"], data["memory_bytes"]["at"]
    rows = [(label, show_bytes(sizes[name]), at.get(name, "")) for name, label in VARIANTS.items()]
    return table(("activations", "peak", "at"), rows, label="Peak memory")


def on_target(net: Net, target: Target, notes: list[str]) -> list[PagePart]:
    """What is forecast, and the operators under the roof of the device; warnings go into `notes`."""
    bound, prediction, texts = target.bound(net), predict_or_note(net, target, notes), list[str]()
    if bound is not None:
        rule = "operator by operator the longer of FLOPs / peak and bytes / bandwidth"
        texts.append(f"At least {show_ms(bound.ms)}: {rule}.")
        notes += bound.warnings
    if prediction is not None:
        interval = show_interval(prediction.low_ms, prediction.high_ms)
        texts.append(f"Predicted: {show_ms(prediction.total_ms)}, {interval}, by {prediction.basis}.")
        notes += [warning for warning in prediction.warnings if warning not in notes]
    times = {row.path: row.ms for row in prediction.rows} if prediction else None
    return [*([roof.chart(bound, times)] if bound else []), bullets(texts)]


def predict_or_note(net: Net, target: Target, notes: list[str]) -> LatencyPrediction | None:
    """The latency, or why there is none, in `notes`."""
    try:
        return target.predict(net)
    except NetlatheError as error:
        notes.append(f"no latency is predicted: {error.message}")
        return None


def latency_tile(latency: Data) -> tuple[str, str, str]:
    """Predicted latency, marked as such."""
    interval = show_interval(latency["low_ms"], latency["high_ms"])
    where = "this machine" if latency["device"].startswith("this-") else latency["device"]
    return (f"latency on {where}", f"~{show_ms(latency['ms'])}", f"predicted, {interval}")


def totals(data: Data) -> Html:
    """Every figure exactly."""
    return pairs(
        [
            ("params", f"{data['params']:,} trainable, {data['buffers']:,} in buffers"),
            ("MACs", f"{data['macs']:,} an image; FLOPs {data['flops']:,}"),
            ("activations", f"{data['acts']:,} ({data['acts_pycls']:,} as pycls counts)"),
            ("weights", f"{data['weight_bytes']:,} bytes"),
            ("moved", f"{data['moved_bytes']['eager']:,} bytes eager, {data['moved_bytes']['fused']:,} fused"),
            ("FLOP/byte", f"{data['intensity']['eager']:.2f} eager, {data['intensity']['fused']:.2f} fused"),
        ]
    )


def many(documents: Sequence[Data], *, command: str = "") -> Page:
    """Several networks: a row each."""
    cost = [stages.StageBar(d["name"], d["macs"], d["params"], d["moved_bytes"]["fused"]) for d in documents]
    return Page(
        title=f"{len(documents)} networks: what they cost",
        lead=f"Batch {documents[0]['batch']}, {documents[0]['precision']}. Counts are exact.",
        sections=[("Side by side", [stages.between(cost), render_html(networks_table(documents), "Costs")])],
        command=command,
    )
