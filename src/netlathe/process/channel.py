"""The worker's end of a `Child`: messages come and answers leave as lines of JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any


def open_channel() -> tuple[Iterator[Any], Callable[[Any], None]]:
    """The messages until the parent closes the pipe, and the function that answers.

    Call it once, before anything is printed.
    """
    replies = take_stdout("w")

    def reply(answer: Any) -> None:
        replies.write(json.dumps(answer) + "\n")
        replies.flush()

    return map(json.loads, sys.stdin), reply


def take_stdout(mode: str) -> IO[Any]:
    """Standard output for answers alone: what anything prints from now on goes to the error stream."""
    stream = os.fdopen(os.dup(1), mode)
    os.dup2(2, 1)
    return stream
