"""Executors of a search: who evaluates trials. In this process, in processes of this machine, or on Ray.

An executor takes tasks while somebody is free and gives results as they come. A worker that dies takes its task with
it; that is a result too, and another worker takes its place.
"""

from __future__ import annotations

import selectors
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from netlathe.errors import NetlatheError
from netlathe.process.child import Child, ChildDied, describe_death
from netlathe.process.start import child_environment
from netlathe.search.identity import refuse_changed_code
from netlathe.search.objective import Objective
from netlathe.search.trial import TaskResult, TrialTask
from netlathe.search.worker import Evaluator, result_from_json

PATIENCE_S = 20.0  # to save a training, when it is interrupted


class Executor(Protocol):
    """Who evaluates."""

    size: int
    inline: bool  # whether a task is done in this process, while it is waited for

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""

    def submit(self, task: TrialTask) -> None:
        """Take a task; only while somebody is free."""

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        """The results of tasks that have ended, at least one; none where it took longer than that."""

    def close(self) -> None:
        """End all workers; what they are at is interrupted."""


class InlineExecutor:
    """Evaluates in this process, which a trial that kills its process takes along."""

    size, inline = 1, True

    def __init__(self, objective: Objective) -> None:
        self.evaluator, self.tasks = Evaluator({}, objective), list[TrialTask]()

    @property
    def free(self) -> int:
        return 1 - len(self.tasks)

    def submit(self, task: TrialTask) -> None:
        self.tasks.append(task)

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        return [self.evaluator.evaluate(self.tasks.pop())]

    def close(self) -> None:
        self.tasks.clear()


class TrialWorker(NamedTuple):
    """One process, and the number of the task that it is at; None: it is free."""

    child: Child
    task: int | None = None


class ProcessExecutor:
    """Worker processes of this machine, each with a log in the folder of the search."""

    inline = False

    def __init__(self, size: int, spec: Mapping[str, Any], *, threads: int = 1) -> None:
        self.size, self.spec, self.threads = size, spec, threads
        self.workers: dict[int, TrialWorker] = {}  # by slot

    @property
    def busy(self) -> dict[int, TrialWorker]:
        """The workers that have a task."""
        return {slot: worker for slot, worker in self.workers.items() if worker.task is not None}

    @property
    def free(self) -> int:
        return self.size - len(self.busy)

    def submit(self, task: TrialTask) -> None:
        slot = next(slot for slot in range(self.size) if slot not in self.busy)
        if slot not in self.workers:
            self.workers[slot] = TrialWorker(self.start_worker(slot))
        worker = self.workers[slot]
        worker.child.send(task)
        self.workers[slot] = worker._replace(task=task.number)

    def start_worker(self, slot: int) -> Child:
        """A new worker, told what the search is."""
        refuse_changed_code(self.spec.get("files", {}))
        log = Path(self.spec["folder"]) / f"worker-{slot}.log"
        try:
            child = Child("netlathe.search.worker", child_environment(self.threads), log)
        except OSError as error:
            message = f"cannot start a worker: {error.strerror}"
            raise NetlatheError(message, code="search.worker", path=str(log)) from None
        child.send(self.spec)
        return child

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        with selectors.DefaultSelector() as selector:
            for slot, worker in self.busy.items():
                selector.register(worker.child, selectors.EVENT_READ, slot)
            return [self.receive_result(key.data) for key, _ in selector.select(seconds)]

    def receive_result(self, slot: int) -> TaskResult:
        """What a worker says next, or how it died; the slot of a dead one is free for another."""
        child, number = self.workers[slot]
        assert number is not None
        try:
            result = result_from_json(child.receive())
        except ChildDied as death:
            child.close()
            del self.workers[slot]
            hint = " (out of memory?)" if death.code == -signal.SIGKILL else ""
            return TaskResult(number, died=describe_death(death.code) + hint)  # its last words are in its log
        self.workers[slot] = TrialWorker(child)
        return result

    def close(self) -> None:
        for worker in self.busy.values():  # all are asked before any is waited for
            worker.child.interrupt()
        for worker in self.workers.values():
            worker.child.close(0 if worker.task is None else PATIENCE_S)
        self.workers.clear()
