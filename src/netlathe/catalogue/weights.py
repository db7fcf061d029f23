"""The published weights: weights.csv, a row for every weights at every side of image at which timm evaluated them.

Accuracies, crop and interpolation are of timm's results tables; normalisation, licence and address of the configuration
of the weights; what images beyond ImageNet-1k they rest on is what their tag names (SOURCES.md).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from netlathe.errors import NetlatheError, nearest

TIMM = "timm"
PREFIX = "timm:"  # before a name, as people type it
SETS = {"imagenet": "ImageNet validation", "real": "ImageNet ReaL", "v2": "ImageNet-V2"}  # with an accuracy on each
IMAGES = {"imagenet": 50_000, "real": 46_837, "v2": 10_000}  # of each; ReaL leaves out images without a label
COLUMNS = (
    *(
        "weights",
        "side",
        "native",
        "usual",
        "crop",
        "interpolation",
        "normalisation",
        "params_M",
        "licence",
        "data",
        "hub",
    ),
    *(f"{name}_top{k}" for name in SETS for k in (1, 5)),
)
NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "dpn": ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3),
}  # (mean, standard deviation) of red, green and blue between 0 and 1


class TimmWeights(NamedTuple):
    """Weights at a side of the image; accuracies in %."""

    name: str  # of the architecture, a dot and the tag
    side: int
    native: int  # the side that their configuration names
    usual: bool  # whether timm takes them where only the architecture is named
    crop: float  # the share of the resized image
    interpolation: str
    normalisation: str  # of NORMALISATIONS
    params_M: float
    licence: str
    data: str  # images beyond ImageNet-1k that they rest on; empty for none
    hub: str
    top1: dict[str, float]  # by SETS
    top5: dict[str, float]

    @property
    def architecture(self) -> str:
        """What they are weights of."""
        return self.name.partition(".")[0]


@cache
def weights() -> tuple[TimmWeights, ...]:
    """All rows, by name and side."""
    with (files("netlathe.catalogue") / "weights.csv").open(encoding="utf-8") as file:
        return tuple(weights_row(row) for row in csv.DictReader(file))


def weights_row(row: dict[str, str]) -> TimmWeights:
    """A row of the table."""
    return TimmWeights(
        name=row["weights"],
        side=int(row["side"]),
        native=int(row["native"]),
        usual=row["usual"] == "1",
        crop=float(row["crop"]),
        interpolation=row["interpolation"],
        normalisation=row["normalisation"],
        params_M=float(row["params_M"]),
        licence=row["licence"],
        data=row["data"],
        hub=row["hub"] or f"timm/{row['weights']}",
        top1={name: float(row[f"{name}_top1"]) for name in SETS},
        top5={name: float(row[f"{name}_top5"]) for name in SETS},
    )


@cache
def by_architecture() -> dict[str, tuple[TimmWeights, ...]]:
    """The rows of every architecture."""
    rows: dict[str, list[TimmWeights]] = {}
    for one in weights():
        rows.setdefault(one.architecture, []).append(one)
    return {name: tuple(some) for name, some in rows.items()}


def weights_named(text: str) -> tuple[TimmWeights, ...]:
    """The rows of an architecture or of weights, such as resnet50 or resnet50.a1_in1k.

    Raises NetlatheError with the nearest names where timm published no accuracy of it.
    """
    name, dot, _ = text.partition(".")
    rows = by_architecture().get(name, ())
    if dot:
        rows = tuple(one for one in rows if one.name == text)
    if rows:
        return rows
    raise unknown_weights(text)


def best_weights(net: str, side: int) -> TimmWeights | None:
    """The most accurate weights of timm:NAME or timm:NAME.TAG at a side; None for other networks, and unknown sides."""
    name = net.removeprefix(PREFIX).partition("@")[0]
    rows = by_architecture().get(name.partition(".")[0], ()) if net.startswith(PREFIX) else ()
    legal = [one for one in rows if one.side == side and name in (one.name, one.architecture)]
    return max(legal, key=lambda one: one.top1["imagenet"], default=None)


def usual_weights(text: str) -> bool:
    """Whether a name is of weights that are known, or of an architecture of which timm takes known ones by default."""
    rows = by_architecture().get(text.partition(".")[0], ())
    return any(one.name == text or (one.architecture == text and one.usual) for one in rows)


def native_side(rows: tuple[TimmWeights, ...]) -> int:
    """The side of the image that weights were made for; of several, that of those that timm takes by default."""
    return max(rows, key=lambda one: (one.usual, -one.native)).native


def unknown_weights(text: str) -> NetlatheError:
    """The error for a name that the table lacks, with the nearest tags of an architecture, else architectures."""
    rows = by_architecture().get(text.partition(".")[0])
    close = closest(text, dict.fromkeys(one.name for one in rows) if rows else all_names())
    hint = f"did you mean {' or '.join(PREFIX + one for one in close)}?" if close else ""
    return NetlatheError(f"timm has no network {text!r} with a published accuracy", code="module.unknown", hint=hint)


def all_names() -> list[str]:
    """The names of all architectures, then of all weights."""
    return list(dict.fromkeys([*by_architecture(), *(one.name for one in weights())]))


def closest(text: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The names that begin as the text does, then those that have all its words, then the nearest by letters."""
    legal = list(names)
    plain = {name: name.replace(".", "_") for name in legal}
    typed = text.lower().replace(".", "_").replace("-", "_")
    words = typed.split("_")
    beginning = sorted((name for name in legal if plain[name].startswith(typed)), key=len)
    holding = sorted((name for name in legal if all(word in plain[name] for word in words)), key=len)
    return list(dict.fromkeys([*beginning, *holding, *nearest(text, legal)]))[:count]
