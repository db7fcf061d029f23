"""The worker of a search: a process that evaluates one trial after the other.

First the configuration and the folder arrive, then tasks; a result leaves for each. When the search ends, however it
ends, the worker is gone at once: a resumed search never meets one.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from netlathe.errors import NetlatheError
from netlathe.process.channel import open_channel
from netlathe.search.config import SearchConfig, build_problem
from netlathe.search.objective import Objective
from netlathe.search.trial import Evaluation, TaskResult, TrialTask


class Evaluator:
    """Holds the objective, which is built when the first task comes."""

    def __init__(self, spec: Mapping[str, Any], objective: Objective | None = None) -> None:
        """`spec`: {"config": the configuration as JSON values, "folder": of the search}."""
        self.spec, self.objective = spec, objective

    def evaluate(self, task: TrialTask) -> TaskResult:
        """The result of a task, whatever happens in it but an interruption and the death of the process."""
        begin = time.monotonic()
        try:
            if self.objective is None:
                self.objective = build_problem(SearchConfig(**self.spec["config"]), Path(self.spec["folder"])).objective
            measured, error = check_score(self.objective.evaluate(task))
        except Exception as failure:  # any failure of an evaluation is a result
            measured, error = None, describe_failure(failure)
        seconds = time.monotonic() - begin
        return TaskResult(task.number, measured, error, "", seconds, platform.node(), str(os.getpid()))


def check_score(measured: Evaluation) -> tuple[Evaluation | None, str]:
    """A score that is no number is a failure."""
    return (None, "the score is not a number") if isnan(measured.score) else (measured, "")


def describe_failure(failure: Exception) -> str:
    """An exception in one line."""
    if isinstance(failure, NetlatheError):
        return f"{failure.message} ({failure.code})"
    if isinstance(failure, MemoryError) or "out of memory" in str(failure) or "can't allocate" in str(failure):
        return f"out of memory: {str(failure).strip() or type(failure).__name__}".splitlines()[0]
    return f"{type(failure).__name__}: {failure}".splitlines()[0]


def result_to_json(result: TaskResult) -> dict[str, Any]:
    """A result as JSON values."""
    measured = result.measured._asdict() if result.measured else None
    return result._asdict() | {"measured": measured}


def result_from_json(values: Mapping[str, Any]) -> TaskResult:
    """A result of its JSON values."""
    measured = values["measured"]
    if measured is not None:
        measured = Evaluation(**measured | {"curve": tuple(measured["curve"])})
    return TaskResult(**{**values, "measured": measured})


def task_from_json(values: Sequence[Any]) -> TrialTask:
    """A task of its JSON values."""
    task = TrialTask(*values)
    return task._replace(genotype=tuple(task.genotype))


def main() -> None:
    """Evaluate tasks until the search is gone: first its description comes, then the tasks."""
    messages, reply = open_channel()
    evaluator = Evaluator(next(messages))
    for message in messages:
        reply(result_to_json(evaluator.evaluate(task_from_json(message))))


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):  # ended by the search; a training has saved its state
        sys.exit(130)
