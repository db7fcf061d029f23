"""The worker: a process that holds one model and runs it on request.

It reads one JSON object per line and answers each with one: `load` (import the runtime, load the file, warm up), then
any number of `block` (runs for some time) and `cold` (runs with empty caches). The end of the input ends the worker.
Whatever a runtime does to its process, a crash included, happens here and not in the process that measures.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netlathe.arch.inputs import Feed
from netlathe.bench.reference import RUNS, make_reference
from netlathe.bench.statistics import Sample
from netlathe.process.channel import open_channel
from netlathe.process.limits import machine_memory, set_limits
from netlathe.runtimes import registry
from netlathe.runtimes.base import Infer, SessionOptions

if TYPE_CHECKING:
    from netlathe.runtimes.base import Array

LONGEST = 4  # times its seconds that a block may last, where others take the processor away
WARM_MS = 20.0  # a call shorter than this loses a run of each block to caches that others have emptied


class ModelRunner:
    """A loaded model, its input and its memory."""

    def __init__(self) -> None:
        self.infer: Infer | None = None
        self.sweep: Array | None = None
        self.reference = make_reference()

    def load(
        self,
        *,
        runtime: str,
        path: str,
        options: list[Any],
        seed: int,
        inputs: list[list[Any]],
        warmups: int,
        warm_seconds: float,
    ) -> dict[str, Any]:
        """Load a file and run it at least `warmups` times and `warm_seconds` long.

        `options` are `SessionOptions`, `inputs` are `Feed`s; random weights of a torch module are drawn from `seed`.
        """
        self.inputs = [example_input(Feed(*feed)) for feed in inputs]
        registry.load_library(runtime)
        if registry.runtime(runtime).processor == "cpu":  # the driver of a GPU maps more than the machine has
            set_limits(machine_memory())
        before = resident_bytes()
        model = path if registry.runtime(runtime).takes != "torch" else torch_module(path, seed)
        self.threads = SessionOptions(*options).threads
        self.infer = registry.opener(runtime)(model, SessionOptions(*options))
        self.reference()
        runs = list(self.runs(warm_seconds, warmups))
        self.warm_ms = min(run.wall_ms for run in runs)
        peak = peak_bytes()
        return {"warmups": len(runs), "rss_bytes": None if before is None or peak is None else peak - before}

    def block(self, *, seconds: float) -> dict[str, Any]:
        """Run the reference kernel, then for some time, at least once."""
        start = time.process_time()
        reference = [time_run(self.reference) for _ in range(RUNS)]
        refill = self.warm_ms < WARM_MS
        if refill:
            next(self.runs(0, 1))
        runs = list(self.runs(seconds, 1))
        return {
            "samples": runs,
            "reference": reference,
            "warmups": int(refill),
            "cpu_seconds": time.process_time() - start,
        }

    def cold(self, *, runs: int) -> dict[str, Any]:
        """Single runs, each after a sweep over more memory than the caches hold: all of it comes from DRAM again."""
        assert self.infer is not None, "cold before load"
        if self.sweep is None:
            self.sweep = np.zeros(sweep_bytes() // 8)
        samples = []
        for _ in range(runs):
            self.sweep += 1
            samples.append(time_run(self.infer, self.inputs))
        return {"samples": samples}

    def runs(self, seconds: float, at_least: int) -> Iterator[Sample]:
        """Single runs, timed, for so many seconds of our own: what others take of them is added, up to a limit."""
        assert self.infer is not None, "block before load"
        latest = time.perf_counter() + LONGEST * seconds
        done, own = 0, 0.0
        while done < at_least or (own < seconds and time.perf_counter() < latest):
            run = time_run(self.infer, self.inputs)
            yield run
            own += (run.wall_ms if run.undisturbed(self.threads) else run.own_ms(self.threads)) / 1e3
            done += 1


def torch_module(path: str, seed: int) -> Any:
    """The network of an arch.json as a torch module in evaluation mode, its weights drawn from `seed`."""
    from netlathe.arch.document import from_json
    from netlathe.lower.torch import to_torch

    return to_torch(from_json(Path(path).read_text()), seed=seed).eval()


def time_run(infer: Callable[..., object], *inputs: list[Array]) -> Sample:
    """One run: wall time, processor time of all threads, involuntary context switches."""
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    infer(*inputs)
    wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    return Sample(wall / 1e6, cpu / 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches)


def example_input(feed: Feed) -> Array:
    """A fixed input: an image-like one, or ids below the size of a vocabulary."""
    shape = tuple(feed.shape)
    if feed.vocabulary is None:
        return smooth_input(shape).astype(feed.type)
    ids = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) * 7919 % feed.vocabulary
    return ids.astype(feed.type)


def smooth_input(shape: tuple[int, ...]) -> Array:
    """A fixed image-like input of order one: waves whose amplitude falls with their frequency, as in photographs.

    White noise drives some networks into denormal numbers and slows them.
    """
    steps = [np.arange(n, dtype=np.float32) / max(n, 1) for n in shape]
    x = np.zeros(shape, np.float32)
    for wave in (1, 2, 4, 8):
        phase = sum(
            (wave * (0.7 + 0.3 * axis) * step).reshape([-1 if i == axis else 1 for i in range(len(shape))])
            for axis, step in enumerate(steps)
        )
        x += np.cos(2 * np.pi * phase) / np.float32(wave)
    return x


def sweep_bytes() -> int:
    """Twice the largest cache that Linux tells of, between 64 MiB and 1 GiB."""
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    kib = max((int(size[:-1]) for size in sizes if size.endswith("K")), default=0)
    return min(max(2 * kib * 1024, 2**26), 2**30)


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM now."""
    return status_bytes("VmRSS")


def peak_bytes() -> int | None:
    """The most that it ever was. Not `ru_maxrss`, which starts at the size of the parent process on Linux."""
    return status_bytes("VmHWM")


def status_bytes(field: str) -> int | None:
    """A memory field of this process as Linux tells it, None on other systems."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def main() -> None:
    """Answer requests until they end; a Python error is an answer as well."""
    runner = ModelRunner()
    verbs: dict[str, Callable[..., dict[str, Any]]] = {"load": runner.load, "block": runner.block, "cold": runner.cold}
    requests, reply = open_channel()
    gc.disable()
    for request in requests:
        try:
            reply(verbs[request.pop("do")](**request))
        except Exception as error:  # any failure of a runtime is a result
            reply({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
