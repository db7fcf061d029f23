"""Labels whose meaning is a guess: asked about, never silently taken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from netlathe.documents.faults import Fault, faults_error
from netlathe.train.images.options import ImageOptions
from netlathe.train.images.sources import make_printable

SHOWN = 6  # labels of a kind that are printed
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
JOINTS = re.compile(r"[|;,]")


def settle_labels(labels: Sequence[str], options: ImageOptions, place: str, *, written: bool) -> list[str]:
    """The label of each image, merged where the options say so.

    `written` labels stand in a table, where numbers may be quantities; as names of folders they are classes.
    Raises one NetlatheError for all labels that have to be asked about.
    """
    settled = merge_variants(labels) if options.merge_labels else list(labels)
    if options.labels_as_they_are:
        return settled
    faults, fixes = [], []
    if variants := find_variants(settled):
        names = [" = ".join(map(repr, sorted(group))) for group in variants]
        faults.append(Fault("labels that differ only in case or space", shorten(names)))
        fixes.append("--merge-labels makes one of each")
    if several := find_several(settled):
        faults.append(Fault("labels that seem to name several classes", shorten([repr(name) for name in several])))
        fixes.append("Netlathe learns one class of an image: keep one label in each row")
    if written and settled and all(NUMBER.fullmatch(name.strip()) for name in settled):
        unique = sorted(set(settled), key=lambda name: float(name.replace(",", ".")))
        numbers = f"{shorten(unique)}: is each a class, or are they quantities?"
        faults.append(Fault("all labels are numbers", numbers))
    if faults:
        fixes.append("--labels-as-they-are takes each of them as a class of its own")
        raise faults_error(faults, code="images.labels", path=make_printable(place), hint="; ".join(fixes))
    return settled


def plain(label: str) -> str:
    """A label without what people do not mean by it."""
    return " ".join(label.split()).casefold()


def find_variants(labels: Sequence[str]) -> list[set[str]]:
    """Labels that are the same but for case and space."""
    groups: dict[str, set[str]] = {}
    for label in set(labels):
        groups.setdefault(plain(label), set()).add(label)
    return [group for _, group in sorted(groups.items()) if len(group) > 1]


def merge_variants(labels: Sequence[str]) -> list[str]:
    """Every label in the spelling, without surrounding space, that most of its kind have."""
    spelling: dict[str, str] = {}
    for label, _ in sorted(Counter(labels).items(), key=lambda row: (-row[1], row[0])):
        spelling.setdefault(plain(label), label.strip())
    return [spelling[plain(label)] for label in labels]


def find_several(labels: Sequence[str]) -> list[str]:
    """Labels such as a|b; with a comma or semicolon where each part is a label of other images too."""
    unique = set(labels)
    plain_labels = {plain(label) for label in unique}
    return sorted(
        label
        for label in unique
        if len(parts := [plain(part) for part in JOINTS.split(label)]) > 1
        and all(parts)
        and ("|" in label or plain_labels.issuperset(parts))
    )


def shorten(names: Sequence[str]) -> str:
    """The first of many labels."""
    return ", ".join(map(make_printable, names[:SHOWN])) + (f" and {len(names) - SHOWN:,} more" * (len(names) > SHOWN))
