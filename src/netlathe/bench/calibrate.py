"""calibrate(): what this machine attains under a runtime, as a device card, in half a minute.

Probes of one operator class each are measured in one worker process, one after the other, so that every probe finds the
caches full of its predecessor's data, as an operator does inside a network. The latency model is fitted to them and to
a few networks; its error bar is that of each of these networks when the fit has not seen it. Roofs, bandwidths and
overheads are figures of kind measured. On a machine that others use, calibration refuses.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.arch.network import Network
from netlathe.bench import runtimes
from netlathe.bench.contender import Contender
from netlathe.bench.machine import ForeignLoad, Machine, this_machine
from netlathe.bench.measure import BLOCK_TIMEOUT, LOAD_TIMEOUT, foreign_limit, write_model
from netlathe.bench.probes import probes
from netlathe.bench.statistics import Latency, summarise
from netlathe.device.card import Card, Figure, Model
from netlathe.device.features import features, fused, total
from netlathe.device.fit import error, fit
from netlathe.errors import NetlatheError

# One a family, small: they anchor the fit where operators meet, and their held-out residuals are the error bar.
NETWORKS = (
    "mobilenetv1_050", "mobilenetv2_050", "efficientnet_b0", "regnety_200mf", "regnetx_400mf", "resnet18", "googlenet",
    "densenet121", "vit_tiny_patch16", "convnext_atto",
)  # fmt: skip
FEATURES = {"torch-compiled": "torch-compile"}  # names of fusion rules that differ from the runtime's
LEVELS = (("l2", 2**19), ("l3", 2**23), ("dram", 2**28))  # bytes of each array of the copy

Progress = Callable[[int, int, str], None]


class Timed(NamedTuple):
    """A probe or network and its latency."""

    network: Network
    graph: Graph
    ms: float


class Calibration(NamedTuple):
    """The model of a runtime, the figures of the machine, and what they rest on."""

    model: Model
    figures: tuple[Figure, ...]
    probes: list[Timed]
    networks: list[Timed]
    seconds: float
    foreign_load: float


def calibrate(
    runtime: str = "onnxruntime",
    *,
    precision: str | None = None,
    threads: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> Calibration:
    """Measure probes and networks under a runtime, and fit its latency model.

    Raises NetlatheError on a machine that others use (unless `force`), MissingExtra without the runtime.
    """
    start = time.perf_counter()
    kind = runtimes.precision_of(runtime, precision)
    version = runtimes.runtime_version(runtime)
    known = [zoo.get(name) for name in NETWORKS]
    found, load = measure_all([*probes(), *known], runtime, kind, threads, progress)
    busy = load > foreign_limit(this_machine().cores)
    if busy and not force:
        raise NetlatheError(
            f"other processes use {load:.1f} cores of this machine, so its card would be wrong",
            code="device.contended",
            hint="close them and repeat; --force calibrates all the same and says so in the card",
        )
    names = set(NETWORKS)
    small = [t for t in found if t.network.name not in names]
    large = [t for t in found if t.network.name in names]
    rule = FEATURES.get(runtime, runtime)
    rows = {t.network.name: features(fused(t.graph, rule)) for t in found}
    ratios = [t.ms / predicted(t, small, large, rows) for t in large]
    note = f"calibrated while others used {load:.1f} cores" if busy else ""
    model = Model(
        runtime=rule,
        runtime_version=version,
        threads=threads,
        precision=kind,
        machine=this_machine().id,
        date=datetime.now(UTC).date().isoformat(),
        networks=len(found),
        held_out="each network in turn, all others and the probes kept",
        coefficients=fit([rows[t.network.name] for t in found], [t.ms for t in found]),
        error=error(ratios),
        note=note,
    )
    source = f"netlathe device calibrate, {runtime} {version}, {threads} thread{'s' * (threads > 1)}"
    figures = roofs(small, kind, source) + bandwidths(source)
    return Calibration(model, figures, small, large, time.perf_counter() - start, load)


def predicted(held: Timed, small: Sequence[Timed], large: Sequence[Timed], rows: dict[str, dict[str, float]]) -> float:
    """The latency of a network by a fit that has not seen it."""
    kept = [*small, *(t for t in large if t is not held)]
    coefficients = fit([rows[t.network.name] for t in kept], [t.ms for t in kept])
    return total(rows[held.network.name], coefficients)


def measure_all(
    networks: Sequence[Network], runtime: str, precision: str, threads: int, progress: Progress | None
) -> tuple[list[Timed], float]:
    """The latency of each network in one worker process, and the cores that others used meanwhile.

    One that fails (a precision or an operator that a runtime has not) is left out; a dead worker is replaced.
    """
    done: list[Timed] = []
    load = ForeignLoad()
    worker: Contender | None = None
    with tempfile.TemporaryDirectory(prefix="netlathe-") as folder:
        try:
            for i, network in enumerate(networks):
                if progress is not None:
                    progress(i, len(networks), network.name)
                if worker is None:
                    worker = Contender(network, threads)
                worker.network, worker.blocks, worker.failure, worker.load_by_others = network, [], None, load
                timed = one(worker, Path(folder), runtime, precision, threads)
                if timed is not None:
                    done.append(Timed(network, network.graph(), timed.median_ms))
                elif worker.process.poll() is not None:
                    worker.__exit__(None, None, None)
                    worker = None
        finally:
            if worker is not None:
                worker.__exit__(None, None, None)
    if not done:
        raise NetlatheError(f"nothing runs under {runtime}", code="device.calibration")
    return done, load.cores


def one(worker: Contender, folder: Path, runtime: str, precision: str, threads: int) -> Latency | None:
    """The latency of the worker's network by a few short blocks; None where it fails."""
    path, inputs = write_model(worker.network, folder, runtime, batch=1, seed=0)
    worker.load(
        runtime=runtime,
        setting=runtimes.Setting(str(path), threads, precision),
        inputs=inputs,
        warmups=2,
        warm_seconds=0.01,
        timeout=LOAD_TIMEOUT,
    )
    for _ in range(5):
        if not worker.failure:
            worker.block(0.012, timeout=BLOCK_TIMEOUT)
    return None if worker.failure or not worker.blocks else summarise(worker.blocks, threads)[1]


