"""What people write and what is said of it: pydantic's errors in our words, with places and nearest names."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Le
from hypothesis import given
from hypothesis import strategies as st

from netlathe.documents.faults import Fault, faults_error, suggest, unknown_field, unknown_word
from netlathe.documents.schema import check_document
from netlathe.documents.tables import parse_csv
from netlathe.documents.toml import parse_toml, read_toml, to_toml
from netlathe.errors import NetlatheError
from netlathe.files import read_text


@dataclass(frozen=True)
class Wheel:
    size: Annotated[int, Ge(1), Le(30)]
    tyre: Literal["slick", "studded"] = "slick"


@dataclass(frozen=True)
class Car:
    name: str
    wheels: tuple[Wheel, ...] = ()
    spare: Wheel | None = None
    doors: bool = True
    notes: Mapping[str, str] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "name: is missing"),
        ({"name": 3}, "name: must be a text, not 3"),
        ({"name": "x", "doors": 2}, "doors: must be true or false, not 2"),
        ({"name": "x", "wheels": 2}, "wheels: must be a list, not 2"),
        ({"name": "x", "wheels": [2]}, "wheels[0]: must be a table, not 2"),
        ({"name": "x", "wheels": [{"size": 0}]}, "wheels[0].size: must be at least 1, not 0"),
        ({"name": "x", "wheels": [{"size": 31}]}, "wheels[0].size: must be at most 30, not 31"),
        ({"name": "x", "wheels": [{"size": 2.5}]}, "wheels[0].size: must be a whole number, not 2.5"),
        ({"name": "x", "wheels": [{"sise": 2, "size": 3}]}, "wheels[0].sise: unknown field (did you mean size?)"),
        ({"name": "x", "spare": {"size": 3, "colour": 1}}, "spare.colour: unknown field (legal: size, tyre)"),
        (
            {"name": "x", "spare": {"size": 3, "tyre": "slik"}},
            "spare.tyre: unknown word 'slik' (did you mean slick? legal: slick, studded)",
        ),
        ({"name": "x", "notes": []}, "notes: must be a table, not []"),
        ({"name": date(2026, 8, 1), "doors": date(2026, 8, 1)}, "doors: must be true or false, not '2026-08-01'"),
    ],
)
def test_a_fault_is_said_in_our_words_with_its_place(document, said):
    value, faults = check_document(Car, document)
    assert value is None
    assert list(map(str, faults)) == [said]


def test_all_faults_come_at_once():
    _, faults = check_document(Car, {"nam": "x", "wheels": [{"size": 1}, {"size": "x"}], "spare": {"size": -1}})
    assert {fault.path for fault in faults} == {"nam", "name", "wheels[1].size", "spare.size"}


def test_a_right_document_is_its_value():
    value, faults = check_document(Car, {"name": "x", "wheels": [{"size": 3}], "spare": {"size": 2, "tyre": "studded"}})
    assert faults == []
    assert value == Car("x", (Wheel(3),), Wheel(2, "studded"))


def test_what_is_not_strict_takes_values_of_its_own_types():
    value, faults = check_document(Car, {"name": "x", "spare": Wheel(3), "doors": "yes"}, strict=False)
    assert faults == []
    assert value == Car("x", spare=Wheel(3))
    _, faults = check_document(Car, {"name": "x", "wheels": [{"size": "x"}]}, strict=False)
    assert list(map(str, faults)) == ["wheels[0].size: must be a whole number, not 'x'"]


def test_many_faults_are_one_error():
    faults = [Fault(f"line {i}", "is wrong") for i in range(5)]
    error = faults_error(faults, code="x.y", path="f.csv", hint="do it", shown=2)
    assert str(error) == "f.csv: 5 faults\n  line 0: is wrong\n  line 1: is wrong\n  and 3 more\n  do it"
    assert faults_error(faults[:1], code="x.y", path="f").message == "1 fault\n  line 0: is wrong"


def test_names_are_suggested_or_listed():
    assert suggest("latenzy", ("latency", "size")) == "did you mean latency?"
    assert suggest("zzz", ("latency", "size")) == "legal: latency, size"
    assert str(unknown_field("a", "siz", ("size",))) == "a.siz: unknown field (did you mean size?)"
    assert str(unknown_word("a", 3, ("x", "y"))) == "a: unknown word 3 (legal: x, y)"


def test_files_that_cannot_be_read_say_why(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(NetlatheError, match="cannot read this file: it is not text"):
        read_text(tmp_path / "bytes")
    for name in ("bytes", "none"):
        with pytest.raises(NetlatheError) as caught:
            read_toml(tmp_path / name, code="x.syntax", what="a thing")
        assert caught.value.code == "file.unreadable"
    with pytest.raises(NetlatheError, match="nested too deeply to be a thing"):
        parse_toml("x = " + "[" * 100_000, source="f", code="x.syntax", what="a thing")


KEYS = st.text(min_size=1, max_size=6)
VALUES = st.one_of(
    st.text(max_size=8), st.integers(-(2**60), 2**60), st.booleans(), st.dates(), st.floats(allow_nan=False)
)
TABLES = st.dictionaries(KEYS, VALUES | st.lists(VALUES, max_size=3), max_size=4)


@given(
    st.recursive(TABLES, lambda inner: st.dictionaries(KEYS, inner | st.lists(inner, max_size=2) | VALUES, max_size=3))
)
def test_what_is_written_as_toml_reads_back(document):
    assert parse_toml(to_toml(document), source="", code="", what="") == document


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_csv_is_read_with_its_lines_whatever_parts_its_values(sign):
    text = "\n".join(["a, b", '1,"x\n2"', "", " , ", "3", "4,5,6"]).replace(",", sign)
    columns, rows = parse_csv(text)
    assert columns == ["a", "b"]
    assert [(row.line, row.cells, row.surplus) for row in rows] == [
        (3, {"a": "1", "b": "x\n2"}, False),
        (6, {"a": "3", "b": ""}, False),
        (7, {"a": "4", "b": "5"}, True),
    ]


def test_csv_whose_quote_does_not_end_is_refused():
    with pytest.raises(csv.Error):
        parse_csv('a,b\n1,"x\n')
    assert parse_csv("") == ([], [])
