"""A trial: one proposal of a strategy, what became of it, and what a worker is told and answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any, NamedTuple

Genotype = tuple[int, ...]
Costs = dict[str, float]  # macs, params, size (bytes), memory (bytes), latency (ms); those that are known


class TrialState(StrEnum):
    """What became of a trial."""

    PROPOSED = "proposed"  # asked for, not begun; or waiting for another trial of the same network
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # crashed, not a number, out of memory: `error` says which
    INFEASIBLE = "infeasible"  # breaks a limit: `error` says which
    SAME = "duplicate"  # equal to an earlier trial, whose score it has


@dataclass(slots=True)
class Trial:
    """A row of the store. `asked` and `told` are places in the order of all asks and tells: resume is their replay."""

    number: int
    genotype: Genotype
    rung: int | None
    tag: int
    key: str  # canonical form: trials of one key and rung are evaluated once
    seed: int
    asked: int
    state: TrialState = TrialState.PROPOSED
    told: int | None = None
    same_as: int | None = None
    attempts: int = 0  # workers that died over it
    score: float = -inf
    costs: Costs = field(default_factory=dict)
    arch: str = ""  # Network.key, where it was decoded
    curve: list[dict[str, float]] = field(default_factory=list)  # one entry an evaluation on the validation images
    error: str = ""
    host: str = ""
    worker: str = ""
    lease: str = ""  # of the process that started it: under another one's lease nobody runs it any more
    started: float | None = None  # seconds since 1970
    seconds: float = 0.0

    @property
    def evaluated(self) -> bool:
        """Whether it was paid for."""
        return self.state in (TrialState.DONE, TrialState.FAILED)


class TrialTask(NamedTuple):
    """What a worker is told to do; JSON values."""

    number: int
    genotype: Genotype
    fraction: float  # of the whole evaluation
    seed: int
    folder: str
    before: str | None = None  # the folder of the rung below, whose weights it starts from


class Evaluation(NamedTuple):
    """What an evaluation found. `broken` names a limit that only measuring showed to be broken."""

    score: float
    costs: Costs = {}  # noqa: RUF012  never changed
    arch: str = ""
    curve: tuple[dict[str, float], ...] = ()
    broken: str = ""


class TaskResult(NamedTuple):
    """The end of a task: what was measured, an error of the evaluation, or the death of its worker."""

    number: int
    measured: Evaluation | None = None
    error: str = ""
    died: str = ""  # how the worker ended, where it took the task with it
    seconds: float = 0.0
    host: str = ""
    worker: str = ""


def score_to_json(value: float) -> float | None:
    """A score in a document: none where there is no number."""
    return value if -inf < value < inf else None


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """A trial as JSON values."""
    return {
        "number": trial.number, "state": trial.state.value, "score": score_to_json(trial.score), "rung": trial.rung,
        "genotype": list(trial.genotype), "key": trial.key, "arch": trial.arch, "seed": trial.seed,
        "costs": {name: score_to_json(value) for name, value in trial.costs.items()}, "same_as": trial.same_as,
        "error": trial.error, "attempts": trial.attempts, "asked": trial.asked, "told": trial.told,
        "seconds": round(trial.seconds, 3), "host": trial.host, "worker": trial.worker, "curve": trial.curve,
    }  # fmt: skip
