"""Checks that are rows: their expressions compute what they should, and nothing but what is listed runs."""

import pytest

from netlathe.audit.claims import claims_by_id, find_claim
from netlathe.audit.expression import evaluate, format_text
from netlathe.audit.rows import check_by_row, check_rows, functions

NAMES = {"x": 4, "name": "net", "says": find_claim("s2-2")}
FUNCTIONS = {"max": max, "half": lambda value, by=2: value / by}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * x ** 2 / 4 - -1", 10),
        ("1 < x <= 4 != 5", True),
        ("x > 5 or not x == 3", True),
        ("x > 5 and 1 / 0", False),
        ("'a' if x > 3 else 1 / 0", "a"),
        ("half(x, by=4) + max(1, 7)", 8),
        ("says.id", "s2-2"),
        ("(x, 'a')", (4, "a")),
        ("f'{x:.1f} of {name}'", "4.0 of net"),
    ],
)
def test_an_expression_is_pythons(text, value):
    assert evaluate(text, NAMES, FUNCTIONS) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "open('/etc/passwd')",
        "x.__class__",
        "name.upper()",
        "[c for c in name]",
        "(lambda: 1)()",
        "unknown",
        "max(*name)",
        "half(**name)",
        "x if",
        "name[0]",
        "None",
    ],
)
def test_nothing_else_runs(text):
    with pytest.raises(ValueError, match=r"not allowed in a check|no expression"):
        evaluate(text, NAMES, FUNCTIONS)


def test_a_text_has_its_expressions_formatted():
    assert format_text("{x:,} and {half(x):.2f}, 'so' \"said\".", NAMES, FUNCTIONS) == "4 and 2.00, 'so' \"said\"."


def test_every_row_is_of_a_claim_and_says_value_verdict_and_evidence():
    assert len(check_rows()) >= 39
    for id, row in check_rows().items():
        assert id in claims_by_id()
        assert {"value", "verdict", "evidence"} <= set(row), id
        assert not set(row) & (set(functions()) | {"says"}), f"{id} hides a function"


def test_a_row_follows_what_it_reads(monkeypatch):
    from netlathe.audit import facts

    assert check_by_row(find_claim("s15-8")).value == "568,740,352"
    monkeypatch.setattr(facts, "macs", lambda name: 1)
    changed = check_by_row(find_claim("s15-8"))
    assert (changed.value, changed.verdict) == ("1", "does-not-hold")