def roofs(found: Sequence[Timed], precision: str, source: str) -> tuple[Figure, ...]:
    """The highest rate of any probe: the peak, 2 operations a MAC."""
    rates = {t.network.name: 2 * sum(op.macs for op in t.graph.ops) / t.ms / 1e6 for t in found}
    best = max(rates, key=lambda name: rates[name])
    return (Figure("peak", precision, round(rates[best], 1), "GFLOP/s", "measured", source, f"the probe {best}"),)


def bandwidths(source: str) -> tuple[Figure, ...]:
    """Copy bandwidth by footprint, read and write counted, one thread: the best of several copies."""
    import numpy as np

    found = []
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
        found.append(Figure("bandwidth", level, round(2 * size / best / 1e9, 1), "GB/s", "measured", source, note))
    return tuple(found)


def card_of(machine: Machine, calibrations: Sequence[Calibration], before: Card | None = None) -> Card:
    """The card of this machine: figures and models of the calibrations in place of older ones of the same kind."""
    figures = {(f.quantity, f.of): f for f in before.figures} if before else {}
    models = {key(m): m for m in before.models} if before else {}
    figures["memory", ""] = Figure("memory", "", machine.memory_bytes, "B", "measured", "the operating system")
    for calibration in calibrations:
        for f in calibration.figures:
            old = figures.get((f.quantity, f.of))
            figures[f.quantity, f.of] = f if old is None or f.value >= old.value else old
        models[key(calibration.model)] = calibration.model
    cores = machine.physical_cores
    return Card(
        id=f"this-{machine.id}",
        name=f"{machine.cpu}, {cores} core{'s' * (cores > 1)}, {machine.system}",
        class_="server cpu core" if cores == 1 else "server cpu",
        date=datetime.now(UTC).date().isoformat(),
        figures=tuple(figures.values()),
        models=tuple(models.values()),
        notes="by netlathe device calibrate",
    )


def key(model: Model) -> tuple[str, str, int, int]:
    """Models of the same key replace each other."""
    return model.runtime, model.precision, model.threads, model.batch
