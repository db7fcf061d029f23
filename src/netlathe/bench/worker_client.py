"""Contender: the measuring process's end of a worker, and what was heard from it. A dead worker is a result."""

from __future__ import annotations

from typing import Any, Self

from netlathe.arch.net import Net
from netlathe.bench.machine import ForeignLoad
from netlathe.bench.statistics import Sample
from netlathe.process.child import Child, ChildDied, ChildTimeout
from netlathe.process.start import child_environment
from netlathe.runtimes import registry

WORKER = "netlathe.bench.worker"


class WorkerClient:
    """A network with its worker. After `failure` is set every further request does nothing."""

    def __init__(self, network: Net, threads: int) -> None:
        self.network = network
        self.blocks: list[list[Sample]] = []
        self.reference: list[Sample] = []
        self.warmups = 0
        self.load_by_others = ForeignLoad()
        self.rss_bytes: int | None = None
        self.failure: str | None = None
        self.child = Child(WORKER, registry.environment() | child_environment(threads))

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
            self.reference += [Sample(*sample) for sample in reply.get("reference", ())]
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
        try:
            reply: dict[str, Any] = self.child.ask(request, timeout)
        except ChildTimeout:
            self.failure = f"no answer to {request['do']!r} within {timeout:g} s"
        except ChildDied as death:
            self.failure = str(death)
        else:
            self.failure = reply.get("error")
            return reply
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker, whatever it does."""
        self.child.close()
