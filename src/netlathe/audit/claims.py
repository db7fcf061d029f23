"""The claims of the lecture as data: claims.csv, a row a claim, in our words.

`says` is what the claim asserts, as numbers and words by name; a check compares it with what it computes. `verdict` is
the recorded one, which the check must confirm; `reference` is that of the project's notes, and `differs` says why ours
is another. `needs` says what would make a claim testable that is not.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from netlathe.errors import NetlatheError, unknown

Verdict = Literal["holds", "caveat", "does-not-hold", "not-testable"]
VERDICTS: tuple[Verdict, ...] = ("holds", "caveat", "does-not-hold", "not-testable")
KINDS = ("arithmetic", "count", "published", "simulation", "measurement", "experiment", "opinion")
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Claim:
    """One assertion of the lecture. `mark` says how its source is known: confirmed or recalled."""

    id: str  # s<slide>-<number>
    slide: int
    text: str
    kind: str
    says: Mapping[str, float | str] = field(hash=False)
    verdict: Verdict
    reference: Verdict
    differs: str
    needs: str
    source: str
    mark: str

    def number(self, name: str) -> float:
        """A number that the claim says."""
        value = self.says[name]
        assert isinstance(value, float), f"{self.id} says {name} = {value!r}, which is no number"
        return value

    def word(self, name: str) -> str:
        """A word that the claim says."""
        return str(self.says[name])


def parse_value(text: str) -> float | str:
    """A number where it is one."""
    try:
        return float(text)
    except ValueError:
        return text


def parse_sayings(text: str) -> dict[str, float | str]:
    """gpus=2; place=basement -> {"gpus": 2.0, "place": "basement"}"""
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): parse_value(value.strip()) for name, _, value in pairs}


@cache
def claims_by_id() -> dict[str, Claim]:
    """All claims by id, in the order of the lecture."""
    with (FOLDER / "claims.csv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    return {row["id"]: Claim(**row | {"slide": int(row["slide"]), "says": parse_sayings(row["says"])}) for row in rows}


def find_claim(id: str) -> Claim:
    """The claim of that id. Raises NetlatheError with the nearest ids."""
    if id not in claims_by_id():
        raise unknown("claim", id, claims_by_id(), code="audit.claim")
    return claims_by_id()[id]


def select_claims(
    ids: tuple[str, ...] = (), *, slides: tuple[int, ...] = (), kinds: tuple[str, ...] = ()
) -> list[Claim]:
    """Claims by id, slide and kind; all where nothing is asked. Raises NetlatheError for what does not exist."""
    legal = sorted({c.slide for c in claims_by_id().values()})
    for slide in slides:
        if slide not in legal:
            legal_slides = ", ".join(map(str, legal))
            raise NetlatheError(
                f"slide {slide} makes no claim", code="audit.slide", hint=f"slides with claims: {legal_slides}"
            )
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of claim", kind, KINDS, code="audit.kind")
    chosen = [find_claim(id) for id in ids] or list(claims_by_id().values())
    return [c for c in chosen if (not slides or c.slide in slides) and (not kinds or c.kind in kinds)]
