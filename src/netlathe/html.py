"""Pages that open from a disk: the frame, its look, and the parts of a page. Whatever is not `Html` is escaped.

Used by the model card (no script at all) and by the report, which adds charts. A page asks nobody for anything, and its
content security policy makes the browser hold it to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

VOID = ("br", "img")  # elements that have no end
LONG = 40  # letters of a cell, beyond which it is broken into lines
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--dim:#5a6675;--line:#d8dee6;--paper:#fff;--card:#f5f7fa;
--link:#0b5fa5;--hit:31,111,178;--miss:196,84,26;--good:#17703a;--bad:#b3261e;--open:#8a5a00}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--dim:#a3aebc;--line:#38424f;--paper:#12161c;
--card:#1b2129;--link:#7db8ee;--hit:74,144,210;--miss:214,106,48;--good:#6cc78d;--bad:#ff8a80;--open:#e5b454}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:62rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
h3{font-size:1rem;margin:1.6rem 0 .2rem}
p{margin:.4rem 0}.dim{color:var(--dim)}.small{font-size:.875rem}a{color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1.2rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .85rem}
.tile b{display:block;font-size:1.35rem;line-height:1.3;font-variant-numeric:tabular-nums}
.wide{overflow:auto;max-height:34rem;border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.9375rem}
th,td{padding:.35rem .65rem;text-align:right;border-bottom:1px solid var(--line);overflow-wrap:normal}
tr:last-child>*{border-bottom:0}th{font-weight:600;text-align:right}
td{white-space:nowrap}td.prose{white-space:normal;min-width:14rem}th:first-child,td:first-child,.text{text-align:left}
tbody th{font-weight:500;min-width:6rem}
.wide thead th{position:sticky;top:0;background:var(--paper);z-index:1}
.matrix{width:auto;min-width:100%}.matrix td{text-align:center;min-width:3rem}
.matrix th:first-child{position:sticky;left:0;background:var(--paper);max-width:9rem}
.matrix thead th{vertical-align:bottom;text-align:center;max-width:7rem}
.hit{background:rgba(var(--hit),var(--s))}.miss{background:rgba(var(--miss),var(--s))}
.none{color:var(--dim)}.kept{color:var(--good)}.over{color:var(--bad)}.open{color:var(--open)}
.bar{background:var(--line);height:.5rem;border-radius:.25rem;min-width:6rem;position:relative;display:block}
.bar i{position:absolute;top:0;bottom:0;border-radius:.25rem;background:rgb(var(--hit))}
.bar u{position:absolute;top:-.2rem;bottom:-.2rem;width:2px;background:var(--ink)}
dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.25rem 1rem;margin:.6rem 0}
dt{color:var(--dim)}dd{margin:0;min-width:0}
pre{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem;overflow-x:auto;
font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:normal}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(8rem,1fr));gap:1rem;margin:.8rem 0}
.gallery figure{margin:0;font-size:.8125rem;line-height:1.35}
.gallery img{width:100%;border-radius:.4rem;display:block;margin-bottom:.3rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(16rem,1fr));gap:1rem}
.plotted{max-width:26rem;margin:1rem 0}.plot{width:100%;height:auto}.plot text{fill:var(--dim);font-size:11px}
ul{padding-left:1.2rem;margin:.4rem 0}details{margin:.6rem 0}summary{cursor:pointer}
.note{border-left:3px solid var(--open);padding-left:.75rem}
footer{margin-top:3rem;border-top:1px solid var(--line);padding-top:.6rem}
@media(max-width:32rem){.bar{display:none}th,td{padding:.35rem .45rem}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}}
@media print{body{max-width:none;padding:0}.wide,pre{overflow:visible;max-height:none}section{break-inside:auto}
h2,h3{break-after:avoid}}
"""


class Html(str):
    """Text that is HTML already; every function here gives it, and all else is escaped."""

    __slots__ = ()


def text(value: object) -> Html:
    """Anything as text of the page; what is HTML stays as it is."""
    return value if isinstance(value, Html) else Html(escape(str(value), quote=True))


