"""The checks of checks.toml: claims that compare numbers, as rows of expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

from netlathe.audit import facts, rules
from netlathe.audit.claims import FOLDER, Claim
from netlathe.audit.expression import evaluate, format_text
from netlathe.audit.rules import CHECKS, CheckResult
from netlathe.documents.toml import read_toml
from netlathe.reshape.compound import ALPHA, BETA, GAMMA, compound
from netlathe.units import show_count
from netlathe.zoo.resnet import basic, bottleneck

CONSTANTS = {"ALPHA": ALPHA, "BETA": BETA, "GAMMA": GAMMA}
FACTS = ("number", "word", "months", "top1", "macs", "params", "weights")
RULES = ("grade", "grade_number", "grade_points", "is_same", "is_near", "relative_difference")


def functions() -> dict[str, Callable[..., Any]]:
    """What an expression may call, by name."""
    return (
        {name: getattr(facts, name) for name in FACTS}
        | {name: getattr(rules, name) for name in RULES}
        | {"percent": facts.format_percent, "show_count": show_count, "abs": abs, "max": max}
        | {"basic": basic, "bottleneck": bottleneck, "compound": compound}
    )


@cache
def check_rows() -> dict[str, dict[str, str]]:
    """The rows of checks.toml by claim; `also` names a second claim of the same check."""
    rows = read_toml(FOLDER / "checks.toml", code="audit.checks", what="the checks")
    return rows | {row["also"]: row for row in rows.values() if "also" in row}


def check_by_row(claim: Claim) -> CheckResult:
    """What the row of a claim computes."""
    row = check_rows()[claim.id]
    names: dict[str, Any] = {"says": SimpleNamespace(**claim.says), **CONSTANTS}
    callables = functions()
    for name, expression in row.items():
        if name not in ("also", "value", "verdict", "evidence"):
            names[name] = evaluate(expression, names, callables)

    def text(name: str) -> str:
        return format_text(row[name], names, callables)

    return CheckResult(text("value"), evaluate(row["verdict"], names, callables), text("evidence"))


def register_rows(checks: Mapping[str, Any] = CHECKS) -> None:
    """Every row is the check of its claims."""
    for id in check_rows():
        assert id not in checks, f"{id} has two checks"
        CHECKS[id] = check_by_row


register_rows()
