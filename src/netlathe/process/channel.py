"""The worker's end of a `Child`: messages come and answers leave as lines of JSON."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any


def open_channel(*, leave_at_once: bool = False) -> tuple[Iterator[Any], Callable[[Any], None]]:
    """The messages until the parent closes the pipe or dies, and the function that answers.

    With `leave_at_once` the process ends in that moment, whatever it is at. Call it once, before anything is printed.
    """
    replies = take_stdout("w")

    def reply(answer: Any) -> None:
        replies.write(json.dumps(answer) + "\n")
        replies.flush()

    lines = lines_of_living_parent() if leave_at_once else iter(sys.stdin)
    return map(json.loads, lines), reply


def take_stdout(mode: str) -> IO[Any]:
    """Standard output for answers alone: what anything prints from now on goes to the error stream."""
    stream = os.fdopen(os.dup(1), mode)
    os.dup2(2, 1)
    return stream


def lines_of_living_parent() -> Iterator[str]:
    """The lines of standard input; at its end, which a thread waits for, the process is gone."""
    lines: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield lines.get()
