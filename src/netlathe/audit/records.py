"""What was measured or trained here, and elsewhere by us: a value with its device, date and command.

records.csv comes with the package, so that a finding has evidence; what `netlathe audit --run` measures on this machine
is kept in audit.json of the cache folder and goes before it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from netlathe.audit.claims import FOLDER
from netlathe.errors import NetlatheError, unknown
from netlathe.files import cache_dir, make_folder, write_text

SCHEMA = "netlathe.audit.records/1"


@dataclass(frozen=True, slots=True)
class Record:
    """One measured value; `claims` are the ids that it bears on."""

    name: str
    value: float
    unit: str
    what: str
    claims: tuple[str, ...]
    device: str
    date: str  # YYYY-MM-DD
    command: str


def parse_record(row: dict[str, str]) -> Record:
    """A record of a row of text."""
    return Record(**row | {"value": float(row["value"]), "claims": tuple(row["claims"].split())})  # type: ignore[arg-type]


@cache
def shipped_records() -> dict[str, Record]:
    """The records of the package by name."""
    with (FOLDER / "records.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: parse_record(row) for row in csv.DictReader(file)}


def own_records_path() -> Path:
    """Where the records of this machine are."""
    return cache_dir() / "audit.json"


def own_records() -> dict[str, Record]:
    """The records of this machine by name. Raises NetlatheError where the file is none of ours."""
    path = own_records_path()
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document["schema"] == SCHEMA
        return {row["name"]: parse_record(row | {"claims": " ".join(row["claims"])}) for row in document["records"]}
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        hint = "remove it; `netlathe audit --run measurement` writes it again"
        raise NetlatheError(
            "these are no records of an audit", code="audit.records", path=str(path), hint=hint
        ) from error


def all_records() -> dict[str, Record]:
    """All records by name, those of this machine before those of the package."""
    return shipped_records() | own_records()


def latest_record(name: str) -> Record:
    """The record of that name. Raises NetlatheError with the nearest names."""
    records = all_records()
    if name not in records:
        raise unknown("record", name, records, code="audit.record")
    return records[name]


def records_of(claim: str) -> list[Record]:
    """The records that bear on a claim."""
    return [record for record in all_records().values() if claim in record.claims]


def store_records(records: Iterable[Record]) -> Path:
    """Add records of this machine to its file, atomically; those of the same name are replaced."""
    path = own_records_path()
    make_folder(path.parent)
    rows = own_records() | {record.name: record for record in records}
    content = {"schema": SCHEMA, "records": [asdict(record) for record in rows.values()]}
    write_text(path, json.dumps(content, indent=1) + "\n")
    return path


def today() -> str:
    """The date of a record made now."""
    return datetime.now(UTC).date().isoformat()
