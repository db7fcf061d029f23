"""measure(): the latency of networks on this machine, each in worker processes of its own.

The discipline: threads and precision pinned before anything is imported, a fixed smooth input, warm-up runs, then
rounds of short blocks. Contenders that are compared take turns, in reversed order every other round, so a machine that
slows down slows all of them. A headline is of several fresh processes, one after the other, because what a process
draws at its start (where its memory lies, which kernels are taken) stays with it. How much others use the machine is
measured beside and said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from netlathe.arch.document import to_json
from netlathe.arch.inputs import Feed
from netlathe.arch.net import Net
from netlathe.bench.level import forecast_of
from netlathe.bench.machine import this_machine
from netlathe.bench.measurement import Measurement
from netlathe.bench.own_card import read_calibrated_card
from netlathe.bench.reference import slowdown
from netlathe.bench.statistics import ENOUGH, Process, summarise_processes
from netlathe.bench.worker_client import WorkerClient
from netlathe.device.card import DeviceCard
from netlathe.errors import NetlatheError
from netlathe.lower.tflite.network import save_tflite
from netlathe.process.temporary import temporary_folder
from netlathe.read.onnx_file import ModelFile
from netlathe.runtimes import registry
from netlathe.runtimes.base import SessionOptions

Progress: TypeAlias = Callable[[int, int, str], None]
Tick: TypeAlias = Callable[[int, str], None]
T = TypeVar("T")


class MeasurePlan(NamedTuple):
    """How long and how often one process runs, in shares of the time budget of one network."""

    rounds: int
    least: int  # rounds that a network gets however slow it is
    patience: float  # the share after which no further round than these begins
    block: float  # the share of one block; a block is at least one run
    warmups: int
    warm: float  # the share that warming up lasts at least


# Twelve blocks give the interval from the third smallest median to the third largest.
FULL = MeasurePlan(rounds=12, least=ENOUGH, patience=4, block=0.8 / 12, warmups=3, warm=0.2)
ROUGH = MeasurePlan(rounds=3, least=1, patience=0.3, block=0.2 / 3, warmups=2, warm=0)
SHARED = MeasurePlan(
    rounds=4, least=2, patience=0.6, block=0.3 / 4, warmups=3, warm=0.1
)  # of each of several processes
HEADLINE = ENOUGH  # processes behind a latency that a claim rests on: their range is a 95 % interval

LOAD_TIMEOUT = 900.0  # seconds, warming up included: a guard against hanging, also where compiling is slow
BLOCK_TIMEOUT = 600.0


class MeasureConfig(NamedTuple):
    """The conditions of a measurement."""

    runtime: str
    precision: str | None  # as asked for
    version: str
    threads: int
    batch: int
    seed: int
    seconds: float
    plan: MeasurePlan
    processes: int
    stop_above_ms: float | None
    card: DeviceCard | None  # of this machine, where it was calibrated
    fail_export: bool = False  # what cannot be exported is a failure of that network, no error of all


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while measuring; `measurements` is what was complete."""

    def __init__(self, measurements: list[Measurement]) -> None:
        super().__init__("interrupted")
        self.measurements = measurements


