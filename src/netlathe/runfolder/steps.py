"""The steps of a run on disk: each leaves a file when it is done, and a step that is done is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netlathe.files import make_folder, write_json

StepResult = dict[str, Any]
FOLDER = "steps"


def cached_step(folder: Path, name: str, make: Callable[[], StepResult]) -> StepResult:
    """The result of a step: read where it is there, else made and written. JSON values only.

    Raises NetlatheError where it cannot be written, and whatever `make` raises.
    """
    path = folder / FOLDER / f"{name}.json"
    result: StepResult
    if path.exists():
        result = json.loads(path.read_text(encoding="utf-8"))["result"]
        return result
    start = time.monotonic()
    result = json.loads(json.dumps(make()))
    make_folder(path.parent)
    write_json(path, {"step": name, "seconds": time.monotonic() - start, "result": result})
    return result
