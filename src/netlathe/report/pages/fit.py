"""The page of a fit: its model card, and how the network was found, what it looks like and where its memory goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netlathe.arch.document import from_json
from netlathe.cost.memory import timeline
from netlathe.cost.table import cost_rows
from netlathe.deploy import model_card_page
from netlathe.deploy.model_card import read_card
from netlathe.errors import NetlatheError
from netlathe.html import paragraph
from netlathe.report.charts import front, intervals, memory, predicted, profile, stages
from netlathe.report.page import Page, PagePart
from netlathe.report.pages.compare import conditions
from netlathe.runfolder.steps import read_step
from netlathe.tables.fit import race_table
from netlathe.tables.page import render_html

Data = Mapping[str, Any]


def page(folder: Path) -> Page:
    """The page of a folder that `netlathe fit` or `netlathe export` filled. Raises NetlatheError without a card."""
    card = read_card(folder)
    steps = {path.stem: read_step(path) for path in folder.glob("steps/*.json")}
    m = card["latency"]["measured"]
    return Page(
        title=f"{card['name']}: how it was found, and what it reaches",
        lead=f"One of {len(card['classes'])} classes for an image. Made {card['made'][:10]}.",
        basis=conditions(m) if m else "Its latency is a forecast: it was not measured on its device.",
        tiles=model_card_page.headline_figures(card),
        notes=card["warnings"],
        sections=[*race(steps), *shape(card), *classes(card)],
        body=model_card_page.sections(card),
    )


def race(steps: Mapping[str, Data]) -> list[tuple[str, Sequence[PagePart]]]:
    """The candidates: validation accuracy of the last rung that each ran in, latency, memory; and who went on."""
    lists = [steps[name]["candidates"] for name in ("candidates", "pretrained") if name in steps]
    candidates: list[Data] = next(filter(None, lists), [])
    if not candidates:
        return []
    rungs = [steps[name] for name in sorted(name for name in steps if name.startswith("rung"))]
    score = {name: share for rung in rungs for name, share in rung["validation"].items()}
    racing = steps["racing"]["names"] if "racing" in steps else [c["name"] for c in candidates]
    kept = rungs[-1]["kept"] if rungs else racing
    ended = {c["name"]: "too slow to train" for c in candidates}
    ended |= dict.fromkeys(racing, "left behind") | dict.fromkeys(kept, "trained to the end")
    points = [
        front.FrontPoint(
            *(c["name"], 100 * score[c["name"]], c["latency_ms"][1], c["latency_ms"][0], c["latency_ms"][2]),
            *(c["memory_bytes"], "pick" if c["name"] in kept else "fits"),
            "measured" if c["measured"] else "predicted",
        )
        for c in candidates
        if c["name"] in score
    ]
    parts: list[PagePart] = [front.chart(points, word="validation")] if points else []
    pairs = [
        predicted.PredictedPair(
            c["name"], ends(c["forecast"]), (c["latency_ms"][0], c["latency_ms"][1], c["latency_ms"][2])
        )
        for c in candidates
        if c["measured"] and c["forecast"]
    ]
    if pairs:
        parts.append(predicted.chart(pairs))
    note = paragraph(
        "Accuracies of the race are of probes, on training images that were held out in turn."
        if any("probe" in rung for rung in rungs)
        else "Accuracies of the race are of short trainings; what was kept was then trained to the end."
    )
    return [("The race", [note, *parts, render_html(race_table(candidates, rungs, ended), "Candidates")])]


def ends(forecast: Data) -> predicted.Ends:
    """A forecast as low, middle, high."""
    return forecast["low_ms"], forecast["ms"], forecast["high_ms"]


def shape(card: Data) -> list[tuple[str, Sequence[PagePart]]]:
    """The network itself, where the card holds its expression."""
    try:
        graph = from_json(json.dumps(card["network"]["arch"]), source=card["name"]).graph()
    except (NetlatheError, TypeError, KeyError):
        return []
    lines = {name: timeline(graph, name) for name in ("folded", "eager")}
    return [("The network", [stages.chart(stages.parts(cost_rows(graph))), profile.chart(graph), memory.chart(lines)])]


def classes(card: Data) -> list[tuple[str, Sequence[PagePart]]]:
    """Recall by class with intervals."""
    accuracy = card["accuracy"]
    if not accuracy:
        return []
    values = [
        intervals.Interval(name, 100 * r["low"], 100 * r["share"], 100 * r["high"], f"{r['images']:,} images")
        for name, r in zip(card["classes"], accuracy["recall"], strict=True)
        if r["images"]
    ]
    values.sort(key=lambda value: value.middle)
    text = f"Share of the {accuracy['split']} images of a class that are recognised, with 95 % intervals; worst first."
    chart = intervals.chart("recall", "Recall by class", text, values[:40], x="recall, %", show="{:.1f} %".format)
    return [("Classes", [chart])]