def measure(
    networks: Sequence[Net],
    *,
    threads: int = 1,
    batch: int = 1,
    seconds: float = 1.0,
    processes: int = 1,
    runtime: str = registry.DEFAULT,
    precision: str | None = None,
    seed: int = 0,
    interleave: bool = True,
    rough: bool = False,
    stop_above_ms: float | None = None,
    fail_export: bool = False,
    progress: Progress | None = None,
    keep: Callable[[Measurement], None] | None = None,
) -> list[Measurement]:
    """The latency of each network, in the order given: with random weights from `seed`, or of an ONNX file as it is.

    `seconds` is the time budget of one network without loading it; with several `processes` each takes two fifths of
    it, and the interval covers how they differ. With `interleave` all networks are loaded at once and take turns,
    right for a comparison; without, one is loaded after the other. `rough` is for shortlisting: two warm-ups and a
    fifth of the time. With `stop_above_ms` a network gets no further block once its fastest run is slower. A crash or
    a timeout is a measurement with `failure`, and with `fail_export` so is a network that does not become a file.
    `progress(done, total, name)` counts blocks; `keep` gets each measurement as soon as it is complete. Ctrl-C raises
    Interrupted. Raises NetlatheError for a bad argument or network, and MissingExtra for a runtime that is not
    installed, before anything runs.
    """
    counts = {"threads": threads, "batch": batch, "processes": processes}
    for name, value in {**counts, "seconds": seconds}.items():
        if not (isfinite(value) and value > 0):
            raise NetlatheError(f"{name} must be positive, not {value}", code="bench.argument")
    for network in networks:
        precisions_for(network, runtime, precision)
        network.feeds(batch)
    plan, version = ROUGH if rough else FULL if processes == 1 else SHARED, registry.runtime_version(runtime)
    limits = plan, processes, stop_above_ms
    card = read_calibrated_card()
    config = MeasureConfig(runtime, precision, version, threads, batch, seed, seconds, *limits, card, fail_export)
    groups = [[network] for network in networks] if not interleave else [networks] if networks else []
    done: list[Measurement] = []
    blocks = plan.rounds * processes
    for group in groups:
        before = blocks * len(done)

        def tick(more: int, name: str, before: int = before) -> None:
            if progress is not None:
                progress(before + more, blocks * len(networks), name)

        results, interrupted = measure_group(group, config, tick)
        for result in results:
            done.append(result)
            if keep is not None:
                keep(result)
        if interrupted:
            raise Interrupted(done)
    return done


def precisions_for(network: Net, runtime: str, precision: str | None) -> tuple[str, str]:
    """The precision that is recorded, and the one that the runtime is told; they differ for quantised files alone."""
    if registry.runtime(runtime).processor == "microcontroller":
        hint = "netlathe device micro says what is expected there, netlathe check what the file computes and needs"
        message = f"{runtime} runs here to be checked: how long it takes says nothing of a microcontroller"
        raise NetlatheError(message, code="bench.runtime", hint=hint)
    if network.precision is not None:
        if isinstance(network, ModelFile):
            registry.refuse_format(network.path, runtime)
        return registry.precisions_of_file(network.name, network.precision, runtime, precision)
    if registry.runtime(runtime).takes != "onnx":
        network.expression()
    return (registry.precision_of(runtime, precision),) * 2


def measure_group(group: Sequence[Net], config: MeasureConfig, tick: Tick) -> tuple[list[Measurement], bool]:
    """The measurements of networks that take turns, and whether Ctrl-C ended it before all were complete."""
    entries: list[tuple[Net, list[WorkerClient]]] = [(network, []) for network in group]
    interrupted = False
    try:
        for i in range(config.processes):
            before = i * config.plan.rounds * len(group)
            with ExitStack() as stack:
                for network, clients in entries:
                    if not first_failure(clients):
                        tick(before, network.name)
                        clients.append(stack.enter_context(WorkerClient(network, config.threads)))
                        load_model(clients[-1], config)
                playing = [clients[-1] for _, clients in entries if not first_failure(clients)]
                run_rounds(playing, config, lambda more, name, before=before: tick(before + more, name))  # type: ignore[misc]
    except KeyboardInterrupt:
        interrupted = True
    if interrupted:
        entries = [(network, clients) for network, clients in entries if has_run_enough(clients, config)]
    return [measurement_of(network, clients, config, len(group) > 1) for network, clients in entries], interrupted


def first_failure(clients: Sequence[WorkerClient]) -> str | None:
    """What failed in a process of a network, if any did; then no further one is started."""
    return next((c.failure for c in clients if c.failure), None)


def has_run_enough(clients: Sequence[WorkerClient], config: MeasureConfig) -> bool:
    """Whether Ctrl-C came after a network had failed, or had run long enough in every process."""
    ran = [c for c in clients if len(c.blocks) >= config.plan.least]
    return first_failure(clients) is not None or len(ran) == config.processes


def load_model(client: WorkerClient, config: MeasureConfig) -> None:
    """Write the model file, let the worker load it, and remove it."""
    with temporary_folder() as folder:
        try:
            path, feeds = write_model(client.network, folder, config.runtime, config.batch, config.seed)
        except NetlatheError as error:
            if not config.fail_export:
                raise
            client.failure = error.message
            return
        _, precision = precisions_for(client.network, config.runtime, config.precision)
        client.load(
            runtime=config.runtime,
            path=str(path),
            options=SessionOptions(config.threads, precision),
            seed=config.seed,
            inputs=feeds,
            warmups=config.plan.warmups,
            warm_seconds=config.plan.warm * config.seconds,
            timeout=LOAD_TIMEOUT,
        )


