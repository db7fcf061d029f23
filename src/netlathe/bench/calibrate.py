"""calibrate(): what this machine attains under a runtime, as a device card, in half a minute.

Networks of every family are measured in one worker process, one after the other, and the latency model is fitted to
them; its error bar is that of each family when the fit has not seen it. Probes, small networks of almost one class of
operator, give the roofs and the speeds of classes that the fit starts from (`device.fit`). Operators alone, warm and
cold, are a table of the card (`bench.operators`). All are quiet estimates (`bench.statistics`), so that others may use
the machine meanwhile; where even those cannot be had, calibration refuses. What was measured is kept beside the card
(`bench.raw`), to fit it again or to look at it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.arch.network import Network
from netlathe.bench.machine import ForeignLoad, Machine, this_machine
from netlathe.bench.measure import BLOCK_TIMEOUT, LOAD_TIMEOUT, foreign_load_limit, write_model
from netlathe.bench.operators import COLD_RUNS, operator_networks, operator_record
from netlathe.bench.probes import probe_networks
from netlathe.bench.reference import slowdown
from netlathe.bench.statistics import Latency, Sample, quiet_ms, summarise
from netlathe.bench.worker_client import WorkerClient
from netlathe.device.card import CardFigure, DeviceCard, Model
from netlathe.device.features import features, fused
from netlathe.device.latency import WIDTH
from netlathe.device.strangeness import fit_families
from netlathe.errors import NetlatheError
from netlathe.process.start import ask_tool
from netlathe.process.temporary import temporary_folder
from netlathe.runtimes import registry
from netlathe.runtimes.base import SessionOptions

# Of every family, small ones: together they hold every class of operator at several shapes.
NETWORKS = (
    *("alexnet", "googlenet", "googlenet_paper", "resnet18", "resnet34", "resnet50", "resnext50_32x4d", "densenet121"),
    *("mobilenetv1", "mobilenetv1_050", "mobilenetv1_025", "mobilenetv2", "mobilenetv2_050", "mobilenetv2_035"),
    *("mobilenetv3_large", "mobilenetv3_small", "efficientnet_b0", "efficientnet_b1", "nasnet_mobile"),
    *("regnetx_200mf", "regnetx_400mf", "regnetx_800mf", "regnety_200mf", "regnety_800mf", "darts_v2_imagenet"),
    *("convnext_atto", "convnext_pico", "vit_tiny_patch16", "vit_small_patch32", "vitc_1gf"),
)
BLOCKS = 5  # short blocks behind the latency of a probe or a network
SLOWED = 1.25  # a reference kernel slower than that: another process sits on the same core all the time
LEVELS = (("l2", 2**19), ("l3", 2**23), ("dram", 2**28))  # bytes of each array of the copy

Progress = Callable[[int, int, str], None]


class TimedNetwork(NamedTuple):
    """A probe, operator or network and its latency; with empty caches too, where that was asked for."""

    network: Network
    graph: Graph
    ms: float
    cold_ms: float = 0.0


class Conditions(NamedTuple):
    """Under what a calibration was made."""

    runtime: str
    version: str
    precision: str
    threads: int
    machine: str
    date: str


class Calibration(NamedTuple):
    """The model of a runtime, the figures of the machine, and what they rest on."""

    model: Model
    figures: tuple[CardFigure, ...]
    probes: list[TimedNetwork]
    networks: list[TimedNetwork]
    operators: list[TimedNetwork]
    seconds: float
    foreign_load: float
    slowdown: float


def calibrate(
    runtime: str = registry.DEFAULT,
    *,
    precision: str | None = None,
    threads: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> Calibration:
    """Measure probes and networks under a runtime, and fit its latency model.

    Raises NetlatheError where others use the machine so much that no quiet estimate can be had (unless `force`), before
    anything is measured where that shows; MissingExtra without the runtime.
    """
    start = time.perf_counter()
    kind = registry.precision_of(runtime, precision)
    on_gpu = runtime in registry.on_gpu()
    version = registry.runtime_version(runtime)
    if not force:
        refuse_if_hindered(watch_load(), 1.0, threads)
    networks, lone = [zoo.get(name) for name in NETWORKS], [] if on_gpu else operator_networks()
    timed, load, slowed = measure_all(
        [*lone, *probe_networks(), *networks], runtime, kind, threads, progress, cold=len(lone)
    )
    if not force:
        refuse_if_hindered(load, slowed, threads)
    conditions = Conditions(runtime, version, kind, threads, this_machine().id, datetime.now(UTC).date().isoformat())
    calibration = fit_calibration(conditions, timed, load, slowed)
    # The copy bandwidth is of this processor's memory: it says nothing of a GPU.
    figures = calibration.figures + (() if on_gpu else bandwidth_figures(calibration.figures[0].source))
    return calibration._replace(figures=figures, seconds=time.perf_counter() - start)


def refuse_if_hindered(load: float, slowed: float, threads: int) -> None:
    """Raises NetlatheError where `is_hindered`."""
    if is_hindered(load, slowed, threads):
        raise NetlatheError(
            f"other processes use {load:.1f} cores of this machine, so its card would be wrong",
            code="device.contended",
            hint="close them and repeat; --force calibrates all the same and says so in the card",
        )


def is_hindered(load: float, slowed: float, threads: int) -> bool:
    """Whether others (in cores) leave no quiet moments: to several threads that need all the cores that they use, or
    to a reference kernel that is slowed even at its fastest."""
    cores = this_machine().cores
    return slowed > SLOWED or (threads > 1 and load > cores - threads + foreign_load_limit(cores))


def fit_calibration(conditions: Conditions, timed: Sequence[TimedNetwork], load: float, slowed: float) -> Calibration:
    """The model of what was measured."""
    runtime, version, kind, threads, machine, date = conditions
    names = set(NETWORKS)
    alone = [t for t in timed if t.cold_ms]
    small = [t for t in timed if not t.cold_ms and t.network.name not in names]
    large = [t for t in timed if t.network.name in names]
    rule = registry.forecast_name(runtime)
    rows = {t.network.name: features(fused(t.graph, rule)) for t in (*small, *large)}
    aside = [rows[t.network.name] for t in small], [t.ms for t in small]
    measured = {t.network.name: rows[t.network.name] for t in large}
    families = [family_of(name) for name in measured]
    coefficients, bar, styles = fit_families(measured, [t.ms for t in large], families, aside)
    note = f"calibrated while others used {load:.1f} cores" if is_hindered(load, slowed, threads) else ""
    model = Model(
        runtime=rule,
        runtime_version=version,
        threads=threads,
        precision=kind,
        machine=machine,
        date=date,
        networks=len(large),
        held_out="each family in turn, all others kept",
        styles=styles,
        coefficients=coefficients,
        error=bar,
        roofs=class_rates(small, rule),
        operators=tuple(operator_record(t.network, rule, WIDTH[kind], t.ms, t.cold_ms) for t in alone),
        note=note,
    )
    source = f"netlathe device calibrate, {runtime} {version}, {threads} thread{'s' * (threads > 1)}"
    figures = peak_figures(small, kind, source)
    return Calibration(model, figures, small, large, alone, 0.0, load, slowed)


def family_of(name: str) -> str:
    """The paper of a network of the zoo."""
    return zoo.registry.table()[name].build.__module__


def class_rates(probes: Sequence[TimedNetwork], rule: str) -> dict[str, float]:
    """The roof of every class of operator: the highest GFLOP/s of a probe that is nearly all of that class."""
    best: dict[str, float] = {}
    for t in probes:
        shares: dict[str, int] = {}
        for group in fused(t.graph, rule):
            shares[group.class_] = shares.get(group.class_, 0) + group.macs
        whole = sum(shares.values())
        class_, macs = max(shares.items(), key=lambda share: share[1])
        if whole and macs >= 0.9 * whole:
            best[class_] = max(best.get(class_, 0.0), round(2 * whole / t.ms / 1e6, 2))
    return best


def measure_all(
    networks: Sequence[Network],
    runtime: str,
    precision: str,
    threads: int,
    progress: Progress | None,
    *,
    cold: int = 0,
) -> tuple[list[TimedNetwork], float, float]:
    """The quiet latency of each network in one worker process, the cores that others used meanwhile, and how much
    they slowed the reference kernel, which is divided out.

    The first `cold` are measured with empty caches too. One that fails (a precision or an operator that a runtime has
    not) is left out; a dead worker is replaced.
    """
    measured: list[TimedNetwork] = []
    reference: list[Sample] = []
    load = ForeignLoad()
    worker: WorkerClient | None = None
    with temporary_folder() as folder:
        try:
            for i, network in enumerate(networks):
                if progress is not None:
                    progress(i, len(networks), network.name)
                if worker is None:
                    worker = WorkerClient(network, threads)
                worker.network, worker.blocks, worker.failure, worker.load_by_others = network, [], None, load
                worker.reference = reference
                timed = time_network(worker, folder, runtime, precision, threads)
                cold_ms = time_cold(worker, threads) if timed is not None and i < cold else 0.0
                if timed is not None and not worker.failure:
                    measured.append(TimedNetwork(network, network.graph(), timed.quiet_ms, cold_ms))
                elif worker.child.process.poll() is not None:
                    worker.__exit__(None, None, None)
                    worker = None
        finally:
            if worker is not None:
                worker.__exit__(None, None, None)
    if not measured:
        raise NetlatheError(f"nothing runs under {runtime}", code="device.calibration")
    slowed = slowdown(reference, threads)
    quiet = [one._replace(ms=one.ms / slowed, cold_ms=one.cold_ms / slowed) for one in measured]
    return quiet, load.cores, slowed


def watch_load(seconds: float = 0.3) -> float:
    """The cores that others use just now."""
    load = ForeignLoad()

    def wait() -> float:
        time.sleep(seconds)
        return 0.0

    load.watch(wait)
    return load.cores


def time_network(worker: WorkerClient, folder: Path, runtime: str, precision: str, threads: int) -> Latency | None:
    """The latency of the worker's network by a few short blocks; None where it fails."""
    path, inputs = write_model(worker.network, folder, runtime, batch=1, seed=0)
    worker.load(
        runtime=runtime,
        path=str(path),
        options=SessionOptions(threads, precision),
        seed=0,
        inputs=inputs,
        warmups=2,
        warm_seconds=0.01,
        timeout=LOAD_TIMEOUT,
    )
    for _ in range(BLOCKS):
        if not worker.failure:
            worker.block(0.012, timeout=BLOCK_TIMEOUT)
    return None if worker.failure or not worker.blocks else summarise(worker.blocks, threads)[1]


