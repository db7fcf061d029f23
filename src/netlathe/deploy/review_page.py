"""The sections of a card that show mistakes, likely label errors, maps, calibration and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from netlathe.deploy.limits import show_share
from netlathe.html import Html, join, paragraph, section, table, tag
from netlathe.units import show_count

WHAT_ECE_IS = "The calibration error is the mean gap of confidence and accuracy; chance alone makes it positive."
MANY = 0.1  # share of images whose label is doubted, above which the network is
WIDE, HIGH, EDGE = 320, 220, 40  # of a diagram, and of its left and lower margin, px


def review_sections(review: Mapping[str, Any]) -> list[Html]:
    """What stands below the accuracy; nothing of a card without a review."""
    if not review:
        return []
    return [
        mistakes_section(review["mistakes"]),
        label_errors_section(review["label_errors"]),
        maps_section(review["maps"]),
        calibration_section(review["calibration"]),
        curves_section(review["curves"]),
    ]


def mistakes_section(mistakes: Mapping[str, Any]) -> Html:
    """The surest mistakes."""
    title = "Surest mistakes"
    if not mistakes["count"]:
        return section(title, paragraph(f"No {mistakes['split']} image is wrong.", class_="dim"))
    shown = len(mistakes["rows"])
    text = f"{show_number(mistakes['count'], mistakes['split'] + ' image')} wrong"
    more = f"; the {shown} with the highest probabilities" * (shown < mistakes["count"])
    return section(title, paragraph(text + more + ".", class_="dim small"), gallery(mistakes["rows"]))


def label_errors_section(errors: Mapping[str, Any]) -> Html:
    """Labels to look at again."""
    title = "Labels to look at again"
    of = f"{errors['images']:,} {' and '.join(errors['splits'])} images"
    source = "confident learning (Northcutt et al. 2021), from probabilities of images that were not learned from"
    if not errors["count"]:
        return section(title, paragraph(f"None of {of} is likely mislabelled, by {source}.", class_="dim small"))
    text = f"{errors['count']:,} of {of} may have a wrong label, by {source}. Training images were not looked at."
    if errors["count"] > MANY * errors["images"]:
        text += " So many speak against the network rather than against the labels."
    return section(title, paragraph(text, class_="dim small"), gallery(errors["rows"], likely=True))


def maps_section(maps: Mapping[str, Any]) -> Html:
    """Where the network looks."""
    if not maps["rows"]:
        return Html("")
    how = {
        "activation": "Class activation maps: orange is what speaks for the answer.",
        "occlusion": "Orange is what lowers the probability of the answer when it is covered.",
    }[maps["method"]]
    note = "Images that are right first, then the surest mistakes."
    return section("Where it looks", paragraph(f"{how} {note}", class_="dim small"), gallery(maps["rows"]))


def gallery(rows: Sequence[Mapping[str, Any]], *, likely: bool = False) -> Html:
    """Pictures with their labels and answers."""
    figures = []
    for row in rows:
        wrong = row["label"] != row["answer"]
        word = "likely" if likely else "answer"
        share = f"{100 * row['probability']:.0f}\N{NO-BREAK SPACE}%"
        answer = tag("span", f"{word} {row['answer']}, {share}", class_="over" if wrong else "kept")
        name = tag("span", PurePosixPath(row["name"]).name, class_="dim", title=row["name"])
        caption = join([f"label {row['label']}", answer, name], "<br>")
        picture = tag("img", src=row["picture"], alt=f"{row['name']}, labelled {row['label']}")
        figures.append(tag("figure", picture, tag("figcaption", caption)))
    return tag("div", *figures, class_="gallery")


def calibration_section(calibration: Mapping[str, Any]) -> Html:
    """Temperature, calibration error, the reliability diagram, and accuracy by coverage."""
    before, after = calibration["before"], calibration["after"]
    fitted, judged = calibration["fitted_on"], calibration["judged_on"]
    how = f"fitted on {fitted['images']:,} {fitted['split']} images"
    how += f", judged on {judged['images']:,} {judged['split']} images"
    how += ", each half with what the other gave" * judged["halves"]
    rows = [
        (name, f"{row['ece']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}", f"{row['nll']:.3f}")
        for name, row in (("as the file says", before), ("with temperature", after))
    ]
    heads = ("probabilities", "calibration error", "95 % interval", "log loss")
    text = (
        f"Temperature {calibration['temperature']:.3g}, {how} (Guo et al. 2017). ",
        tag("code", "netlathe predict"),
        f" divides outputs by it. {WHAT_ECE_IS}",
    )
    answered = [
        (
            f"{point['threshold']:.3f}",
            show_share(point["coverage"]),
            show_share(point["share"]) if point["images"] else "-",
            f"{show_share(point['low'])} to {show_share(point['high'])}",
            f"{point['images']:,}",
        )
        for point in calibration["coverage"]
    ]
    columns = ("answer from", "answered", "of these right", "95 % interval", "images")
    return section(
        "How sure it may sound",
        paragraph(*text, class_="dim small"),
        table(heads, rows, label="Calibration"),
        reliability_diagram(calibration["bins_before"], calibration["bins_after"]),
        tag("h3", "What may be left unanswered"),
        paragraph("An answer below the probability in the first column is withheld.", class_="dim small"),
        table(columns, answered, label="Accuracy by coverage"),
    )


def reliability_diagram(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Html:
    """Accuracy over confidence: rings before, discs after, on the diagonal where the two agree."""
    most = max(row["images"] for row in (*before, *after))

    def marks(rows: Sequence[Mapping[str, Any]], style: str) -> list[Html]:
        return [
            tag(
                "circle",
                tag(
                    "title", f"confidence {row['confidence']:.2f}, right {row['accuracy']:.2f}, {row['images']} images"
                ),
                cx=f"{place_x(row['confidence'], 0, 1):.1f}",
                cy=f"{place_y(row['accuracy'], 0, 1):.1f}",
                r=f"{3 + 5 * (row['images'] / most) ** 0.5:.1f}",
                style=style,
            )
            for row in rows
        ]

    line = tag("line", x1=place_x(0, 0, 1), y1=place_y(0, 0, 1), x2=place_x(1, 0, 1), y2=place_y(1, 0, 1),
               style="stroke:var(--dim);stroke-dasharray:4 4")  # fmt: skip
    rings = marks(before, "fill:none;stroke:rgb(var(--miss));stroke-width:2")
    discs = marks(after, "fill:rgb(var(--hit));fill-opacity:.75")
    caption = (
        "Rings: as the file says. Discs: with temperature. Larger where more images are; on the line they are right."
    )
    frame = diagram("confidence", "share that is right", (0, 1), (0, 1), [line, *rings, *discs], "Reliability diagram")
    return tag("figure", frame, tag("figcaption", caption, class_="dim small"), class_="plotted")


def curves_section(curves: Mapping[str, Any]) -> Html:
    """Loss and validation accuracy by images seen."""
    if not curves:
        return Html("")
    titles = {"loss": "training loss", "accuracy": "validation accuracy"}
    frames = []
    for name, points in curves.items():
        x, y = [point[0] for point in points], [point[1] for point in points]
        low, high = min(y), max(y)
        spread = (low, high) if high > low else (low - 0.5, high + 0.5)
        path = " ".join(f"{place_x(a, min(x), max(x)):.1f},{place_y(b, *spread):.1f}" for a, b in points)
        line = tag("polyline", points=path, style="fill:none;stroke:rgb(var(--hit));stroke-width:2")
        frames.append(diagram("images seen", titles[name], (min(x), max(x)), spread, [line], titles[name]))
    return section("Learning curves", tag("div", *frames, class_="plots"))


def diagram(
    x: str, y: str, across: tuple[float, float], up: tuple[float, float], marks: Sequence[Html], label: str
) -> Html:
    """A frame with the ends of its axes and what is in it."""
    box = tag("rect", x=EDGE, y=8, width=WIDE - EDGE - 8, height=HIGH - EDGE - 8, style="fill:none;stroke:var(--line)")

    def words(text: str, at: tuple[float, float], anchor: str, **more: object) -> Html:
        return tag("text", text, x=f"{at[0]:.1f}", y=f"{at[1]:.1f}", text_anchor=anchor, **more)

    low, middle = HIGH - EDGE + 16, (EDGE + WIDE - 8) / 2
    turned = f"rotate(-90 12 {(HIGH - EDGE + 8) / 2})"
    texts = [
        words(show_end(across[0]), (EDGE, low), "start"),
        words(show_end(across[1]), (WIDE - 8, low), "end"),
        words(x, (middle, low + 14), "middle"),
        words(show_end(up[0]), (EDGE - 4, HIGH - EDGE), "end"),
        words(show_end(up[1]), (EDGE - 4, 18), "end"),
        words(y, (12, (HIGH - EDGE + 8) / 2), "middle", transform=turned),
    ]
    return tag("svg", box, *marks, *texts, class_="plot", viewBox=f"0 0 {WIDE} {HIGH}", role="img", aria_label=label)


def place_x(value: float, low: float, high: float) -> float:
    """Where a value stands across."""
    return EDGE + (WIDE - EDGE - 8) * (value - low) / ((high - low) or 1)


def place_y(value: float, low: float, high: float) -> float:
    """Where a value stands from below."""
    return HIGH - EDGE - (HIGH - EDGE - 8) * (value - low) / ((high - low) or 1)


def show_end(value: float) -> str:
    """The end of an axis."""
    return show_count(int(value)) if value >= 1000 else f"{value:.3g}"


def show_number(count: int, what: str) -> str:
    """1 test image is, 12 test images are."""
    return f"{count:,} {what}{'s are' if count != 1 else ' is'}"
