"""measure(): the latency of networks on this machine, each in a worker process of its own.

The discipline: threads and precision pinned before anything is imported, a fixed smooth input, warm-up runs, then
rounds of short blocks. Contenders that are compared take turns, in reversed order every other round, so a machine that
slows down slows all of them. How much others use the machine is measured beside and said.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from netlathe.arch.document import to_json
from netlathe.arch.network import Network
from netlathe.bench import runtimes
from netlathe.bench.contender import Contender
from netlathe.bench.machine import this_machine
from netlathe.bench.measurement import Measurement
from netlathe.bench.statistics import CLEAN_BLOCKS, summarise
from netlathe.errors import NetlatheError
from netlathe.lower.inputs import batched, inputs
from netlathe.lower.onnx import save_onnx

Progress: TypeAlias = Callable[[int, int, str], None]
Tick: TypeAlias = Callable[[int, str], None]
T = TypeVar("T")


class Plan(NamedTuple):
    """How long and how often, in shares of the time budget of one network."""

    rounds: int
    least: int  # rounds that a network gets however slow it is
    patience: float  # the share after which no further round than these begins
    block: float  # the share of one block; a block is at least one run
    warmups: int
    warm: float  # the share that warming up lasts at least


# Twelve blocks give the interval from the third smallest median to the third largest.
FULL = Plan(rounds=12, least=CLEAN_BLOCKS, patience=4, block=0.8 / 12, warmups=3, warm=0.2)
ROUGH = Plan(rounds=3, least=1, patience=0.3, block=0.2 / 3, warmups=2, warm=0)

LOAD_TIMEOUT = 180.0  # seconds, warming up included
BLOCK_TIMEOUT = 120.0


class How(NamedTuple):
    """The conditions of a measurement."""

    runtime: str
    precision: str
    version: str
    threads: int
    batch: int
    seed: int
    seconds: float
    plan: Plan
    stop_above_ms: float | None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while measuring; `measurements` is what was complete."""

    def __init__(self, measurements: list[Measurement]) -> None:
        super().__init__("interrupted")
        self.measurements = measurements


def measure(
    networks: Sequence[Network],
    *,
    threads: int = 1,
    batch: int = 1,
    seconds: float = 1.0,
    runtime: str = "onnxruntime",
    precision: str | None = None,
    seed: int = 0,
    interleave: bool = True,
    rough: bool = False,
    stop_above_ms: float | None = None,
    progress: Progress | None = None,
    keep: Callable[[Measurement], None] | None = None,
) -> list[Measurement]:
    """The latency of each network, in the order given, with random weights from `seed`.

    `seconds` is the time budget of one network without loading it. With `interleave` all networks are loaded at once
    and take turns, right for a comparison; without, one is loaded after the other. `rough` is for shortlisting: two
    warm-ups and a fifth of the time. With `stop_above_ms` a network gets no further block once its fastest run is
    slower. A crash or a timeout is a measurement with `failure`. `progress(done, total, name)` counts blocks; `keep`
    gets each measurement as soon as it is complete. Ctrl-C raises Interrupted. Raises NetlatheError for a bad argument
    or network, and MissingExtra for a runtime that is not installed, before anything runs.
    """
    for name, value in {"threads": threads, "batch": batch, "seconds": seconds}.items():
        if not (isfinite(value) and value > 0):
            raise NetlatheError(f"{name} must be positive, not {value}", code="bench.argument")
    for network in networks:
        network.graph()
    plan, version = ROUGH if rough else FULL, runtimes.runtime_version(runtime)
    how = How(
        runtime, runtimes.precision_of(runtime, precision), version, threads, batch, seed, seconds, plan, stop_above_ms
    )
    groups = [[network] for network in networks] if not interleave else [networks] if networks else []
    done: list[Measurement] = []
    for group in groups:
        before = plan.rounds * len(done)

        def tick(blocks: int, name: str, before: int = before) -> None:
            if progress is not None:
                progress(before + blocks, plan.rounds * len(networks), name)

        results, interrupted = contest(group, how, tick)
        for result in results:
            done.append(result)
            if keep is not None:
                keep(result)
        if interrupted:
            raise Interrupted(done)
    return done


