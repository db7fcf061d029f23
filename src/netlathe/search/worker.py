"""The worker of a search: a process that evaluates one trial after the other. `python -m netlathe.search.worker`.

One JSON document a line arrives, first the wish and the folder, then jobs; one report a line leaves. When the driver
ends, however it ends, its end of the pipe closes and the worker is gone at once: a resumed search never meets one.
"""

from __future__ import annotations

import json
import os
import platform
import queue
import sys
import threading
import time
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import IO, Any

from netlathe.errors import NetlatheError
from netlathe.search.config import SearchConfig, build_problem
from netlathe.search.objective import Objective
from netlathe.search.trial import Evaluation, TaskResult, TrialTask


class Evaluator:
    """Holds the objective, which is built when the first job comes."""

    def __init__(self, spec: Mapping[str, Any], objective: Objective | None = None) -> None:
        """`spec`: {"wish": the wish as JSON values, "folder": of the search}."""
        self.spec, self.objective = spec, objective

    def evaluate(self, job: TrialTask) -> TaskResult:
        """The report of a job, whatever happens in it but an interruption and the death of the process."""
        begin = time.monotonic()
        try:
            if self.objective is None:
                self.objective = build_problem(SearchConfig(**self.spec["wish"]), Path(self.spec["folder"])).objective
            measured, error = checked(self.objective.evaluate(job))
        except Exception as failure:  # any failure of an evaluation is a result
            measured, error = None, reason(failure)
        seconds = time.monotonic() - begin
        return TaskResult(job.number, measured, error, "", seconds, platform.node(), str(os.getpid()))


def checked(measured: Evaluation) -> tuple[Evaluation | None, str]:
    """A score that is no number is a failure."""
    return (None, "the score is not a number") if isnan(measured.score) else (measured, "")


def reason(failure: Exception) -> str:
    """An exception in one line."""
    if isinstance(failure, NetlatheError):
        return f"{failure.message} ({failure.code})"
    if isinstance(failure, MemoryError) or "out of memory" in str(failure) or "can't allocate" in str(failure):
        return f"out of memory: {str(failure).strip() or type(failure).__name__}".splitlines()[0]
    return f"{type(failure).__name__}: {failure}".splitlines()[0]


def to_line(report: TaskResult) -> str:
    """A report as a line of JSON."""
    measured = report.measured._asdict() if report.measured else None
    return json.dumps(report._asdict() | {"measured": measured}) + "\n"


def from_line(line: str) -> TaskResult:
    """A report of a line. Raises ValueError for one that is cut short."""
    values = json.loads(line)
    measured = values["measured"]
    if measured is not None:
        measured = Evaluation(**measured | {"curve": tuple(measured["curve"])})
    return TaskResult(**values | {"measured": measured})


def job_of(values: list[Any]) -> TrialTask:
    """A job of its JSON values."""
    job = TrialTask(*values)
    return job._replace(genotype=tuple(job.genotype))


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Evaluate jobs until the driver is gone."""
    jobs: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in requests:
            jobs.put(line)
        os._exit(0)  # the driver has closed the pipe, or died

    evaluator = Evaluator(json.loads(requests.readline()))
    threading.Thread(target=listen, daemon=True).start()
    while True:
        report = evaluator.evaluate(job_of(json.loads(jobs.get())))
        replies.write(to_line(report))
        replies.flush()


if __name__ == "__main__":
    # What a trial prints must not mix with the reports.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        serve(sys.stdin, replies)
    except (KeyboardInterrupt, BrokenPipeError):  # ended by the driver; a training has saved its state
        sys.exit(130)
