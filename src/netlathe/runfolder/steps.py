"""The steps of a run on disk: each leaves a file when it is done, and a step that is done is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netlathe.files import make_folder, write_json
from netlathe.runfolder.document import read_document, whole

StepResult = dict[str, Any]
FOLDER = "steps"


def cached_step(folder: Path, name: str, make: Callable[[], StepResult]) -> StepResult:
    """The result of a step: read where it is there, else made and written. JSON values only.

    Raises NetlatheError where it is damaged or cannot be written, and whatever `make` raises.
    """
    path = folder / FOLDER / f"{name}.json"
    if path.exists():
        return read_step(path)
    start = time.monotonic()
    result: StepResult = json.loads(json.dumps(make()))
    make_folder(path.parent)
    write_json(path, {"step": name, "seconds": time.monotonic() - start, "result": result})
    return result


def read_step(path: Path) -> StepResult:
    """The result of a step that is done. Raises NetlatheError for a damaged file."""
    remedy = f"remove {path.name}: the same command does this step again"
    document = read_document(path, remedy)
    with whole(path, remedy):
        result = document["result"]
        if not isinstance(result, dict):
            raise TypeError("its result is no JSON object")
        return result
