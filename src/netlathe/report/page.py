"""page(): one HTML file with charts that opens from a disk, offline: plotly once, the data, and their table twins.

The content security policy allows the scripts of this page by their hashes, and nothing else: no request, no eval, no
script that a name could smuggle in.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from netlathe import __version__
from netlathe.errors import MissingExtra
from netlathe.html import STYLE, Html, document, join, notes, paragraph, section, table, tag, tiles
from netlathe.report.charts.chart import Chart
from netlathe.report.theme import style

PagePart = Chart | Html
LOOK = """
figure{margin:.8rem 0 1.4rem}figure h3{margin-top:.4rem}.chart{width:100%;position:relative}
.copy{display:flex;gap:.5rem;align-items:start}.copy pre{flex:1;min-width:0;margin:.3rem 0;white-space:pre-wrap}
button{font:inherit;font-size:.875rem;padding:.35rem .7rem;margin-top:.3rem;border:1px solid var(--dim);
border-radius:.4rem;background:var(--card);color:var(--ink);cursor:pointer}
@media print{.chart{break-inside:avoid}button,summary{display:none}}
@media(prefers-reduced-motion:reduce){*{transition:none!important;animation:none!important}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page says. `basis` is the line of device, runtime and conditions; `command` makes the page again."""

    title: str
    lead: str
    basis: str = ""
    tiles: Sequence[tuple[str, str, str]] = ()
    notes: Sequence[str] = ()
    sections: Sequence[tuple[str, Sequence[PagePart]]] = ()
    command: str = ""
    body: Sequence[Html] = ()  # sections that stand already, below the others


def render(page: Page) -> str:
    """The file. Raises MissingExtra where plotly is not installed."""
    charts = [part for _, parts in page.sections for part in parts if isinstance(part, Chart)]
    scripts = [*([read_plotly(), read_asset("paint.js")] if charts else []), read_asset("page.js")]
    policy = (
        f"default-src 'none'; script-src {' '.join(map(hash_script, scripts))}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    body = [
        tag(
            "header",
            tag("h1", page.title),
            paragraph(page.lead, class_="dim"),
            paragraph(page.basis, class_="small") if page.basis else "",
        ),
        tiles(page.tiles) if page.tiles else "",
        notes(page.notes),
        *(section(title, *map(render_part, parts)) for title, parts in page.sections),
        *page.body,
        section("Reproduce", render_command(page.command)) if page.command else "",
        tag("footer", paragraph(f"Netlathe {__version__}, {format_today()}. This file works offline.",
                                class_="dim small")),
    ]  # fmt: skip
    return document(
        page.title, join(body), policy=policy, style=STYLE + style() + LOOK, after=render_scripts(charts, scripts)
    )


def render_part(part: PagePart) -> Html:
    """A part of a section: HTML as it is, a chart with its title, description and table."""
    return render_figure(part) if isinstance(part, Chart) else part


def render_figure(chart: Chart) -> Html:
    """The place of a chart, and the same as a table."""
    name = f"title-{chart.id}"
    height = f"height:{chart.figure['layout']['height']}px"
    twin = table(chart.heads, chart.rows, label=f"{chart.title}, as a table")
    return tag(
        "figure",
        tag("h3", chart.title, id=name),
        paragraph(chart.description, class_="dim small"),
        tag("div", id=f"chart-{chart.id}", class_="chart", style=height, role="img", aria_labelledby=name),
        tag("details", tag("summary", "Show as table"), twin),
    )


def render_command(words: str) -> Html:
    """A command with a button that copies it; the button waits for the script."""
    return tag(
        "div",
        tag("pre", words, id="command"),
        tag("button", "Copy", type="button", data_copies="command", hidden=True),
        class_="copy",
    )


def render_scripts(charts: Iterable[Chart], scripts: Iterable[str]) -> Html:
    """The charts as data, and the scripts; no text of the data ends its element."""
    plain = json.dumps([{"id": chart.id, "figure": chart.figure} for chart in charts], separators=(",", ":"))
    inert = plain.replace("<", "\\u003c").replace("&", "\\u0026")
    blocks = [Html(f'<script type="application/json" id="charts">{inert}</script>')]
    return join([*blocks, *(Html(f"<script>{script}</script>") for script in scripts)])


def hash_script(script: str) -> str:
    """The word of a policy that allows exactly this script."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


@cache
def read_plotly() -> str:
    """plotly's own file, as the installed package brings it. Raises MissingExtra without the package."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise MissingExtra("plotly", "report")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@cache
def read_asset(name: str) -> str:
    """A file beside this one."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def format_today() -> str:
    """Today."""
    return f"{datetime.now(UTC):%Y-%m-%d}"
