"""The reference kernel: a small matrix product that takes turns with what is measured.

What slows it slows a network too: a neighbour on the same core, a lower clock, a host that takes the processor away
unseen. How fast it is on this machine when nothing disturbs is known from the processes that ran it before, so a
slowdown can be divided out. It fits the second cache, so it says nothing of traffic to memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from netlathe.bench.machine import this_machine
from netlathe.bench.statistics import Sample, quiet_ms
from netlathe.errors import NetlatheError
from netlathe.files import cache_dir, write_json
from netlathe.stats.quantiles import quantile

SIDE = 192
RUNS = 5  # in each turn; about a millisecond
REMEMBERED = 200  # processes
NOISE = 1.05  # a slowdown below it is none


def make_reference() -> Callable[[], None]:
    """The kernel: one product of two matrices of 192 x 192."""
    import numpy as np

    a, b = (np.full((SIDE, SIDE), value, np.float32) for value in (0.5, 0.25))
    c = np.empty_like(a)

    def run() -> None:
        np.matmul(a, b, out=c)

    return run


def history_path() -> Path:
    """Where this machine's times of the kernel are kept."""
    return cache_dir() / f"reference-{this_machine().id}.json"


def slowdown(samples: Sequence[Sample], threads: int) -> float:
    """How much slower the kernel ran in a process than it does on this machine undisturbed: at least 1.

    The process is remembered; of those remembered the fastest tenth say what undisturbed is. Without samples it is 1.
    """
    if not samples:
        return 1.0
    ms = quiet_ms(samples, threads)
    kind = f"numpy {version('numpy')}, {threads} thread{'s' * (threads > 1)}"
    history = read_history()
    times = [*history.get(kind, []), ms][-REMEMBERED:]
    write_history(history | {kind: times})
    ratio = ms / quantile(times, 0.1)
    return ratio if ratio > NOISE else 1.0


def read_history() -> dict[str, list[float]]:
    """Milliseconds of every remembered process, by version and threads; empty where the file is absent or damaged."""
    try:
        document = json.loads(history_path().read_text())
        return {kind: [float(ms) for ms in times if float(ms) > 0] for kind, times in document.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_history(history: dict[str, list[float]]) -> None:
    """Keep it; a cache that cannot be written only means that the next process knows less."""
    try:
        history_path().parent.mkdir(parents=True, exist_ok=True)
        write_json(history_path(), history)
    except (OSError, NetlatheError):
        return
