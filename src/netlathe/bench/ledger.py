"""The ledger: every measurement made on this machine, one JSON object per line, only ever appended to.

It lies in $NETLATHE_CACHE, else $XDG_CACHE_HOME/netlathe, else ~/.cache/netlathe. A record is on the disk, whole, when
`append` returns; processes that measure at the same time take turns.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

from netlathe.bench.measurement import Measurement, measurement_from_json
from netlathe.errors import NetlatheError, nearest
from netlathe.files import cache_dir
from netlathe.runfolder.lines import append_line


class LedgerWarning(UserWarning):
    """A line of the ledger cannot be read and is left out."""


def ledger_path() -> Path:
    """The file of all measurements."""
    return cache_dir() / "measurements.jsonl"


def append(measurement: Measurement, path: Path | None = None) -> None:
    """Add a record. Raises NetlatheError where that fails, as on a full disk; the records before are whole then."""
    path = path or ledger_path()
    line = json.dumps(measurement.to_json(), separators=(",", ":")).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        append_line(path, line)
    except OSError as error:
        raise NetlatheError(
            f"cannot write {path}: {error.strerror}",
            code="ledger.write",
            hint="what was measured before is kept; free some space, or set NETLATHE_CACHE to another folder",
        ) from error


def read(path: Path | None = None) -> Iterator[Measurement]:
    """All records, oldest first; a line that is no record gives a LedgerWarning and is left out."""
    path = path or ledger_path()
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise NetlatheError(f"cannot read {path}: {error.strerror}", code="ledger.read") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield measurement_from_json(json.loads(line))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            warnings.warn(f"{path}, line {number} is no measurement and is left out: {error}", LedgerWarning, 2)


def find(id: str, path: Path | None = None) -> Measurement:
    """The record of that id; raises NetlatheError with the nearest ids where there is none."""
    records = {record.id: record for record in read(path)}
    if id not in records:
        close = " or ".join(nearest(id, records))
        hint = f"did you mean {close}?" if close else f"{len(records)} measurements are in {path or ledger_path()}"
        raise NetlatheError(f"no measurement has the id {id!r}", code="ledger.unknown_id", hint=hint)
    return records[id]
