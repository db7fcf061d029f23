"""The page of `netlathe audit`: every claim of the lecture with what was found, the verdict and the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netlathe.html import Html, join, pairs, tag
from netlathe.report.charts import intervals
from netlathe.report.page import Page, PagePart
from netlathe.tables.audit import TONES, WORDS, claims_table
from netlathe.tables.page import render_html

Data = Mapping[str, Any]


def page(data: Data, warnings: Sequence[str] = (), *, command: str = "") -> Page:
    """`data` is that of `netlathe audit --json`."""
    claims, totals = data["claims"], data["totals"]
    counts = [intervals.Interval(WORDS.get(name, name), n, n, n) for name, n in totals.items()]
    text = f"{totals.get('holds', 0)} of {len(claims)} claims hold as they are said."
    chart = intervals.chart("verdicts", "Verdicts", text, counts, x="claims", show="{:.0f}".format, bars=True)
    slides: dict[int, list[Data]] = {}
    for claim in claims:
        slides.setdefault(claim["slide"], []).append(claim)
    sections: list[tuple[str, Sequence[PagePart]]] = [
        ("Verdicts", [chart, render_html(claims_table(claims), "Claims")])
    ]
    sections += [(f"Slide {slide}", [detail(claim) for claim in items]) for slide, items in sorted(slides.items())]
    return Page(
        title="The claims of the lecture, checked",
        lead="Every verdict is computed: by counting, simulating, published figures and recorded measurements.",
        tiles=[(WORDS.get(name, name), str(n), f"of {len(claims)} claims") for name, n in totals.items()],
        notes=warnings,
        sections=sections,
        command=command,
    )


def detail(claim: Data) -> Html:
    """Everything about one claim, folded."""
    figures = [
        f"{f['what']}: {f['value']:g} {f['unit']} ({f['source']})" if isinstance(f["value"], float) else
        f"{f['what']}: {f['value']} {f['unit']} ({f['source']})" for f in claim["figures"]
    ]  # fmt: skip
    records = [
        f"{r['what']}: {r['value']:g} {r['unit']} ({r['device']}, {r['date']}; {r['command']})"
        for r in claim["records"]
    ]
    verdict = tag("b", WORDS.get(claim["verdict"], claim["verdict"]), class_=TONES.get(claim["verdict"]))
    facts = [
        ("kind", claim["kind"]),
        ("found", claim["value"]),
        ("evidence", claim["evidence"]),
        ("source", claim["source"]),
        ("figures", "; ".join(figures)),
        ("measured", "; ".join(records)),
        ("another verdict before", claim.get("differs") or ""),
    ]
    summary = tag("summary", join([claim["id"], claim["text"]], ": "), Html(" "), verdict)
    return tag("details", summary, pairs(facts))
