"""A small space and objectives that behave badly in chosen ways: what searches in tests run on, in any process."""

from __future__ import annotations

import os
import signal
import time
from math import nan
from pathlib import Path
from typing import Any

from netlathe.arch.build import conv, head, seq
from netlathe.arch.combinators import Choice
from netlathe.arch.network import Network
from netlathe.search.config import SearchConfig

FILE = Path(__file__)
WIDTHS = (4, 8, 16, 32)
NAMES = tuple(map(str, WIDTHS))


def space() -> Network:
    """Three widths to choose: 64 networks of a few thousand MACs."""
    strides = {"a": 1, "b": 2, "c": 2}
    layers = {name: Choice(NAMES, tuple(conv(w, 3, s) for w in WIDTHS), name) for name, s in strides.items()}
    return Network("toy", seq(**layers, head=head(10)), (1, 8, 8))


def single() -> Network:
    """No choice at all."""
    return Network("single", seq(conv(4, 3), head=head(10)), (1, 8, 8))


def widths(network: Network) -> tuple[int, ...]:
    """What was chosen."""
    return tuple(op.out_shape[0] for op in network.graph().ops if op.kind == "conv")


def score(network: Network) -> float:
    """A smooth hill with its top at 16, 8, 32."""
    a, b, c = (w.bit_length() for w in widths(network))
    return 100.0 - (a - 5) ** 2 - 2 * (b - 4) ** 2 - 0.5 * (c - 6) ** 2


def seeded(network: Network, seed: int) -> float:
    """The hill with noise of the seed."""
    return score(network) + (seed * 7919 % 101) / 50


def slow(network: Network, folder: str) -> float:
    """The hill, in 30 ms; every evaluation leaves a line in a file beside the trials."""
    time.sleep(0.03)
    counted(folder, widths(network))
    return score(network)


def sleepy(network: Network, seed: int) -> float:
    """A second or so a network."""
    time.sleep(0.8)
    return seeded(network, seed)


def counted(folder: str, what: object) -> int:
    """Append a line to evaluated.txt of the search; how often it is there now."""
    log = Path(folder).parent.parent / "evaluated.txt"
    with log.open("a") as file:
        file.write(f"{what}\n")
    return log.read_text().splitlines().count(f"{what}")


def moody(network: Network) -> float:
    """Not a number, a crash, or out of memory for some; the hill for the others."""
    first, second, _ = widths(network)
    if second == 4:
        return nan
    if second == 16:
        raise ZeroDivisionError("a crash on purpose")
    if first == 32:
        raise MemoryError("no room on purpose")
    return score(network)


def broken(network: Network) -> float:
    """Fails whatever it is given."""
    raise OSError("the disk is on fire")


def deadly(network: Network, folder: str) -> float:
    """Kills its process: the first time for half of the networks, always for those that begin with 4."""
    tries = counted(folder, widths(network))
    first, _, third = widths(network)
    if first == 4 or (third > 8 and tries == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return score(network)


def wish(function: str = "score", **changes: Any) -> SearchConfig:
    """A search of the small space by one of the functions here."""
    given: dict[str, Any] = {
        "space": f"{FILE}:space",
        "strategy": "evolution",
        "options": {"population": 6, "sample": 3},
        "objective": {"kind": "call", "function": f"{FILE}:{function}"},
        "evaluations": 20,
        "final_seeds": 0,
    }
    return SearchConfig(**given | changes)


def paid(folder: Path) -> list[str]:
    """A line for every evaluation that was begun."""
    return (folder / "evaluated.txt").read_text().splitlines()