def join(parts: Iterable[object], between: str = "\n") -> Html:
    """Parts below each other; empty ones are left out."""
    return Html(between.join(text(part) for part in parts if part))


def tag(name: str, *parts: object, **attributes: object) -> Html:
    """An element; `class_` is class and `aria_label` is aria-label. An attribute that is None or False is left out."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{join(parts, '')}</{name}>")


def document(title: str, body: object, *, policy: str = POLICY, style: str = STYLE, after: str = "") -> str:
    """The whole page; `after` is what stands behind its content, such as scripts that `policy` allows."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer"><title>{text(title)}</title>\n<style>{style}</style></head>\n'
        f"<body>\n<main>\n{text(body)}\n</main>\n{after}</body></html>\n"
    )


def section(title: str, *parts: object) -> Html:
    """A heading and what is below it."""
    return tag("section", tag("h2", title), "\n", join(parts))


def paragraph(*parts: object, class_: str | None = None) -> Html:
    """A paragraph."""
    return tag("p", *parts, class_=class_)


def pairs(rows: Iterable[tuple[str, object]]) -> Html:
    """Names and values; those without a value are left out."""
    kept = [(name, value) for name, value in rows if value not in (None, "", ())]
    return (
        tag("dl", *(part for name, value in kept for part in (tag("dt", name), tag("dd", value)))) if kept else Html("")
    )


def table(
    heads: Sequence[object],
    rows: Iterable[Sequence[object]],
    kind: str | None = None,
    label: str = "",
    alignments: Sequence[str | None] = (),
) -> Html:
    """A table that scrolls on its own; the first cell of a row names it. A cell that is a <td> keeps its attributes.

    `label` is what a screen reader calls it, `alignments` the class of each column, else
    guessed from its cells.
    """
    lines = [list(row) for row in rows]
    guessed = [alignment(column) for column in zip(*lines, strict=True)] or [None] * len(heads)
    kinds = list(alignments) or guessed
    top = join((tag("th", name, scope="col", class_=kind) for name, kind in zip(heads, kinds, strict=True)), "")
    body = join(
        (
            tag("tr", tag("th", row[0], scope="row"), *(cell(c, k) for c, k in zip(row[1:], kinds[1:], strict=True)))
            for row in lines
        ),
        "",
    )
    inner = tag("table", tag("thead", tag("tr", top)), tag("tbody", body), class_=kind)
    return tag("div", inner, class_="wide", tabindex="0", role="group", aria_label=label or "table")


def cell(value: object, kind: str | None) -> Html:
    """A cell of a table."""
    content = text(value)
    if isinstance(value, Html) and content.startswith("<td"):
        return content
    return tag("td", content, class_=f"{kind} prose" if kind and len(content) > LONG else kind)


def alignment(column: Iterable[object]) -> str | None:
    """The class of a column: figures stand right, words left."""
    words = [str(value).replace('<td class="text', "") for value in column if value and str(value) != "-"]
    figures = sum(value[0] in "0123456789+-~.<" or value.startswith("x ") for value in words)
    return "text" if words and 2 * figures < len(words) else None


def bullets(items: Iterable[object]) -> Html:
    """A list."""
    return tag("ul", *(tag("li", item) for item in items))


def notes(items: Iterable[object]) -> Html:
    """What there is to warn of."""
    return join(paragraph(item, class_="note") for item in items)


def tiles(figures: Iterable[tuple[str, str, str]]) -> Html:
    """The figures that people look for first: name, value, and what it is of."""
    return tag(
        "div",
        *(
            tag("div", tag("span", name, class_="dim small"), tag("b", value), tag("span", more, class_="dim small"),
                class_="tile")
            for name, value, more in figures
        ),
        class_="tiles",
    )  # fmt: skip


def variables(light: Mapping[str, str], dark: Mapping[str, str]) -> str:
    """CSS variables that follow the scheme of the reader; paper is light."""
    a, b = ("".join(f"--{name}:{value};" for name, value in scheme.items()) for scheme in (light, dark))
    return f":root{{{a}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{b}}}}}\n"
