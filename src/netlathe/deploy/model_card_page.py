"""The page of a model card: one HTML file that opens from a disk, without a script and without a request.

Every text of the document passes `escape`. What the page may load is nothing, which its policy says too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netlathe.deploy.limits import KINDS, show_share
from netlathe.deploy.review_page import review_sections
from netlathe.html import POLICY, Html, bullets, document, join, notes, pairs, paragraph, section, table, tag, tiles
from netlathe.runtimes.registry import DEFAULT
from netlathe.tables.compare import quiet_interval
from netlathe.units import show_bytes, show_count, show_ms, show_span

__all__ = ["POLICY", "headline_figures", "page", "sections"]

MATRIX = 40  # classes, beyond which the matrix is a list of the commonest confusions
LISTED = 30


def page(card: Mapping[str, Any]) -> str:
    """The whole page of a document of `card.describe`."""
    return document(f"{card['name']}: model card", join([header(card), tiles(headline_figures(card)), *sections(card)]))


def sections(card: Mapping[str, Any]) -> list[Html]:
    """What stands below the head and the tiles."""
    sections_above = (
        budget_section(card),
        accuracy_section(card),
        *review_sections(card.get("review") or {}),
        latency_section(card),
        variants_section(card),
        data_section(card),
    )
    return [*sections_above, training_section(card), network_section(card), limits_section(card), use_section(card)]


def format_share(share: Mapping[str, Any]) -> str:
    """The interval of a share."""
    return f"{show_share(share['low'])} to {show_share(share['high'])}"


def header(card: Mapping[str, Any]) -> Html:
    """The name, what it does, and what there is to warn of."""
    names = card["classes"]
    listed = ", ".join(names[:12]) + f" and {len(names) - 12} more" * (len(names) > 12)
    summary = f"One of {len(names)} classes for an image: {listed}. Made {card['made'][:10]}."
    return tag("header", tag("h1", card["name"]), paragraph(summary, class_="dim"), notes(card["warnings"]))


def headline_figures(card: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What people look for first: name, value, and what it is of."""
    a, m = card["accuracy"], card["latency"]["measured"]
    figures = []
    if a:
        figures.append((f"{a['split']} accuracy", show_share(a["share"]), f"{format_share(a)}, {a['images']:,} images"))
    p = card["latency"]["predicted"]
    if m is None:
        ends = f"{p['low_ms']:.3g} to {p['high_ms']:.3g} ms, a forecast" if p else "nothing is known"
        figures.append(("latency", f"~{show_ms(p['ms'])}" if p else "-", ends))
    elif m["failure"]:
        figures.append(("latency", "did not run", m["failure"]))
    else:
        low, ms, high = quiet_interval(m)
        figures.append(("latency", show_ms(ms), f"{low:.3g} to {high:.3g} ms, {m['processes']} processes"))
    figures.append(("size", show_bytes(card["size_bytes"]), "of the files that are deployed"))
    if card["memory_bytes"] is not None:
        figures.append(("memory", show_bytes(card["memory_bytes"]), "weights and peak activations"))
    return figures


def budget_section(card: Mapping[str, Any]) -> Html:
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
        verdict = tag("td", f["verdict"], class_=kind)
        limit = f"{sign} {show(f['limit'])}"
        rows.append((f["name"], verdict, value, limit, ends if value != "-" else f["note"]))
    if not rows:
        return section("Budget", paragraph("None was given.", class_="dim"))
    note = paragraph("Kept means that the far end of the interval keeps the limit.", class_="dim small")
    return section("Budget", table(("of", "verdict", "measured", "limit", "interval"), rows, label="Budget"), note)


def accuracy_section(card: Mapping[str, Any]) -> Html:
    """Accuracy with its interval, recall by class, and the confusion matrix."""
    a = card["accuracy"]
    if not a:
        return section("Accuracy", paragraph("It was not measured on this file.", class_="dim"))
    summary = (
        f"{a['hits']:,} of {a['images']:,} {a['split']} images are right: {show_share(a['share'])}, "
        f"with 95 % confidence {format_share(a)} (Wilson). Measured on the deployed file in its runtime."
    )
    names = card["classes"]
    rows = [
        (name, f"{r['images']:,}", *recall_cells(r), precision_cell(p))
        for name, r, p in zip(names, a["recall"], a["precision"], strict=True)
    ]
    heads = ("class", "images", "recall", "", "95 % interval", "right when said")
    by_class = table(heads, rows, label="Recall by class")
    return join([section("Accuracy", paragraph(summary), by_class), confusion_section(names, a["confusion"])], "")