def time_cold(worker: WorkerClient, threads: int) -> float:
    """The quiet latency of the worker's network with empty caches, in ms; 0 where it fails."""
    reply = worker.ask({"do": "cold", "runs": COLD_RUNS}, BLOCK_TIMEOUT)
    samples = [Sample(*sample) for sample in reply.get("samples", ())]
    return quiet_ms(samples, threads) if samples else 0.0


def peak_figures(probes: Sequence[TimedNetwork], precision: str, source: str) -> tuple[CardFigure, ...]:
    """The highest rate of any probe: the peak, 2 operations per MAC."""
    rates = {t.network.name: 2 * sum(op.macs for op in t.graph.ops) / t.ms / 1e6 for t in probes}
    best = max(rates, key=lambda name: rates[name])
    return (CardFigure("peak", precision, round(rates[best], 1), "GFLOP/s", "measured", source, f"the probe {best}"),)


def bandwidth_figures(source: str) -> tuple[CardFigure, ...]:
    """Copy bandwidth by footprint, read and write counted, one thread: the best of several copies."""
    import numpy as np

    figures = []
    for level, size in LEVELS:
        a, b = np.zeros(size // 4, np.float32), np.ones(size // 4, np.float32)
        best = float("inf")
        for _ in range(5):
            repeats = max(1, 2**25 // size)
            start = time.perf_counter()
            for _ in range(repeats):
                np.copyto(a, b)
            best = min(best, (time.perf_counter() - start) / repeats)
        note = f"copy of arrays of {size / 2**20:g} MiB, one thread"
        figures.append(
            CardFigure("bandwidth", level, round(2 * size / best / 1e9, 1), "GB/s", "measured", source, note)
        )
    return tuple(figures)


def card_of(
    machine: Machine, calibrations: Sequence[Calibration], before: DeviceCard | None = None, *, cuda: bool = False
) -> DeviceCard:
    """The card of this machine, or of its CUDA device: what was calibrated replaces older figures and models."""
    figures = {(f.quantity, f.of): f for f in before.figures} if before else {}
    models = {model_key(m): m for m in before.models} if before else {}
    if not cuda:
        figures["memory", ""] = CardFigure("memory", "", machine.memory_bytes, "B", "measured", "the operating system")
    for calibration in calibrations:
        for f in calibration.figures:
            old = figures.get((f.quantity, f.of))
            figures[f.quantity, f.of] = f if old is None or f.value >= old.value else old
        models[model_key(calibration.model)] = calibration.model
    cores, gpu = machine.physical_cores, gpu_name() if cuda else ""
    return DeviceCard(
        id=f"this-{machine.id}" + "-cuda" * cuda,
        name=gpu or f"{machine.cpu}, {cores} core{'s' * (cores > 1)}, {machine.system}",
        class_="datacentre gpu" if cuda else "server cpu core" if cores == 1 else "server cpu",
        date=datetime.now(UTC).date().isoformat(),
        figures=tuple(figures.values()),
        models=tuple(models.values()),
        notes="by netlathe device calibrate",
    )


def gpu_name() -> str:
    """What nvidia-smi calls the first device; empty where it does not answer."""
    answer = ask_tool("nvidia-smi", "--query-gpu=name", "--format=csv,noheader", timeout=10)
    return next(iter(answer.splitlines()), "")


def model_key(model: Model) -> tuple[str, str, int, int]:
    """Models of the same key replace each other."""
    return model.runtime, model.precision, model.threads, model.batch
