"""The result of a run: a file that is there when the run has ended, with what the run was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlathe.files import write_json
from netlathe.runfolder.identity import Identity, RunKind, refuse_other

RESULT = "result.json"
IDENTITY = "who"  # its name in the file


def write_result(folder: Path, schema: str, identity: Identity, fields: Mapping[str, Any]) -> None:
    """Write the result of a run. Raises NetlatheError where it cannot be written."""
    write_json(folder / RESULT, {"schema": schema, IDENTITY: dict(identity), **fields})


def read_result(folder: Path, kind: RunKind, identity: Identity) -> dict[str, Any] | None:
    """The fields of the result of a run that ended; None where there is none yet.

    Raises NetlatheError where it is the result of another run.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    refuse_other(kind, document.pop(IDENTITY, {}), identity, folder)
    document.pop("schema", None)
    return document