def recall_cells(recall: Mapping[str, Any]) -> tuple[object, object, object]:
    """The cells of a recall: the share, its interval as a bar, and in figures."""
    if not recall["images"]:
        return tag("span", "no images", class_="none"), "", ""
    return show_share(recall["share"]), share_bar(recall), format_share(recall)


def precision_cell(precision: Mapping[str, Any]) -> object:
    """The share of the answers for a class that are right."""
    return show_share(precision["share"]) if precision["images"] else tag("span", "never said", class_="none")


def share_bar(share: Mapping[str, Any]) -> Html:
    """An interval as a bar, and the share as a mark on it."""
    low, wide = 100 * share["low"], 100 * (share["high"] - share["low"])
    parts = (tag("i", style=f"left:{low:.1f}%;width:{wide:.1f}%"), tag("u", style=f"left:{100 * share['share']:.1f}%"))
    return tag("span", *parts, class_="bar", aria_hidden="true")


def confusion_section(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Html:
    """The matrix, shaded by the share of a row; the commonest confusions where there are many classes."""
    if len(names) > MATRIX:
        confusions = sorted(
            ((n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n), reverse=True
        )[:LISTED]
        rows = [(names[i], tag("td", names[j], class_="text"), f"{n:,}") for n, i, j in confusions]
        heads = ("is", "was said to be", "images")
        return section("Commonest confusions", table(heads, rows, label="Commonest confusions"))
    cells = [
        (name, *(shaded_cell(n, sum(row), i == j) for j, n in enumerate(row)))
        for i, (name, row) in enumerate(zip(names, counts, strict=True))
    ]
    note = "Rows: what it is. Columns: what was said. Shaded by the share of the row."
    matrix = table(("", *names), cells, "matrix", "Confusion matrix")
    return section("Confusion matrix", matrix, paragraph(note, class_="dim small"))


def shaded_cell(count: int, total: int, right: bool) -> Html:
    """A cell of the matrix."""
    if not count:
        return tag("td", "0", class_="none")
    share = 0.12 + 0.5 * count / total  # the text stays readable on the darkest
    return tag("td", f"{count:,}", class_="hit" if right else "miss", style=f"--s:{share:.2f}")


def latency_section(card: Mapping[str, Any]) -> Html:
    """Measured and predicted, with all conditions."""
    m, p = card["latency"]["measured"], card["latency"]["predicted"]
    machine = card["latency"]["machine"]
    rows: list[tuple[str, object]] = []
    if m is None:
        rows.append(("measured", "not on that device"))
    elif m["failure"]:
        rows.append(("measured", f"it did not run: {m['failure']}"))
    else:
        low, ms, high = quiet_interval(m)
        rows.append(("measured", f"{show_ms(ms)} (95 %: {low:.3g} to {high:.3g} ms)"))
        rows.append(("as loaded as the machine was", show_ms(m["median_ms"])))
    if p:
        ends = f"{p['low_ms']:.3g} to {p['high_ms']:.3g} ms"
        rows.append(("predicted", f"{show_ms(p['ms'])} (9 of 10 networks: {ends}), {p['basis']}"))
        if m and not m["failure"]:
            rows.append(("measured / predicted", f"{quiet_interval(m)[1] / p['ms']:.2f}"))
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


def variants_section(card: Mapping[str, Any]) -> Html:
    """The precisions and runtimes that were tried on the validation images, and why one was taken."""
    rows = []
    for f in card.get("forms", ()):
        low, middle, high = f["latency_ms"]
        latency_ = "-" if middle is None else f"{middle:.3g} ms ({low:.3g} to {high:.3g})"
        right = f"{f['hits']:,} of {f['images']:,}" if f["images"] else "-"
        size = show_bytes(f["size_bytes"]) if f["size_bytes"] else "-"
        rows.append((f"{f['runtime']} {f['precision']}", f["verdict"], latency_, size, right))
    if not rows:
        return Html("")
    title, heads = (
        "Runtimes and precisions that were tried",
        ("form", "verdict", "latency", "size", "validation images right"),
    )
    return section(title, table(heads, rows, label=title))


def data_section(card: Mapping[str, Any]) -> Html:
    """The images of the training."""
    d = card["data"]
    if not d:
        return section("Data", paragraph("Not described.", class_="dim"))
    splits = list(d["counts"])
    rows = [(name, *(f"{d['counts'][s].get(name, 0):,}" for s in splits)) for name in card["classes"]]
    total = [tag("b", cell) for cell in ("all", *(f"{sum(d['counts'][s].values()):,}" for s in splits))]
    licence = ", ".join(d["licences"]) or "no file beside the images says"
    about = pairs([("source", d["source"]), ("layout", d["layout"]), ("split", d["split"]), ("licence", licence),
                   ("unreadable images", f"{d['skipped']:,} left out" if d["skipped"] else None),
                   ("in more than one split", f"{d['leaks']:,} contents" if d["leaks"] else None),
                   ("alike across splits", f"{n:,} pictures" if (n := d.get("alike_leaks")) else None)])  # fmt: skip
    counts = table(("class", *splits), [total, *rows], label="Images by class and split")
    return section("Data", about, counts, bullets(d["warnings"]) if d["warnings"] else "")


def training_section(card: Mapping[str, Any]) -> Html:
    """Recipe, seeds, and the weights that it started from."""
    t, w = card["training"], card["weights"]
    rows: list[tuple[str, object]] = []
    more = Html("")
    if t:
        rows.append(("recipe", t["recipe"].get("name")))
        rows.append(("seeds", ", ".join(map(str, t["seeds"]))))
        for name, value in t["figures"].items():
            label, said_ = (
                ("time", show_span(value)) if name == "seconds" else (name.replace("_", " "), plain_value(value))
            )
            rows.append((label, said_))
        recipe = "\n".join(f"{name} = {value}" for name, value in flatten(t["recipe"]))
        more = tag("details", tag("summary", "The whole recipe"), tag("pre", recipe, tabindex="0"))
    rows.append(("started from", w["source"] or "random weights"))
    rows.append(("licence of the weights", w["licence"] or "none is known"))
    return section("Training", pairs(rows), more)


def plain_value(value: object) -> object:
    """Numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def flatten(document: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    """Every value of nested tables by its path."""
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def network_section(card: Mapping[str, Any]) -> Html:
    """Architecture, image and files."""
    n, p = card["network"], card["preprocessing"]
    px = f"{p['resolution']} x {p['resolution']} px, {'colour' if p['channels'] == 3 else 'grey'}"
    part = "the whole image, stretched to a square" if p.get("shape") == "stretch" else "the short side"
    files = [join([name, tag("code", sum_, class_="dim")], " ") for name, sum_ in card["files"].items()]
    rows = [
        ("architecture", f"{card['name']}, key {n['key']}"),
        ("params", "not counted" if n["params"] is None else f"{n['params']:,}"),
        ("MACs of an image", "not counted" if n["macs"] is None else show_count(n["macs"])),
        ("image", f"{px}, the middle {100 * p['crop']:.4g} % of {part}; normalised by the file itself"),
    ]
    return section("Network", pairs(rows), paragraph("Files and their SHA-256", class_="dim"), bullets(files))


def limits_section(card: Mapping[str, Any]) -> Html:
    """Where the figures end."""
    return section("What this was not tested on", bullets(card["limits"]))


def use_section(card: Mapping[str, Any]) -> Html:
    """How to run it and how to make it again."""
    parts = [paragraph("With Netlathe:"), tag("pre", "netlathe predict . photo.jpg", tabindex="0")]
    if card["use"]:
        parts = [paragraph(f"With {DEFAULT}, numpy and Pillow alone:"), tag("pre", card["use"], tabindex="0"), *parts]
    again = tag("pre", "\n".join(card["reproduce"]), tabindex="0")
    return join([section("Use", *parts), section("Reproduce", paragraph("In the folder of the card:"), again)], "")
