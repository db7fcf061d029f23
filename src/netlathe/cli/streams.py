"""The terminal's door: what is printed passes `EscapedStream`, so that no name of a file or a node steers it.

Behind it, a `ResultStream` knows whether the result reached its reader; of a `LogStream` nobody asks that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO, cast

from netlathe.errors import NetlatheError, ReaderLeft
from netlathe.escapes import escape_text

OUTPUT = "output.closed"  # the code of errors that say so


class ResultStream:
    """Standard output. `failure` is why something that was printed has been lost; what follows it goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.failure: NetlatheError | None = None

    def write(self, text: str) -> int:
        """Write a text as it is."""
        with self.noticed():
            return self.stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts as they are."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is still to be written."""
        with self.noticed():
            self.stream.flush()

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """What fails inside is remembered, and raised."""
        try:
            yield
        except OSError as error:
            discard(self.stream)
            reason = f"the result cannot be written: {error.strerror}"
            closed = isinstance(error, BrokenPipeError)
            self.failure = self.failure or (ReaderLeft() if closed else NetlatheError(reason, code=OUTPUT))
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class LogStream(ResultStream):
    """Standard error: a message that cannot be written stops nothing."""

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """What fails inside goes nowhere, and so does what follows."""
        try:
            yield
        except OSError:
            discard(self.stream)


class EscapedStream:
    """A text stream in which nothing that is written steers a terminal, and everything can be encoded.

    Colours and bars come from rich, which writes to the stream behind (`terminal_stream`) what it was given escaped. A
    carriage return that begins a message is kept: the bars of other packages begin so.
    """

    color = None  # click asks: it leaves in what it takes for colours, and that is then seen
    encoding, errors = "utf-8", "strict"

    def __init__(self, stream: ResultStream) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, escaped."""
        start = "\r" * (text[:1] == "\r" and isinstance(self.stream, LogStream))
        encoding = self.stream.encoding or "utf-8"
        shown = start + escape_text(text[len(start) :])
        self.stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, escaped."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def escaped_output() -> Iterator[ResultStream]:
    """While it holds, whatever is printed is escaped; gives the stream that knows what became of the result."""
    before, result = (sys.stdout, sys.stderr), ResultStream(sys.stdout)
    sys.stdout = cast(TextIO, EscapedStream(result))
    sys.stderr = cast(TextIO, EscapedStream(LogStream(sys.stderr)))
    try:
        yield result
    finally:
        sys.stdout, sys.stderr = before


def terminal_stream(stream: TextIO) -> TextIO:
    """The stream behind the door, for what steers a terminal by right."""
    return cast(TextIO, stream.stream) if isinstance(stream, EscapedStream) else stream


def open_streams() -> NetlatheError | None:
    """Stand-ins for standard streams that are closed, whose numbers files would take; an error without stdout.

    A result that nobody can get is not computed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    closed = sys.stdout is None
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the encoding of the terminal lacks
    return NetlatheError("the result cannot be written: standard output is closed", code=OUTPUT) if closed else None


def discard(stream: TextIO) -> None:
    """Let whatever is still printed go nowhere."""
    with suppress(OSError, ValueError):  # there is no file behind it
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
