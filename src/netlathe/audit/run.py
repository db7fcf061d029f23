"""findings(): the claims checked, each with its value, verdict, evidence and sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from netlathe.audit import records
from netlathe.audit.claims import VERDICTS, Claim, Verdict, select_claims
from netlathe.audit.facts import CitedFigure, collect_figures
from netlathe.audit.records import Record
from netlathe.audit.rules import CHECKS, CheckResult

# One file a part of the lecture, in its order. They are imported where the first claim is checked.
SECTIONS = (
    *("opening", "deeper", "dense", "factoring", "mobile", "hardware"),
    *("scaling", "searching", "convergence", "eras", "summary", "rows"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A checked claim: what was found, the figures that it rests on, and the measurements that bear on it."""

    claim: Claim
    value: str
    verdict: Verdict
    evidence: str
    figures: tuple[CitedFigure, ...] = ()
    records: tuple[Record, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the check confirms the recorded verdict."""
        return self.verdict == self.claim.verdict

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        claim = asdict(self.claim) | {"says": dict(self.claim.says), "recorded": self.claim.verdict}
        ours = {"value": self.value, "verdict": self.verdict, "agrees": self.agrees, "evidence": self.evidence}
        return {
            **claim,
            **ours,
            "figures": [asdict(figure) for figure in self.figures],
            "records": [asdict(record) for record in self.records],
        }


def check_claim(claim: Claim) -> Finding:
    """Check one claim now. Raises NetlatheError where a figure or a record that it needs is not there."""
    for section in SECTIONS:
        import_module(f"netlathe.audit.{section}")
    measured = tuple(records.records_of(claim.id))
    if claim.id not in CHECKS:
        result = CheckResult("-", "not-testable", f"Nothing to compute: it would need {claim.needs}.")
        return Finding(claim, *result, records=measured)
    with collect_figures() as figures:
        result = CHECKS[claim.id](claim)
    return Finding(claim, *result, figures=tuple(figures), records=measured)


def check_claims(
    ids: Iterable[str] = (),
    *,
    slides: Iterable[int] = (),
    kinds: Iterable[str] = (),
    verdicts: Iterable[str] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Finding]:
    """The claims of these ids, slides and kinds (all without), checked, and of them those with these verdicts.

    Raises NetlatheError for an id, slide or kind that does not exist.
    """
    chosen = select_claims(tuple(ids), slides=tuple(slides), kinds=tuple(kinds))
    done = []
    for i, claim in enumerate(chosen, 1):
        if progress is not None:
            progress(i - 1, len(chosen), claim.id)
        done.append(check_claim(claim))
    wanted = tuple(verdicts) or VERDICTS
    return [finding for finding in done if finding.verdict in wanted]


def count_verdicts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings have which verdict."""
    counts = Counter(finding.verdict for finding in findings)
    return {verdict: counts[verdict] for verdict in VERDICTS}
