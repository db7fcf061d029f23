"""The page of a model card: one HTML file that opens from a disk, without a script and without a request.

Every text of the document passes `escape`. What the page may load is nothing, which its policy says too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from netlathe.deploy.limits import KINDS, show_share
from netlathe.units import show_bytes, show_count, show_ms, show_span

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
MATRIX = 40  # classes, beyond which the matrix is a list of the commonest confusions
LISTED = 30
STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--dim:#5a6675;--line:#d8dee6;--paper:#fff;--card:#f5f7fa;
--hit:31,111,178;--miss:196,84,26;--good:#17703a;--bad:#b3261e;--open:#8a5a00}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--dim:#a3aebc;--line:#38424f;--paper:#12161c;--card:#1b2129;
--hit:74,144,210;--miss:214,106,48;--good:#6cc78d;--bad:#ff8a80;--open:#e5b454}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:62rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
p{margin:.4rem 0}.dim{color:var(--dim)}.small{font-size:.875rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1.2rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .85rem}
.tile b{display:block;font-size:1.35rem;line-height:1.3;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.9375rem}
th,td{padding:.35rem .65rem;text-align:right;border-bottom:1px solid var(--line);overflow-wrap:normal}
tr:last-child>*{border-bottom:0}th{font-weight:600;text-align:right}
td{white-space:nowrap}th:first-child,td:first-child{text-align:left}td.text{text-align:left}
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
ul{padding-left:1.2rem;margin:.4rem 0}details{margin:.6rem 0}summary{cursor:pointer}
.note{border-left:3px solid var(--open);padding-left:.75rem}
@media(max-width:32rem){.bar{display:none}th,td{padding:.35rem .45rem}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}}
@media print{body{max-width:none}.wide,pre{overflow:visible}}
"""


def page(card: Mapping[str, Any]) -> str:
    """The whole page of a document of `card.describe`."""
    sections = (
        *(head(card), tiles(card), budget(card), accuracy(card), latency(card), forms(card), data(card)),
        *(training(card), network(card), limits(card), use(card)),
    )
    title = text(f"{card['name']}: model card")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer"><title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n'
        + "\n".join(filter(None, sections))
        + "\n</body></html>\n"
    )


def text(value: object) -> str:
    """Anything as text of the page."""
    return escape(str(value), quote=True)


