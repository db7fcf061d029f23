"""The executor on Ray (`cluster` extra): the same tasks on actors of a cluster, or of one that is started here.

All machines need the data, the files that are named and the folder of the search under the same paths (a shared file
system). https://docs.ray.io/en/latest/ray-core/actors.html
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.search.trial import TaskResult, TrialTask
from netlathe.search.worker import Evaluator


class RayEvaluator(Evaluator):
    """An evaluator in a worker of Ray, in the folder that the search was started in."""

    def __init__(self, spec: Mapping[str, Any], folder: str) -> None:
        super().__init__(spec)
        if folder:
            os.chdir(folder)


class RayExecutor:
    """Actors, one a worker. `address` empty: a cluster of this machine that lives as long as the search."""

    inline = False

    def __init__(self, size: int, spec: Mapping[str, Any], *, threads: int = 1, address: str = "") -> None:
        if not address:
            # A cluster of this machine alone talks on loopback. Else Ray learns its address by a socket to 8.8.8.8.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            import ray
        except ImportError as error:
            raise MissingExtra("ray", "cluster") from error
        self.ray, self.size, self.spec = ray, size, dict(spec)
        self.started = not ray.is_initialized()
        if self.started:
            quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
            where = {"address": address} if address else {"num_cpus": size * threads}
            try:
                with chdir("/"):  # Ray's workers look for modules in the current folder before all others
                    ray.init(**where, **quiet)
            except ConnectionError as error:
                hint = "`ray start --head` prints the address of a cluster; without one, --ray starts it here"
                raise NetlatheError(f"no Ray cluster answers at {address!r}", code="search.ray", hint=hint) from error
        environment = {"env_vars": {"OMP_NUM_THREADS": str(threads), "PYTHONSAFEPATH": "1"}}
        self.make = ray.remote(num_cpus=threads, max_restarts=0, runtime_env=environment)(RayEvaluator)
        self.folder = "" if address else str(Path.cwd())  # where relative paths begin, for workers that start here
        self.actors: list[Any] = [None] * size
        self.tasks: dict[int, tuple[Any, TrialTask]] = {}  # by actor: the reference to its result, and what it is at

    @property
    def free(self) -> int:
        return self.size - len(self.tasks)

    def submit(self, task: TrialTask) -> None:
        i = next(i for i in range(self.size) if i not in self.tasks)
        if self.actors[i] is None:
            self.actors[i] = self.make.remote(self.spec, self.folder)
        self.tasks[i] = self.actors[i].evaluate.remote(task), task

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        places = {reference: i for i, (reference, _) in self.tasks.items()}
        ready, _ = self.ray.wait(list(places), num_returns=1, timeout=seconds)
        results = []
        for reference in ready:
            i = places[reference]
            _, task = self.tasks.pop(i)
            try:
                results.append(self.ray.get(reference))
            except self.ray.exceptions.RayError as error:
                results.append(task_end(task.number, error))
                with suppress(Exception):
                    self.ray.kill(self.actors[i])
                self.actors[i] = None
        return results

    def close(self) -> None:
        for actor in filter(None, self.actors):
            with suppress(Exception):
                self.ray.kill(actor)
        self.actors, self.tasks = [None] * self.size, {}
        if self.started:
            self.ray.shutdown()


def task_end(number: int, error: Exception) -> TaskResult:
    """What became of a task that Ray ended: an error of the evaluation, a time-out, or the death of a worker."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "RayTaskError" in kinds:
        cause = getattr(error, "cause", None) or error
        return TaskResult(number, error=f"{type(cause).__name__}: {cause}".partition("\n")[0])
    if kinds & {"GetTimeoutError", "TimeoutError", "ActorUnavailableError", "RpcError"}:
        return TaskResult(number, died=f"Ray gave no answer in time: {type(error).__name__}")
    return TaskResult(number, died=f"the Ray worker died: {type(error).__name__}")
