"""Clock: the seconds that a fit has run, over all its starts, so that a wall for the time survives a kill."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from netlathe.errors import NetlatheError
from netlathe.files import write_text
from netlathe.fit.rungs import RACE_SHARE

TURN_S, ENOUGH_S, MOST_SLOWDOWN = 20.0, 1.0, 3.0
EVERY = 1.0  # seconds between two writes: what a kill can lose
RESERVE_S, RESERVE = 60.0, 0.03  # for deploying and verifying: seconds (a quarter where that is less), and a share


class Clock:
    """Runs from `started` (of time.monotonic) on top of what clock.json says of earlier starts."""

    def __init__(self, folder: Path, started: float) -> None:
        self.path = folder / "clock.json"
        self.started, self.written = started, started
        self.ticked = time.monotonic(), time.process_time()
        self.wall_s, self.work_s = 0.0, 0.0  # between the ticks of what computes, and of the processor in them
        try:
            self.before = float(json.loads(self.path.read_text(encoding="utf-8"))["seconds"])
        except (OSError, ValueError, KeyError):
            self.before = 0.0

    def spent(self) -> float:
        """Seconds so far."""
        return self.before + time.monotonic() - self.started

    @property
    def slowdown(self) -> float:
        """How much longer work takes here than on a machine that does nothing else, as far as was seen: 1 to MOST."""
        return min(MOST_SLOWDOWN, max(1.0, self.wall_s / self.work_s)) if self.work_s > ENOUGH_S else 1.0

    def tick(self, now: float, work: float) -> None:
        """Take the time and that of the processor, which a loop that computes does at each turn."""
        wall, worked = now - self.ticked[0], work - self.ticked[1]
        if wall < TURN_S:  # else something else was done in between
            self.wall_s, self.work_s = self.wall_s + wall, self.work_s + worked
        self.ticked = now, work

    def keep(self) -> None:
        """Write them down, unless that was done just now."""
        now = time.monotonic()
        self.tick(now, time.process_time())
        if now - self.written >= EVERY and self.path.parent.is_dir():
            self.written = now
            write_text(self.path, json.dumps({"seconds": round(self.spent(), 2)}))


def divide_time(seconds: float | None, epochs: float | None, spent: float) -> dict[str, Any]:
    """How the time is shared: seconds of the search, or epochs of each training in a rung."""
    if seconds is None:
        assert epochs is not None
        return {"search_s": None, "rung_epochs": max(1.0, epochs / 5)}
    reserved = reserved_seconds(seconds)
    left = seconds - spent - reserved
    if left < 10:
        raise NetlatheError(
            f"{seconds:.0f} s are too little: {spent:.0f} s went before training, deploying needs {reserved:.0f} s",
            code="fit.time",
            hint=f"give at least --time {spent + reserved + 60:.0f}s, and another folder with -o",
        )
    return {"search_s": RACE_SHARE * left, "rung_epochs": None}


def final_seconds(seconds: float | None, spent: float, slowdown: float = 1.0) -> float | None:
    """Seconds of the last training: all that is left; None where epochs are counted."""
    return None if seconds is None else max(10.0, seconds - spent - reserved_seconds(seconds, slowdown))


def reserved_seconds(seconds: float, slowdown: float = 1.0) -> float:
    """Seconds kept for what comes after training, on a machine on which work takes `slowdown` times as long."""
    return min(slowdown * (min(RESERVE_S, seconds / 4) + RESERVE * seconds), seconds / 2)