def section(title: str, *parts: str) -> str:
    """A heading and what is below it."""
    return f"<section><h2>{text(title)}</h2>\n" + "\n".join(filter(None, parts)) + "</section>"


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """Names and values; those without a value are left out."""
    kept = [(name, value) for name, value in rows if value not in (None, "", ())]
    return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in kept) + "</dl>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table that scrolls sideways on its own. Cells are HTML, and heads are text."""
    top = "".join(f'<th scope="col">{text(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(c if c.startswith("<td") else f"<td>{c}</td>" for c in rest)
        + "</tr>"
        for first, *rest in rows
    )  # fmt: skip
    return (
        f'<div class="wide" tabindex="0"><table{f" class={kind}" if kind else ""}><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def bullets(items: Iterable[object]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>"


def span(share: Mapping[str, Any]) -> str:
    """The interval of a share."""
    return f"{show_share(share['low'])} to {show_share(share['high'])}"


def head(card: Mapping[str, Any]) -> str:
    """The name, what it does, and what there is to warn of."""
    names = card["classes"]
    listed = ", ".join(names[:12]) + f" and {len(names) - 12} more" * (len(names) > 12)
    notes = "".join(f'<p class="note">{text(warning)}</p>' for warning in card["warnings"])
    return (
        f'<header><h1>{text(card["name"])}</h1><p class="dim">One of {len(names)} classes for an image: '
        f"{text(listed)}. Made {text(card['made'][:10])}.</p>{notes}</header>"
    )


def tiles(card: Mapping[str, Any]) -> str:
    """The figures that people look for first."""
    a, m = card["accuracy"], card["latency"]["measured"]
    found = []
    if a:
        found.append((f"{a['split']} accuracy", show_share(a["share"]), f"{span(a)}, {a['images']:,} images"))
    p = card["latency"]["predicted"]
    if m is None:
        ends = f"{p['low_ms']:.3g} to {p['high_ms']:.3g} ms, a forecast" if p else "nothing is known"
        found.append(("latency", f"~{show_ms(p['ms'])}" if p else "-", ends))
    elif m["failure"]:
        found.append(("latency", "did not run", m["failure"]))
    else:
        interval = f"{m['low_ms']:.3g} to {m['high_ms']:.3g} ms"
        found.append(("latency", show_ms(m["median_ms"]), f"{interval}, {m['processes']} processes"))
    found.append(("size", show_bytes(card["size_bytes"]), "of the files that are deployed"))
    found.append(("memory", show_bytes(card["memory_bytes"]), "weights and peak activations"))
    inner = "".join(
        f'<div class="tile"><span class="dim small">{text(name)}</span><b>{text(value)}</b>'
        f'<span class="dim small">{text(more)}</span></div>'
        for name, value, more in found
    )
    return f'<div class="tiles">{inner}</div>'


def budget(card: Mapping[str, Any]) -> str:
    """The findings that have a limit."""
    rows = []
    for f in card["findings"]:
        if f["limit"] is None:
            continue
        show = KINDS[f["name"]].show
        kind = {"kept": "kept", "over": "over"}.get(f["verdict"], "open")
        sign = "at least" if KINDS[f["name"]].at_least else "at most"
        value = "-" if f["value"] is None else show(f["value"])
        ends = f"{show(f['low'])} to {show(f['high'])}" if f["value"] is not None and f["low"] < f["high"] else "exact"
        verdict = f'<td class="{kind}">{text(f["verdict"])}</td>'
        limit = text(f"{sign} {show(f['limit'])}")
        rows.append((text(f["name"]), verdict, text(value), limit, text(ends if value != "-" else f["note"])))
    if not rows:
        return section("Budget", '<p class="dim">None was given.</p>')
    note = '<p class="dim small">Kept means that the far end of the interval keeps the limit.</p>'
    return section("Budget", table(("", "verdict", "measured", "limit", "interval"), rows), note)


def accuracy(card: Mapping[str, Any]) -> str:
    """Accuracy with its interval, recall by class, and the confusion matrix."""
    a = card["accuracy"]
    if not a:
        return section("Accuracy", '<p class="dim">It was not measured on this file.</p>')
    said = (
        f"{a['hits']:,} of {a['images']:,} {a['split']} images are right: {show_share(a['share'])}, "
        f"with 95 % confidence {span(a)} (Wilson). Measured on the deployed file in its runtime."
    )
    names = card["classes"]
    rows = [
        (text(name), f"{r['images']:,}", *recalled(r), said_right(p))
        for name, r, p in zip(names, a["recall"], a["precision"], strict=True)
    ]
    heads = ("class", "images", "recall", "", "95 % interval", "right when said")
    by_class = table(heads, rows)
    return section("Accuracy", f"<p>{text(said)}</p>", by_class) + confusion(names, a["confusion"])


def recalled(recall: Mapping[str, Any]) -> tuple[str, str, str]:
    """The cells of a recall: the share, its interval as a bar, and in figures."""
    if not recall["images"]:
        return '<span class="none">no images</span>', "", ""
    return show_share(recall["share"]), bar(recall), span(recall)


def said_right(precision: Mapping[str, Any]) -> str:
    """The share of the answers for a class that are right."""
    return show_share(precision["share"]) if precision["images"] else '<span class="none">never said</span>'


def bar(share: Mapping[str, Any]) -> str:
    """An interval as a bar, and the share as a mark on it."""
    low, wide = 100 * share["low"], 100 * (share["high"] - share["low"])
    return (
        f'<span class="bar" aria-hidden="true"><i style="left:{low:.1f}%;width:{wide:.1f}%"></i>'
        f'<u style="left:{100 * share["share"]:.1f}%"></u></span>'
    )


def confusion(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """The matrix, shaded by the share of a row; the commonest confusions where there are many classes."""
    if len(names) > MATRIX:
        pairs_ = sorted(
            ((n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n), reverse=True
        )[:LISTED]
        rows = [(text(names[i]), f'<td class="text">{text(names[j])}</td>', f"{n:,}") for n, i, j in pairs_]
        return section("Commonest confusions", table(("is", "was said to be", "images"), rows))
    cells: list[tuple[str, ...]] = [
        (text(name), *(shade(n, sum(row), i == j) for j, n in enumerate(row)))
        for i, (name, row) in enumerate(zip(names, counts, strict=True))
    ]
    note = '<p class="dim small">Rows: what it is. Columns: what was said. Shaded by the share of the row.</p>'
    return section("Confusion matrix", table(("", *names), cells, "matrix"), note)


def shade(count: int, total: int, right: bool) -> str:
    """A cell of the matrix."""
    if not count:
        return '<td class="none">0</td>'
    share = 0.12 + 0.5 * count / total  # the text stays readable on the darkest
    return f'<td class="{"hit" if right else "miss"}" style="--s:{share:.2f}">{count:,}</td>'


def latency(card: Mapping[str, Any]) -> str:
    """Measured and predicted, with all conditions."""
    m, p = card["latency"]["measured"], card["latency"]["predicted"]
    machine = card["latency"]["machine"]
    rows: list[tuple[str, object]] = []
    if m is None:
        rows.append(("measured", "not on that device"))
    elif m["failure"]:
        rows.append(("measured", f"it did not run: {m['failure']}"))
    else:
        ends = f"{m['low_ms']:.3g} to {m['high_ms']:.3g} ms"
        rows.append(("measured", f"{show_ms(m['median_ms'])} (95 %: {ends})"))
    if p:
        ends = f"{p['low_ms']:.3g} to {p['high_ms']:.3g} ms"
        rows.append(("predicted", f"{show_ms(p['ms'])} (9 of 10 networks: {ends}), {p['basis']}"))
        if m and not m["failure"]:
            rows.append(("measured / predicted", f"{m['median_ms'] / p['ms']:.2f}"))
    if m is None:
        return section("Latency", pairs(rows))
    rows += [
        ("machine", f"{m['cpu']}, {m['cores']} cores, {machine['system']}, id {m['device']}"),
        ("runtime", f"{m['runtime']} {m['runtime_version']}"),
        ("precision", m["precision"]),
        ("threads", m["threads"]),
        ("batch", m["batch"]),
        ("processes", f"{m['processes']} fresh ones, {m['runs']:,} runs in {m['blocks']} blocks"),
        ("others on the machine", f"{m['foreign_load']:.2f} cores" + ", contended" * m["contended"]),
        ("measurement", m["id"]),
    ]
    return section("Latency", pairs(rows))


def forms(card: Mapping[str, Any]) -> str:
    """The precisions and runtimes that were tried on the validation images, and why one was taken."""
    rows = []
    for f in card["forms"]:
        low, middle, high = f["latency_ms"]
        latency_ = "-" if middle is None else f"{middle:.3g} ms ({low:.3g} to {high:.3g})"
        right = f"{f['hits']:,} of {f['images']:,}" if f["images"] else "-"
        size = show_bytes(f["size_bytes"]) if f["size_bytes"] else "-"
        verdict = f'<td class="text">{text(f["verdict"])}</td>'
        rows.append((text(f"{f['runtime']} {f['precision']}"), verdict, text(latency_), text(size), text(right)))
    if not rows:
        return ""
    heads = ("form", "", "latency", "size", "validation images right")
    return section("Runtimes and precisions that were tried", table(heads, rows))


def data(card: Mapping[str, Any]) -> str:
    """The images of the training."""
    d = card["data"]
    if not d:
        return section("Data", '<p class="dim">Not described.</p>')
    splits = list(d["counts"])
    rows = [(text(name), *(f"{d['counts'][s].get(name, 0):,}" for s in splits)) for name in card["classes"]]
    total: tuple[str, ...] = ("<b>all</b>", *(f"<b>{sum(d['counts'][s].values()):,}</b>" for s in splits))
    licence = ", ".join(d["licences"]) or "no file beside the images says"
    about = pairs([("source", d["source"]), ("layout", d["layout"]), ("split", d["split"]), ("licence", licence),
                   ("unreadable images", f"{d['skipped']:,} left out" if d["skipped"] else None),
                   ("in more than one split", f"{d['leaks']:,} contents" if d["leaks"] else None)])  # fmt: skip
    notes = bullets(d["warnings"]) if d["warnings"] else ""
    return section("Data", about, table(("class", *splits), [total, *rows]), notes)


def training(card: Mapping[str, Any]) -> str:
    """Recipe, seeds, and the weights that it started from."""
    t, w = card["training"], card["weights"]
    rows: list[tuple[str, object]] = []
    more = ""
    if t:
        rows.append(("recipe", t["recipe"].get("name")))
        rows.append(("seeds", ", ".join(map(str, t["seeds"]))))
        for name, value in t["figures"].items():
            label, said_ = ("time", show_span(value)) if name == "seconds" else (name.replace("_", " "), plain(value))
            rows.append((label, said_))
        said = "\n".join(f"{name} = {value}" for name, value in flat(t["recipe"]))
        more = f"<details><summary>The whole recipe</summary><pre>{text(said)}</pre></details>"
    rows.append(("started from", w["source"] or "random weights"))
    rows.append(("licence of the weights", w["licence"] or "none is known"))
    return section("Training", pairs(rows), more)


def plain(value: object) -> object:
    """Numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    """Every value of nested tables by its path."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def network(card: Mapping[str, Any]) -> str:
    """Architecture, image and files."""
    n, p = card["network"], card["preprocessing"]
    px = f"{p['resolution']} x {p['resolution']} px, {'colour' if p['channels'] == 3 else 'grey'}"
    files = "".join(
        f"<li>{text(name)} <code class=dim>{text(sum_)}</code></li>" for name, sum_ in card["files"].items()
    )
    rows = [
        ("architecture", f"{card['name']}, key {n['key']}"),
        ("params", f"{n['params']:,}"),
        ("MACs of an image", show_count(n["macs"])),
        ("image", f"{px}, the middle {100 * p['crop']:.4g} % of the short side; normalised by the file itself"),
    ]
    return section("Network", pairs(rows), f'<p class="dim">Files and their SHA-256</p><ul class="small">{files}</ul>')


def limits(card: Mapping[str, Any]) -> str:
    """Where the figures end."""
    return section("What this was not tested on", bullets(card["limits"]))


def use(card: Mapping[str, Any]) -> str:
    """How to run it and how to make it again."""
    lines = f"<p>With onnxruntime, numpy and Pillow alone:</p><pre>{text(card['use'])}</pre>" if card["use"] else ""
    with_us = "<pre>netlathe predict . photo.jpg</pre>"
    again = "<pre>" + text("\n".join(card["reproduce"])) + "</pre>"
    return section("Use", lines, "<p>With Netlathe:</p>", with_us) + section(
        "Reproduce", "<p>In the folder of the card:</p>", again
    )
