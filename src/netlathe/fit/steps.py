"""The steps of a fit on disk: each leaves a file when it is done, and a step that is done is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netlathe.errors import NetlatheError
from netlathe.files import write_text

Value = dict[str, Any]


def done(folder: Path, name: str, make: Callable[[], Value]) -> Value:
    """The result of a step: read where it is there, else made and written. JSON values only."""
    path = folder / "steps" / f"{name}.json"
    if path.exists():
        found: Value = json.loads(path.read_text(encoding="utf-8"))["result"]
        return found
    start = time.monotonic()
    made: Value = json.loads(json.dumps(make()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NetlatheError(f"cannot make this folder: {error.strerror}", code="file.write", path=str(folder)) from None
    write_text(path, json.dumps({"step": name, "seconds": time.monotonic() - start, "result": made}, indent=1))
    return made


def refuse_other(folder: Path, wish: Value) -> None:
    """Write what is asked for; raise NetlatheError where the folder holds a fit of something else."""
    old = done(folder, "wish", lambda: wish)
    differing = [f"{key} ({old.get(key)} there, {wish[key]} now)" for key in wish if old.get(key) != wish[key]]
    if differing:
        raise NetlatheError(
            f"this folder holds another fit: other {', '.join(differing)}",
            code="fit.other_run",
            path=str(folder),
            hint="give another folder with -o, or remove this one",
        )
