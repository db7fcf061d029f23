"""The lecture's tables with evidence for every row: the quiz, what each era bought, when not to take a CNN.

tables.csv has the rows as the lecture says them and the claims that they rest on; the first claim is the row itself,
and its verdict is the row's.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from typing import Any

from netlathe import zoo
from netlathe.audit.claims import FOLDER, Verdict
from netlathe.audit.facts import macs, params
from netlathe.audit.run import Finding, check_claims
from netlathe.errors import unknown
from netlathe.zoo.published import best

HEADS = {
    "quiz": ("question", "the lecture's answer"),
    "era": ("year", "bottleneck solved", "cost"),
    "decision": ("when", "right tool", "why"),
}


@dataclass(frozen=True, slots=True)
class LectureRow:
    """A row as the lecture has it: its name, its cells, the claims behind it, the networks of the zoo that it means."""

    table: str
    name: str
    cells: tuple[str, ...]
    claims: tuple[str, ...]
    networks: tuple[str, ...]  # names or patterns
    instead: str  # the tool where the row does not hold


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row with its evidence."""

    line: LectureRow
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """Of the claim that the row itself makes."""
        return self.findings[0].verdict

    @property
    def counted(self) -> str:
        """Params, MACs and the best published top-1 of the row's network; empty where it names a family or none."""
        name = self.line.networks[0] if len(self.line.networks) == 1 else ""
        if name not in zoo.names():
            return ""
        figure = best(name)
        top = f", best top-1 {figure.top1} % ({figure.recipe})" if figure else ""
        return f"{name}: {params(name):,} params, {macs(name):,} MACs{top}"

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        cells = dict(zip(HEADS[self.line.table], self.line.cells, strict=True))
        findings = [finding.record() for finding in self.findings]
        return {"name": self.line.name, **cells, "verdict": self.verdict, "counted": self.counted, "findings": findings}


@cache
def lecture_rows(table: str) -> tuple[LectureRow, ...]:
    """The rows of a table as the lecture has them. Raises NetlatheError for an unknown table."""
    if table not in HEADS:
        raise unknown("table", table, HEADS, code="audit.table")
    with (FOLDER / "tables.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            LectureRow(
                table=row["table"],
                name=row["name"],
                cells=tuple(cell.strip() for cell in row["cells"].split("|")),
                claims=tuple(row["claims"].split()),
                networks=tuple(row["networks"].split()),
                instead=row["instead"],
            )
            for row in csv.DictReader(file)
            if row["table"] == table
        )


def check_row(line: LectureRow) -> CheckedRow:
    """A row with its claims checked now."""
    return CheckedRow(line, tuple(check_claims(line.claims)))


def check_table(table: str) -> list[CheckedRow]:
    """A table with all its claims checked now. Raises NetlatheError for an unknown table."""
    return [check_row(line) for line in lecture_rows(table)]


def quiz() -> list[CheckedRow]:
    """Slide 10."""
    return check_table("quiz")


def era() -> list[CheckedRow]:
    """Slide 27, nine rows."""
    return check_table("era")


def decision() -> list[CheckedRow]:
    """Slide 28, six rows."""
    return check_table("decision")
