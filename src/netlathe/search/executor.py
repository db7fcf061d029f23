"""The crew of a search: who evaluates trials. In this process, in processes of this machine, or on Ray: one interface.

A crew takes jobs while somebody is free and gives reports as they come. A worker that dies takes its job with it; that
is a report too, and another worker takes its place.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from netlathe.search.objective import Objective
from netlathe.search.trial import TaskResult, TrialTask
from netlathe.search.worker import Evaluator, from_line

PATIENCE_S = 20.0  # to save a training, when it is interrupted


class Executor(Protocol):
    """Who evaluates."""

    size: int
    inline: bool  # whether a job is done in this process, while it is waited for

    @property
    def free(self) -> int:
        """How many more jobs it takes now."""

    def begin(self, job: TrialTask) -> None:
        """Take a job; only while somebody is free."""

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        """The reports of jobs that have ended, at least one; none where it took longer than that."""

    def close(self) -> None:
        """End all workers; what they are at is interrupted."""


class InlineExecutor:
    """Evaluates in this process, which a trial that kills its process takes along."""

    size, inline = 1, True

    def __init__(self, objective: Objective) -> None:
        self.evaluator, self.job = Evaluator({}, objective), list[TrialTask]()

    @property
    def free(self) -> int:
        return 1 - len(self.job)

    def begin(self, job: TrialTask) -> None:
        self.job.append(job)

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        return [self.evaluator.evaluate(self.job.pop())]

    def close(self) -> None:
        self.job.clear()


class TrialWorker:
    """One process, and the job that it is at."""

    def __init__(self, spec: Mapping[str, Any], log: Path, threads: int) -> None:
        self.log: IO[bytes] = log.open("ab")
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        # A session of its own: Ctrl-C reaches the driver alone, which then ends its workers in order.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "netlathe.search.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            start_new_session=True,
            text=True,
        )
        self.job: TrialTask | None = None
        self.send(json.dumps(spec))

    def send(self, line: str) -> None:
        """A line to the worker; one that has died is noticed when it is waited for."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def report(self) -> TaskResult:
        """What the worker says next, or how it died. Blocks until one of them is there."""
        assert self.process.stdout is not None
        assert self.job is not None
        job, self.job = self.job, None
        try:
            return from_line(self.process.stdout.readline())
        except ValueError:  # the end of the pipe, within a line or before it
            code = self.process.wait()
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return TaskResult(job.number, died=f"the worker was {how}{hint}".replace("was ended", "ended"))

    def end(self) -> None:
        """Ask it to save and end, then make it."""
        if self.process.poll() is None and self.job is not None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE_S)
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]


class ProcessExecutor:
    """Worker processes of this machine, each with a log in the folder of the search."""

    inline = False

    def __init__(self, size: int, spec: Mapping[str, Any], *, threads: int = 1) -> None:
        self.size, self.spec, self.threads = size, spec, threads
        self.workers: list[TrialWorker | None] = [None] * size

    @property
    def free(self) -> int:
        return sum(worker is None or worker.job is None for worker in self.workers)

    def begin(self, job: TrialTask) -> None:
        i = next(i for i, worker in enumerate(self.workers) if worker is None or worker.job is None)
        worker = self.workers[i]
        if worker is None:
            worker = TrialWorker(self.spec, Path(self.spec["folder"]) / f"worker-{i}.log", self.threads)
            self.workers[i] = worker
        worker.job = job
        worker.send(json.dumps(job))

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        found: list[TaskResult] = []
        with selectors.DefaultSelector() as selector:
            for i, worker in enumerate(self.workers):
                if worker is not None and worker.job is not None:
                    assert worker.process.stdout is not None
                    selector.register(worker.process.stdout, selectors.EVENT_READ, i)
            for key, _ in selector.select(seconds):
                busy = self.workers[key.data]
                assert busy is not None
                found.append(busy.report())
                if found[-1].died:
                    busy.end()
                    self.workers[key.data] = None
        return found

    def close(self) -> None:
        for worker in self.workers:  # all are asked before any is waited for
            if worker is not None and worker.job is not None and worker.process.poll() is None:
                worker.process.terminate()
        for worker in self.workers:
            if worker is not None:
                worker.end()
        self.workers = [None] * self.size
