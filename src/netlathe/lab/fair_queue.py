"""Turns: long work is cut into pieces, and none starts while somebody waits for an answer.

Everything runs in one thread, so a knob that moves waits for one piece at most: a few dozen milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

Pause: TypeAlias = Callable[[], Awaitable[None]]


class FairQueue:
    """ASGI middleware that knows who waits; requests below one of the `patient` paths do not count."""

    def __init__(self, app: ASGIApp, patient: tuple[str, ...]) -> None:
        self.app, self.patient, self.waiting = app, patient, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counts = scope["path"] not in self.patient
        self.waiting += counts
        try:
            await self.app(scope, receive, send)
        finally:
            self.waiting -= counts

    async def pause(self) -> None:
        """Between two pieces of long work: return when nobody waits."""
        await asyncio.sleep(0.002)
        while self.waiting:
            await asyncio.sleep(0.01)
