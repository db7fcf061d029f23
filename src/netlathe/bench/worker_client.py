"""Contender: the measuring process's end of a worker, and what was heard from it. A dead worker is a result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import Any, Self

from netlathe.arch.net import Net
from netlathe.bench.machine import ForeignLoad
from netlathe.bench.runtimes import environment
from netlathe.bench.statistics import Sample

WORKER = (sys.executable, "-P", "-m", "netlathe.bench.worker")  # -P: modules come from nowhere but the installation


class WorkerClient:
    """A network with its worker. After `failure` is set every further request does nothing."""

    def __init__(self, network: Net, threads: int) -> None:
        self.network = network
        self.blocks: list[list[Sample]] = []
        self.warmups = 0
        self.load_by_others = ForeignLoad()
        self.rss_bytes: int | None = None
        self.failure: str | None = None
        self.said = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        # In a session of its own, Ctrl-C reaches only us, and we decide what is kept.
        self.process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            env=os.environ | environment(threads),
            start_new_session=True,
        )

    def load(self, *, timeout: float, **how: Any) -> None:
        """Let the worker load a model and warm up."""
        reply = self.ask({"do": "load", **how}, timeout)
        self.warmups += reply.get("warmups", 0)
        self.rss_bytes = reply.get("rss_bytes")

    def block(self, seconds: float, *, timeout: float) -> None:
        """One block of runs."""

        def work() -> float:
            reply = self.ask({"do": "block", "seconds": seconds}, timeout)
            if samples := reply.get("samples"):
                self.blocks.append([Sample(*sample) for sample in samples])
            self.warmups += reply.get("warmups", 0)
            return float(reply.get("cpu_seconds", 0))

        self.load_by_others.watch(work)

    @property
    def fastest_ms(self) -> float:
        """The shortest run of all blocks."""
        return min(run.wall_ms for block in self.blocks for run in block)

    def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """The worker's reply; empty, and `failure` set, where it gives none in time or dies."""
        if self.failure:
            return {}
        requests, replies = self.process.stdin, self.process.stdout
        assert requests is not None, "stdin is a pipe"
        assert replies is not None, "stdout is a pipe"
        late = threading.Event()

        def end() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(timeout, end)
        timer.daemon = True
        timer.start()
        try:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            line = replies.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if late.is_set():
            self.failure = f"no answer to {request['do']!r} within {timeout:g} s"
        elif not line.endswith("\n"):
            self.failure = describe_death(self.process.wait(), self.last_words())
        else:
            reply: dict[str, Any] = json.loads(line)
            self.failure = reply.get("error")
            return reply
        return {}

    def last_words(self) -> str:
        """The last line that the worker wrote to its error stream."""
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker, whatever it does."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.said):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def describe_death(code: int, words: str) -> str:
    """What a return code says: the name of the signal, or the number; and the last words."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"the worker {how}" + (f": {words}" if words else "")