def contest(group: Sequence[Network], how: How, tick: Tick) -> tuple[list[Measurement], bool]:
    """The measurements of networks that take turns, and whether Ctrl-C ended it before all were complete."""
    contenders: list[Contender] = []
    interrupted = False
    with ExitStack() as stack:
        try:
            for network in group:
                tick(0, network.name)
                contenders.append(stack.enter_context(Contender(network, how.threads)))
                load(contenders[-1], how)
            play(contenders, how, tick)
        except KeyboardInterrupt:
            interrupted = True
    complete = [c for c in contenders if c.failure or len(c.blocks) >= how.plan.least]
    return [result(contender, how, interleaved=len(group) > 1) for contender in complete], interrupted


def load(contender: Contender, how: How) -> None:
    """Write the model file, let the worker load it, and remove it."""
    with tempfile.TemporaryDirectory(prefix="netlathe-") as folder:
        path, given = write_model(contender.network, Path(folder), how.runtime, how.batch, how.seed)
        contender.load(
            runtime=how.runtime,
            setting=runtimes.Setting(str(path), how.threads, how.precision, how.seed),
            inputs=given,
            warmups=how.plan.warmups,
            warm_seconds=how.plan.warm * how.seconds,
            timeout=LOAD_TIMEOUT,
        )


def write_model(
    network: Network, folder: Path, runtime: str, batch: int, seed: int
) -> tuple[Path, list[tuple[Any, int | None]]]:
    """The file that a runtime reads, and the inputs (shape with the batch axis, vocabulary) that the worker makes."""
    form = runtimes.runtime(runtime).form
    path = folder / f"model.{form}"
    if form == "onnx":
        save_onnx(network, path, batch=batch, seed=seed)
    else:
        path.write_text(to_json(network))
    return path, [(batched(given.shape, batch), given.vocabulary) for given in inputs(network)]


def play(contenders: Sequence[Contender], how: How, tick: Tick) -> None:
    """Rounds of one block each, in reversed order every other round."""
    plan = how.plan
    for i in range(plan.rounds):
        for j, contender in enumerate(turns(contenders, i)):
            if not over(contender, how):
                contender.block(plan.block * how.seconds, timeout=BLOCK_TIMEOUT)
            tick(i * len(contenders) + j + 1, contender.network.name)


def turns(contenders: Sequence[T], i: int) -> Sequence[T]:
    """Who runs when in round i: forwards, then backwards, so that nobody always follows the same neighbour."""
    return contenders if i % 2 == 0 else contenders[::-1]


def over(contender: Contender, how: How) -> bool:
    """Whether a contender needs no further block: it failed, is too slow to matter, or has used up the patience."""
    blocks, plan = contender.blocks, how.plan
    if contender.failure or not blocks:
        return bool(contender.failure)
    if how.stop_above_ms is not None and contender.fastest_ms > how.stop_above_ms:
        return True
    return len(blocks) >= plan.least and contender.load_by_others.seconds > plan.patience * how.seconds


def result(contender: Contender, how: How, *, interleaved: bool) -> Measurement:
    """What a contender's blocks say."""
    machine, network, others = this_machine(), contender.network, contender.load_by_others
    blank = Measurement(
        network=network.name,
        key=network.key,
        input=network.input,
        device=machine.id,
        cpu=machine.cpu,
        cores=machine.cores,
        flags=machine.flags,
        runtime=how.runtime,
        runtime_version=how.version,
        threads=how.threads,
        precision=how.precision,
        batch=how.batch,
        seed=how.seed,
        date=datetime.now(UTC).isoformat(timespec="milliseconds"),
        warmups=contender.warmups,
        rough=how.plan == ROUGH,
        interleaved=interleaved,
        foreign_load=round(others.cores, 3),
        failure=contender.failure,
    )
    if contender.failure:
        return blank
    clean, latency = summarise(contender.blocks, how.threads)
    busy = others.cores > foreign_limit(machine.cores)
    return replace(blank, **latency._asdict(), contended=busy or not clean, rss_bytes=contender.rss_bytes)


def foreign_limit(cores: int) -> float:
    """Cores that others may use before a latency is called contended.

    0.35 is where single latencies began to move on a two-core machine; a larger one has a tenth of its cores to spare.
    """
    return max(0.35, 0.1 * cores)
