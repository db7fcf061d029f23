"""The workers that answer the questions of the page, each within a limit of processor time; how many may ask and wait.

A worker that is not done in time, eats its memory or crashes ends alone, and the next question starts another one.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from netlathe.errors import NetlatheError
from netlathe.lab.uploads import KEPT, Upload
from netlathe.process.child import Child, ChildDied, ChildTimeout
from netlathe.process.start import child_environment

PATIENCE = (
    600.0  # seconds on a clock: a guard against a worker that sleeps, for a busy machine is no fault of a question
)


class Admission:
    """Lets so many in at a time and so many wait; whoever comes later is refused with a NetlatheError."""

    def __init__(self, at_once: int, waiting: int, what: str) -> None:
        self.slots, self.most, self.what, self.count = asyncio.Semaphore(at_once), at_once + waiting, what, 0

    async def __aenter__(self) -> None:
        if self.count >= self.most:
            raise NetlatheError(
                f"the lab is busy with {self.count} {self.what}", code="lab.busy", hint="try again in a moment"
            )
        self.count += 1
        try:
            await self.slots.acquire()
        except BaseException:
            self.count -= 1
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.slots.release()
        self.count -= 1


class Bug(Exception):
    """An error of ours in a worker, in a sentence."""


class Worker:
    """One process, started when it is first asked, and again after it has ended."""

    def __init__(self, seconds: float, nice: int) -> None:
        self.seconds, self.nice, self.stopped = seconds, nice, False
        self.child: Child | None = None
        self.known: set[str] = set()  # the marks whose uploads it has

    def start(self) -> Child:
        """The running process."""
        if self.child is not None and (self.child.process.poll() is not None or len(self.known) > KEPT):
            self.close()
        if self.child is None:
            self.child = Child("netlathe.lab.worker", child_environment(1))
            os.setpriority(os.PRIO_PROCESS, self.child.process.pid, os.getpriority(os.PRIO_PROCESS, 0) + self.nice)
        if self.stopped:  # meanwhile
            self.stop()
        return self.child

    def ask(self, question: str, about: Mapping[str, Any], uploads: Mapping[str, Upload]) -> str:
        """The JSON text of the answer. Raises NetlatheError as the question does, and where it takes too much."""
        child = self.start()
        new = {mark: upload for mark, upload in uploads.items() if mark not in self.known}
        message = {"question": question, "about": about, "uploads": new, "seconds": self.seconds}
        try:
            answer = child.ask(message, PATIENCE)
        except (ChildDied, ChildTimeout) as end:
            self.close()
            raise self.explain_end(end) from None
        self.known |= new.keys()
        if "died" in answer:  # what is left of it after a lack of memory is not relied on
            self.close()
        match answer:
            case {"body": str(body)}:
                return body
            case {"error": fields, "exit": code}:
                error = NetlatheError(**fields)
                error.exit = code
                raise error
            case {"died": why} | {"too_much": why}:
                raise too_much(why)
        raise Bug(answer["bug"])

    def explain_end(self, end: ChildDied | ChildTimeout) -> NetlatheError:
        """What to say where the process has ended over a question."""
        if self.stopped:
            return NetlatheError("the lab is stopping", code="lab.stopping")
        if isinstance(end, ChildDied) and end.code == -signal.SIGPROF:
            return too_much(f"it takes more than {self.seconds:g} s of processor time")
        return too_much(str(end))

    def stop(self) -> None:
        """End it for good, from any thread: whoever waits for its answer is told."""
        self.stopped = True
        if self.child is not None:
            self.child.kill()

    def close(self) -> None:
        """End the process."""
        if self.child is not None:
            self.child.close()
        self.child, self.known = None, set()


def too_much(why: str) -> NetlatheError:
    """What a question is refused with that cannot be answered within the limits."""
    hint = "the command line has no such limit"
    return NetlatheError(f"this is too much for the lab: {why}", code="lab.limits", hint=hint)


class WorkerPool:
    """Workers; the one that answered last, whose memory is warm, is asked first."""

    def __init__(self, count: int, waiting: int, seconds: float, nice: int = 0) -> None:
        self.admission = Admission(count, waiting, "questions")
        self.workers = [Worker(seconds, nice) for _ in range(count)]
        self.idle = list(self.workers)

    async def ask(
        self,
        question: str,
        about: Mapping[str, Any],
        uploads: Mapping[str, Upload],
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> bytes:
        """The answer in JSON. Raises NetlatheError as `Worker.ask` does, and where too many wait.

        ClientDisconnect where the reader is `gone` when it is the turn of the question.
        """
        async with self.admission:
            if gone is not None and await gone():
                raise ClientDisconnect
            worker = self.idle.pop()
            try:
                return (await run_in_threadpool(worker.ask, question, about, uploads)).encode()
            finally:
                self.idle.append(worker)

    def warm(self) -> None:
        """Start the worker that is asked first."""
        self.idle[-1].start()

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.stop()
