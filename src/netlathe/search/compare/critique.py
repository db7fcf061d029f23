"""The lecture's critique of architecture search, measured on public tables; each part a claim, an answer, the evidence.

The claims are those of the lecture ("NAS: a critical look"). What the tables cannot say stands beside what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.search import tables
from netlathe.search.compare import Comparison, compare_strategies
from netlathe.search.compare.benchmark_table import BenchmarkTable
from netlathe.search.compare.load import TABLES, load_table
from netlathe.search.compare.simulate import Make
from netlathe.search.compare.statistics import (
    AccuracySpread,
    DeviceTransfer,
    MacsCap,
    NoiseFloor,
    ValueInterval,
    accuracy_spread,
    device_agreement,
    device_transfer,
    macs_caps,
    noise_floor,
)
from netlathe.search.strategy import StrategyFactory, get_strategy
from netlathe.search.tables import DATASETS
from netlathe.stats.correlation import kendall_tau
from netlathe.train.experiment.scores import Array

STRATEGIES = ("random", "local", "evolution", "reinforce")
BASELINE = "random"
LATENCIES = "nb201_latency_help.npz"
FOLDERS = {"macro": "nas_bench_macro", "nb201": "nas_bench_201", LATENCIES: "hw_latency"}
SHARES = (0.1, 0.25, 0.5)  # of the networks that a limit admits
CAP_SHARE = 0.25
CLASSES = {"macro": 10, "nb201 c10": 10, "nb201 c100": 100, "nb201 in16": 120}
NONE, POOL = 0, 4  # operations of NAS-Bench-201
Progress = Callable[[int, int, str], None]


class HandRule(NamedTuple):
    """What a sentence a person writes down is worth, before any search: the space without what it forbids."""

    words: str
    networks: int
    mean: float
    best: float


class DesignShares(NamedTuple):
    """Accuracies in percent of one space: from guessing to the best there is."""

    guess: float
    space: AccuracySpread
    rule: HandRule
    random: float  # what a random search of the budget gives, the mean of its runs
    strategy: str  # the best of the others
    found: float


class DatasetTransfer(NamedTuple):
    """Cells chosen on one data set, used on another."""

    chosen_on: str
    used_on: str
    tau: float  # between test accuracies on the two
    loss: float  # of the best by validation there, against the best by validation here, in points of test accuracy here
    rank: float  # share of the cells that are better here


class Critique(NamedTuple):
    """The measurements of all parts."""

    evaluations: int
    runs: int
    searches: Mapping[str, Comparison]  # a
    domains: tuple[DatasetTransfer, ...]  # b
    transfers: tuple[DeviceTransfer, ...]
    devices: tuple[tuple[str, str, float], ...]
    caps: tuple[MacsCap, ...]
    shares: Mapping[str, DesignShares]  # c
    floor: NoiseFloor  # d


def measure_critique(
    folder: Path, *, evaluations: int = 100, runs: int = 100, seed: int = 0, progress: Progress | None = None
) -> Critique:
    """All parts, from the tables in a folder or in its sub-folders. Raises NetlatheError where one is absent."""
    files = {name: find_table(folder, name) for name in FOLDERS}
    benchmarks = {"macro": load_table("macro", files["macro"])}
    benchmarks |= {f"nb201 {dataset}": load_table("nb201", files["nb201"], dataset) for dataset in DATASETS}
    searches = {}
    for i, (name, benchmark) in enumerate(benchmarks.items()):
        if progress:
            progress(i, len(benchmarks), name)
        noisy = name == "macro"  # the one with several trainings
        searches[name] = compare_strategies(
            benchmark, strategy_makers(benchmark), evaluations=evaluations, runs=runs, seed=seed, noisy=noisy
        )
    timed = tables.with_latency(tables.load_nb201(files["nb201"], "c100", "test"), files[LATENCIES])
    devices = [name for name in timed.columns if name not in ("macs", "params")]
    latency = np.stack([timed.columns[name].astype(np.float64) for name in devices], 1)
    macs, accuracy = timed.columns["macs"].astype(np.float64), timed.mean
    rng = np.random.default_rng((seed, 4))
    return Critique(
        evaluations,
        runs,
        searches,
        tuple(dataset_transfers({name: benchmarks[f"nb201 {name}"] for name in DATASETS})),
        tuple(device_transfer(accuracy, latency, share, rng=rng) for share in SHARES),
        device_agreement(latency, devices),
        macs_caps(accuracy, macs, latency, devices, CAP_SHARE),
        {name: design_shares(name, comparison) for name, comparison in searches.items()},
        noise_floor(benchmarks["macro"].trained, rng=rng),
    )


def find_table(folder: Path, name: str) -> Path:
    """The file of a table in a folder or its sub-folder. Raises NetlatheError, saying what is needed."""
    file = TABLES[name].file if name in TABLES else name
    for place in (folder / FOLDERS[name] / file, folder / file):
        if place.exists():
            return place
    source = TABLES[name].origin if name in TABLES else "github.com/HayeonLee/HELP (MIT), data/nasbench201/latency"
    hint = f"needed: {file}, from {source}\nin --data, or in its sub-folder {FOLDERS[name]}"
    raise NetlatheError(f"{folder} has no {file}", code="search.table", path=str(folder), hint=hint)


def strategy_makers(benchmark: BenchmarkTable) -> dict[str, Make]:
    """The strategies of the comparison with the options they come with."""

    def make(maker: StrategyFactory, rng: np.random.Generator, budget: int) -> Any:
        return maker(benchmark.space, rng, evaluations=budget)

    return {name: partial(make, get_strategy(name)) for name in STRATEGIES}


def dataset_transfers(benchmarks: Mapping[str, BenchmarkTable]) -> Iterator[DatasetTransfer]:
    """Every ordered pair of data sets. The choice is by validation accuracy, as a search would make it."""
    for there, other in benchmarks.items():
        for here, benchmark in benchmarks.items():
            if there != here:
                carried, own = int(other.trained[:, 0].argmax()), int(benchmark.trained[:, 0].argmax())
                loss = float(benchmark.values[own] - benchmark.values[carried])
                rank = float(np.mean(benchmark.values > benchmark.values[carried]))
                yield DatasetTransfer(there, here, kendall_tau(other.values, benchmark.values), loss, rank)


def design_shares(name: str, comparison: Comparison) -> DesignShares:
    """What chance, the space, a rule by hand, random search and the best strategy give."""
    benchmark = comparison.benchmark
    worth = {arm.name: benchmark.best - float(arm.mean[-1]) for arm in comparison.arms.values()}
    best = max((arm for arm in worth if arm != BASELINE), key=lambda arm: worth[arm])
    digits = np.array(benchmark.genotypes)
    if name == "macro":
        words, kept = "no layer left out", (digits > 0).all(1)
    else:
        words, kept = "no `none` and no pooling", ((digits != NONE) & (digits != POOL)).all(1)
    allowed: Array = benchmark.values[kept]
    rule = HandRule(words, len(allowed), float(allowed.mean()), float(allowed.max()))
    return DesignShares(
        100 / CLASSES[name], accuracy_spread(benchmark.values), rule, worth[BASELINE], best, worth[best]
    )


def critique_to_json(critique: Critique) -> dict[str, Any]:
    """The measurements as JSON values."""
    return {
        "evaluations": critique.evaluations,
        "runs": critique.runs,
        "searches": {
            name: {
                "regret": {arm.name: ValueInterval(*(float(v[-1]) for v in (arm.mean, arm.low, arm.high)))._asdict()
                           for arm in one.arms.values()},
                "pairs": [pair._asdict() | {"gain": pair.gain._asdict()} for pair in one.pairs],
            }
            for name, one in critique.searches.items()
        },
        "domains": [row._asdict() for row in critique.domains],
        "transfers": [
            transfer._asdict() | {"breaks": transfer.breaks._asdict(), "loss": transfer.loss._asdict()}
            for transfer in critique.transfers
        ],
        "devices": [{"a": a, "b": b, "tau": t} for a, b, t in critique.devices],
        "caps": [cap._asdict() for cap in critique.caps],
        "shares": {
            name: one._asdict() | {"space": one.space._asdict(), "rule": one.rule._asdict()}
            for name, one in critique.shares.items()
        },
        "floor": critique.floor._asdict()
        | {key: getattr(critique.floor, key)._asdict() for key in ("tau", "tau_top", "tau_top_apart")},
    }  # fmt: skip
