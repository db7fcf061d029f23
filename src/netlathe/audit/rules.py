"""How a verdict follows from what a check found: two rules for all claims, and the registry of checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netlathe.audit.claims import Claim, Verdict

SAME = 0.02  # a number that is so close to the claim's holds: printed figures have two or three digits
NEAR = 0.10  # one that is so close holds with a caveat


class CheckResult(NamedTuple):
    """What a check found: the value, the verdict that follows, and the evidence, a sentence with the numbers."""

    value: str
    verdict: Verdict
    evidence: str


Check = Callable[[Claim], CheckResult]
CHECKS: dict[str, Check] = {}


def check(*ids: str) -> Callable[[Check], Check]:
    """Register the function as the check of these claims."""

    def register(function: Check) -> Check:
        for id in ids:
            assert id not in CHECKS, f"{id} has two checks"
            CHECKS[id] = function
        return function

    return register


def grade(fact: bool, clean: bool = True) -> Verdict:
    """does-not-hold without the fact, caveat where something qualifies it, else holds."""
    return "does-not-hold" if not fact else "holds" if clean else "caveat"


def relative_difference(value: float, claimed: float) -> float:
    """How far a number is from the claim's, as a share of the claim's."""
    return abs(value - claimed) / abs(claimed) if claimed else float(value != claimed)


def is_same(value: float, claimed: float, within: float = SAME) -> bool:
    """Whether a number is the claim's, to its digits."""
    return relative_difference(value, claimed) <= within


def is_near(value: float, claimed: float) -> bool:
    """Whether a number is about the claim's."""
    return relative_difference(value, claimed) <= NEAR


def grade_points(value: float, claimed: float) -> Verdict:
    """The verdict on an accuracy in percent: within 0.1 points it holds, within 0.3 (the noise of trainings) nearly."""
    return grade(abs(value - claimed) <= 0.3, abs(value - claimed) <= 0.1)


def grade_number(value: float, claimed: float) -> Verdict:
    """The verdict on a number: within 2 % it holds, within 10 % with a caveat."""
    return grade(is_near(value, claimed), is_same(value, claimed))
