"""Connections that end: a request arrives in time, an answer is read in time, and nobody keeps others out.

What uvicorn leaves open for ever (a head that never ends, a body of one byte a minute, a reader that does not read) is
closed here, and when too many are open, the one that has waited longest without a request.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 200  # connections
HEAD, BODY, ANSWER = 10.0, 60.0, 30.0  # seconds for a head, for a body after it, and for a pause in reading an answer
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

Part = Literal["head", "body", ""]


class Connection(H11Protocol):
    """A connection of the lab."""

    part: Part = ""  # of a request that is still to arrive
    deadline: asyncio.TimerHandle | None = None
    unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Somebody has come."""
        super().connection_made(transport)
        self.since = self.loop.time()
        self.expect("head")
        if len(self.connections) > MOST:
            open_ones = [other for other in self.connections if isinstance(other, Connection) and other is not self]
            waiting = [other for other in open_ones if not other.answering]
            min(waiting, key=lambda other: other.since, default=self).transport.abort()

    @property
    def answering(self) -> bool:
        """Whether a request is being answered, or at least its head has arrived."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        try:
            super().data_received(data)
        except Exception:  # a body with faults after its answer has begun: h11 knows no way out
            self.transport.abort()
            return
        part: Part = "head" if not self.answering else "body" if self.cycle.more_body else ""
        if part != self.part:
            self.expect(part)

    def expect(self, part: Part) -> None:
        """Begin to wait for a part of a request."""
        if self.deadline is not None:
            self.deadline.cancel()
        self.part = part
        self.deadline = self.loop.call_later(HEAD if part == "head" else BODY, self.end_slow) if part else None

    def end_slow(self) -> None:
        """The request did not arrive in time."""
        if not (self.answering and self.cycle.response_started):
            self.transport.write(TOO_SLOW)
        self.transport.close()

    def pause_writing(self) -> None:
        """The reader does not read."""
        super().pause_writing()
        self.unread = self.loop.call_later(ANSWER, self.transport.abort)

    def resume_writing(self) -> None:
        """The reader reads again."""
        super().resume_writing()
        if self.unread is not None:
            self.unread.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        for timer in (self.deadline, self.unread):
            if timer is not None:
                timer.cancel()
        with suppress(Exception):
            super().connection_lost(exc)
