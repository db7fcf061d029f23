"""Clock: the seconds that a fit has run, over all its starts, so that a wall for the time survives a kill."""

from __future__ import annotations

import json
import time
from pathlib import Path

from netlathe.files import write_text

EVERY = 1.0  # seconds between two writes: what a kill can lose


class Clock:
    """Runs from `started` (of time.monotonic) on top of what clock.json says of earlier starts."""

    def __init__(self, folder: Path, started: float) -> None:
        self.path = folder / "clock.json"
        self.started, self.written = started, started
        try:
            self.before = float(json.loads(self.path.read_text(encoding="utf-8"))["seconds"])
        except (OSError, ValueError, KeyError):
            self.before = 0.0

    def spent(self) -> float:
        """Seconds so far."""
        return self.before + time.monotonic() - self.started

    def keep(self) -> None:
        """Write them down, unless that was done just now."""
        now = time.monotonic()
        if now - self.written >= EVERY and self.path.parent.is_dir():
            self.written = now
            write_text(self.path, json.dumps({"seconds": round(self.spent(), 2)}))
