"""The result of a run: a file that is there when the run has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from netlathe.errors import NetlatheError
from netlathe.files import write_json
from netlathe.runfolder.document import read_document, whole

RESULT = "result.json"
R = TypeVar("R")


def write_result(folder: Path, schema: str, fields: Mapping[str, Any]) -> None:
    """Write the result of a run. Raises NetlatheError where it cannot be written."""
    write_json(folder / RESULT, {"schema": schema, **fields})


def read_result(folder: Path, schema: str, make: Callable[[dict[str, Any]], R]) -> R | None:
    """What `make` makes of the fields of the result of a run that ended; None where there is none yet.

    Raises NetlatheError for a damaged file and for one of another format.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    remedy = f"remove {RESULT}: the same command makes it again from what else is there"
    fields = read_document(path, remedy)
    if (there := fields.pop("schema", None)) != schema:
        message = f"this result is a {there}, and this Netlathe reads {schema}"
        raise NetlatheError(message, code="folder.version", path=str(path), hint="give another folder with -o")
    with whole(path, remedy):
        return make(fields)
