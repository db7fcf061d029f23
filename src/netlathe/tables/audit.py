"""The claims of the lecture with their verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from netlathe.tables.table import Column, Table, Tone, make_table

Data = Mapping[str, Any]
WORDS = {"holds": "holds", "caveat": "caveat", "does-not-hold": "does not hold", "not-testable": "not testable"}
TONES: dict[str, Tone] = {"holds": "kept", "caveat": "open", "does-not-hold": "over", "not-testable": "none"}


def show_verdict(claim: Data) -> str:
    """The verdict in words; * where the project's notes say another one."""
    verdict = str(claim["verdict"])
    return WORDS.get(verdict, verdict) + "*" * bool(claim.get("differs"))


CLAIMS = (
    Column("claim", "id", text=True),
    Column("slide", "slide", priority=3, text=True),
    Column("what is said", "text", text=True, wraps=True),
    Column("verdict", lambda claim: claim, show_verdict, text=True, tone=lambda claim: TONES.get(claim["verdict"], "")),
    Column("found", "value", priority=2, text=True, wraps=True),
)


def claims_table(claims: Iterable[Data]) -> Table:
    """A row a claim, from its record."""
    return make_table(CLAIMS, claims)