def write_model(network: Net, folder: Path, runtime: str, batch: int, seed: int) -> tuple[Path, tuple[Feed, ...]]:
    """What the worker opens, a file or the arch.json of a torch module, and the inputs that it makes."""
    takes = registry.runtime(runtime).takes
    if takes == "onnx" or network.precision is not None:
        return network.onnx(folder, batch=batch, seed=seed), network.feeds(batch)
    if takes == "tflite":
        path = folder / "model.tflite"
        save_tflite(network.expression(), path, seed=seed)
        return path, tuple(map(channels_last, network.feeds(batch)))
    path = folder / "model.arch"
    path.write_text(to_json(network.expression()))
    return path, network.feeds(batch)


def channels_last(feed: Feed) -> Feed:
    """An input as a .tflite file takes it."""
    if len(feed.shape) != 4:
        return feed
    batch, channels, *size = feed.shape
    return feed._replace(shape=(batch, *size, channels))


def run_rounds(clients: Sequence[WorkerClient], config: MeasureConfig, tick: Tick) -> None:
    """Rounds of one block each, in reversed order every other round."""
    plan = config.plan
    for i in range(plan.rounds):
        for j, client in enumerate(round_order(clients, i)):
            if not needs_no_more(client, config):
                client.block(plan.block * config.seconds, timeout=BLOCK_TIMEOUT)
            tick(i * len(clients) + j + 1, client.network.name)


def round_order(clients: Sequence[T], i: int) -> Sequence[T]:
    """Who runs when in round i: forwards, then backwards, so that nobody always follows the same neighbour."""
    return clients if i % 2 == 0 else clients[::-1]


def needs_no_more(client: WorkerClient, config: MeasureConfig) -> bool:
    """Whether a client needs no further block: it failed, is too slow to matter, or has used up the patience."""
    blocks, plan = client.blocks, config.plan
    if client.failure or not blocks:
        return bool(client.failure)
    if config.stop_above_ms is not None and client.fastest_ms > config.stop_above_ms:
        return True
    return len(blocks) >= plan.least and client.load_by_others.seconds > plan.patience * config.seconds


def measurement_of(
    network: Net, clients: Sequence[WorkerClient], config: MeasureConfig, interleaved: bool
) -> Measurement:
    """What the blocks of all processes of a network say."""
    machine, failed = this_machine(), first_failure(clients)
    watched = sum(c.load_by_others.seconds for c in clients)
    others = sum(c.load_by_others.cores * c.load_by_others.seconds for c in clients) / watched if watched else 0.0
    precision = precisions_for(network, config.runtime, config.precision)[0]
    forecast = forecast_of(network, config.card, config.runtime, config.threads, precision, config.batch)
    blank = Measurement(
        network=network.name,
        key=network.key,
        input=network.input,
        device=machine.id,
        cpu=machine.cpu,
        cores=machine.cores,
        flags=machine.flags,
        runtime=config.runtime,
        runtime_version=config.version,
        threads=config.threads,
        precision=precision,
        batch=config.batch,
        seed=config.seed,
        date=datetime.now(UTC).isoformat(timespec="milliseconds"),
        processes=len(clients),
        warmups=sum(c.warmups for c in clients),
        rough=config.plan == ROUGH,
        interleaved=interleaved,
        foreign_load=round(others, 3),
        forecast_ms=forecast[0],
        forecast_model=forecast[1],
        failure=failed,
    )
    if failed:
        return blank
    busy = others > foreign_load_limit(machine.cores)
    processes = [Process(c.blocks, slowdown(c.reference, config.threads)) for c in clients]
    clean, latency = summarise_processes(processes, config.threads, busy=busy)
    memory = [c.rss_bytes for c in clients if c.rss_bytes is not None]
    return replace(blank, **latency._asdict(), contended=busy or not clean, rss_bytes=max(memory, default=None))


def foreign_load_limit(cores: int) -> float:
    """Cores that others may use before a latency is called contended.

    0.35 is where single latencies began to move on a two-core machine; a larger one has a tenth of its cores to spare.
    """
    return max(0.35, 0.1 * cores)
