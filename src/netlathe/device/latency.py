"""Predicted latency of a graph on a card, with an interval and with the reason operator by operator.

Three bases, the best that the card offers; each result says which:
1. a fitted or calibrated model of the runtime: t = sum of coefficient * quantity (`features`, `fit`);
2. the rate of a microcontroller's runtime: t = MACs / rate;
3. figures of a datasheet: t = slowness(class) * max(FLOPs / peak, bytes / bandwidth) + calls * overhead. The slowness
   of a class of operators on CPUs and GPUs was fitted to public tables (`efficiency.csv`, made by
   benchmarks/derive_efficiency.py), and so was the width of the interval.
"""

from __future__ import annotations

import csv
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from math import fsum, log2
from pathlib import Path
from typing import Literal, NamedTuple

from netlathe.arch.graph import Graph
from netlathe.cost.count import BYTES
from netlathe.device.card import DeviceCard, Model
from netlathe.device.evidence import model_for, usual_way
from netlathe.device.features import QUANTITIES, FeatureRow, OperatorGroup, bounds, coefficient, features, fused, total
from netlathe.device.population import START, shares_of
from netlathe.device.strangeness import strangeness, widened
from netlathe.device.workload import FusedWork, Workload
from netlathe.errors import NetlatheError
from netlathe.runtimes import litert, registry

WIDTH = BYTES | {"tf32": 4, "fp8": 1, "int16": 2}
# How far the rate of some networks carries to others, each way: MobileNets of all widths under STM32Cube.AI (12 rows of
# ST's model zoo) attain 174 to 346 MMAC/s where ten networks of MCUNet's search space attain 200; 11 lie inside.
GUESS = 1.6
# The share of time that no measured network tells, and how far, times, it widens the interval each way. It may be
# several times as large as it seems, so that little of it counts.
GUESSED, UNSEEN = 0.03, 2.0
REMEMBERED = 4096  # graphs whose groups are kept
# Each way a doubling of the batch, where the model was fitted at another one: quantities grow with the batch, but maps
# leave the caches. 16 networks at 16 and 32 under ONNX Runtime and OpenVINO, models of batch 1 (AMD EPYC, 2026-11-23,
# beside other work): measured / predicted rose by 4 to 6 % a doubling in the middle, and all stayed inside.
DOUBLING = 1.1
STRANGE = 0.35  # a strangeness that is said: of 69 networks of the zoo none has it, of timm's one in twenty
OLD = 365  # days after which a model is called old
Bound = Literal["compute", "memory", "overhead"]
PARTS: tuple[Bound, ...] = ("compute", "memory", "memory", "memory", "overhead")  # of QUANTITIES


class GroupTime(NamedTuple):
    """A group of operators that run as one, of the whole batch."""

    path: str
    class_: str
    ms: float
    bound: Bound


@dataclass(frozen=True, slots=True)
class LatencyPrediction:
    """ms of a batch; `low_ms` to `high_ms` holds nine of ten networks that the model has not seen."""

    total_ms: float
    low_ms: float
    high_ms: float
    rows: tuple[GroupTime, ...]
    basis: str
    warnings: tuple[str, ...] = ()


class GraphFeatures(NamedTuple):
    """A graph with its groups and features by runtime: the memo that makes repeated predictions cheap."""

    graph: Graph
    groups: tuple[OperatorGroup, ...]
    features: dict[int, dict[str, float]]  # by batch

    def row(self, batch: int) -> FeatureRow:
        """The features for a batch, remembered."""
        if batch not in self.features:
            self.features[batch] = features(self.groups, batch)
        return self.features[batch]

    def counted(self) -> Iterator[tuple[OperatorGroup, int]]:
        """Each group once."""
        return ((group, 1) for group in self.groups)


MEMO: OrderedDict[tuple[int, str], GraphFeatures] = OrderedDict()


def graph_features(graph: Graph, runtime: str) -> GraphFeatures:
    """The groups of a graph; remembered by identity, and the graph is held so that an identity stays its own."""
    key = (id(graph), registry.forecast_name(runtime))
    cached = MEMO.get(key)
    if cached is None:
        cached = MEMO[key] = GraphFeatures(graph, fused(graph, runtime), {})
        if len(MEMO) > REMEMBERED:
            MEMO.popitem(last=False)
    return cached


def feature_row(graph: Graph, runtime: str, batch: int = 1) -> FeatureRow:
    """The features of a graph under a runtime, remembered."""
    return graph_features(graph, runtime).row(batch)


def fused_work(work: Graph | Workload, runtime: str) -> FusedWork:
    """A graph, or what a table knows of one, under a runtime. Raises NetlatheError as `Workload.under` does."""
    return graph_features(work, runtime) if isinstance(work, Graph) else work.under(runtime)


def predict(
    graph: Graph | Workload,
    card: DeviceCard,
    *,
    runtime: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    batch: int = 1,
    by_operator: bool = True,
) -> LatencyPrediction:
    """The latency of one batch, in the usual way of the card where none is given.

    Without `by_operator` there may be no rows: for thousands of networks, of which the sum is asked. Raises
    NetlatheError where the card has neither model, rate nor roofs for it.
    """
    if batch < 1:
        raise NetlatheError(f"the batch must be at least 1, not {batch}", code="device.batch")
    runtime, precision, threads = usual_way(card, runtime, precision, threads)
    model, warnings = model_for(card, runtime, threads, precision, batch)
    if model is not None:
        return by_model(fused_work(graph, runtime), model, batch, warnings, by_operator)
    if card.find("rate"):
        return by_rate(fused_work(graph, litert.LITERT.forecast_name), card, runtime, batch)
    return by_roofs(graph, card, runtime, threads, precision, batch)


def by_model(
    work: FusedWork, model: Model, batch: int, warnings: tuple[str, ...], by_operator: bool
) -> LatencyPrediction:
    """sum of coefficient * quantity, by group."""
    table, quantities = model.coefficients, work.row(batch)
    ms = total(quantities, table)
    classes = {name.rpartition(".")[0] for name in table}
    new = sorted({name.rpartition(".")[0] for name in quantities} - classes)
    rows = []
    for group, times in work.counted() if by_operator else ():
        parts = [
            coefficient(f"{group.class_}.{q}", table) * v for q, v in zip(QUANTITIES, group.values(batch), strict=True)
        ]
        by: dict[Bound, float] = {"compute": 0.0, "memory": 0.0, "overhead": 0.0}
        for part, bound in zip(parts, PARTS, strict=True):
            by[bound] += part
        rows.append(GroupTime(group.path, group.class_, times * sum(parts), max(by, key=lambda b: by[b])))
    if start := table.get(f"{START}.calls", 0.0):
        ms += start
        rows.append(GroupTime("", START, start, "overhead"))
    low, high = model.error.low, model.error.high
    if model.styles:
        strange = strangeness(quantities, table, model.styles)
        low, high = widened(model.error, strange)
        if strange > STRANGE:
            warnings += ("its operators are unlike those of every calibrated network: a wider interval",)
    if model.batch != batch:
        wider = DOUBLING ** abs(log2(batch / model.batch))
        low, high = low / wider, high * wider
    if model.unseen:
        shares = shares_of(quantities, table)
        guessed = [name for name in model.unseen if shares[name] >= GUESSED / 2]
        if sum(shares[name] for name in guessed) >= GUESSED:
            low, high = low / UNSEEN, high * UNSEEN
            warnings += (f"no measured network tells the speed of {', '.join(guessed)}: other devices' stands in",)
    if new:
        if not model.styles:  # there it is part of the strangeness
            low, high = low / 1.25, high * 1.25
        warnings += (f"no measured network has {', '.join(new)}: common coefficients stand in, a wider interval",)
    if model.date and (date.today() - date.fromisoformat(model.date)).days > OLD:
        warnings += (f"the model is of {model.date}: runtimes change",)
    return LatencyPrediction(ms, ms * low, ms * high, tuple(rows), basis_of(model), warnings)


def basis_of(model: Model) -> str:
    """What a model rests on."""
    if model.basis:
        return model.basis
    name = f"{model.runtime} {model.runtime_version}".rstrip()
    return f"model of {name}, {model.date}, {model.networks} networks"


def by_rate(work: FusedWork, card: DeviceCard, runtime: str, batch: int) -> LatencyPrediction:
    """MACs / rate of the named runtime."""
    rates = {figure.of: figure for figure in card.find("rate")}
    if runtime not in rates:
        raise NetlatheError(
            f"card {card.id} has no rate of {runtime}",
            code="device.no_rate",
            hint=f"the runtime decides by a factor of twenty; it has {', '.join(rates)}",
        )
    figure = rates[runtime]
    scale = 1e3 * batch / figure.base
    groups = [(group, times) for group, times in work.counted() if group.macs]
    rows = tuple(GroupTime(group.path, group.class_, times * group.macs * scale, "compute") for group, times in groups)
    ms = scale * sum(times * group.macs for group, times in groups)
    slow = min(figure.low or figure.value, figure.value / GUESS)
    fast = max(figure.high or figure.value, figure.value * GUESS)
    basis = f"MACs / {figure.value:g} {figure.unit} of {runtime} ({figure.kind})"
    return LatencyPrediction(
        ms, ms * figure.value / fast, ms * figure.value / slow, rows, basis, tuple(card.warnings(figure))
    )


class Efficiency(NamedTuple):
    """How far from the roofs a sort of device runs: time / roofline time by class, ms a call, and the interval."""

    slowness: Mapping[str, float]
    call_ms: float
    low: float
    high: float
    source: str


@cache
def efficiencies() -> dict[str, Efficiency]:
    """The rows of efficiency.csv by sort of device: cpu, gpu."""
    tables: dict[str, dict[str, float]] = {}
    sources: dict[str, str] = {}
    with (Path(__file__).parent / "efficiency.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            tables.setdefault(line["sort"], {})[line["class"]] = float(line["value"])
            sources[line["sort"]] = line["source"]
    return {
        sort: Efficiency(values, values.pop("call_ms"), values.pop("low"), values.pop("high"), sources[sort])
        for sort, values in tables.items()
    }


# Precisions that the efficiencies of efficiency.csv speak of: timm's tables are of fp32 on CPUs, of amp on GPUs.
FITTED = {"cpu": ("fp32",), "gpu": ("fp16", "bf16", "tf32", "fp32")}


def sort_of(card: DeviceCard) -> Literal["cpu", "gpu"]:
    """Whose efficiencies a card without measurements takes."""
    return "gpu" if card.processor in ("gpu", "accelerator") else "cpu"


def check_roofs(card: DeviceCard, precision: str, threads: int) -> None:
    """Refuse what figures of a datasheet do not say: another number of threads, a precision nobody measured."""
    if threads > 1:
        raise NetlatheError(
            f"the figures of {card.id} are of all that it has: --threads {threads} changes nothing there",
            code="device.threads",
            hint="leave --threads out, or measure networks with so many threads and fit a card: netlathe device fit",
        )
    legal = FITTED[sort_of(card)]
    if precision not in legal and card.find("peak", precision):
        kind = "a CPU" if sort_of(card) == "cpu" else "a GPU"
        raise NetlatheError(
            f"nobody measured {precision} on {card.id} or a device like it, so its peak makes no forecast",
            code="device.evidence",
            hint=f"a datasheet is enough for {', '.join(legal)} on {kind}; netlathe device roofline gives least times\n"
            "for a forecast measure 10 networks there: netlathe device probe-set, then netlathe device fit",
        )


def by_roofs(
    graph: Graph | Workload, card: DeviceCard, runtime: str, threads: int, precision: str, batch: int
) -> LatencyPrediction:
    """slowness(class) * max(compute, traffic) + overhead, at the roofs of the whole device."""
    sort = sort_of(card)
    how = efficiencies()[sort]
    registry.fusion_of(runtime)
    check_roofs(card, precision, threads)
    peak, bandwidth = card.figure("peak", precision), card.figure("bandwidth", "dram")
    rows, alike = [], Counter[float]()
    for group, times in fused_work(graph, runtime).counted():
        if not group.calls:  # within the call of another group
            continue
        compute, traffic = bounds(group, peak.base, bandwidth.base, WIDTH[precision], batch)
        work = how.slowness.get(group.class_, how.slowness["*"]) * max(compute, traffic)
        bound: Bound = "overhead" if how.call_ms > work else "compute" if compute > traffic else "memory"
        rows.append(GroupTime(group.path, group.class_, times * (work + how.call_ms), bound))
        alike[work + how.call_ms] += times
    ms = fsum(times * one for one, times in alike.items())  # the same in whatever order, and from a table
    warnings = (*card.warnings(peak, bandwidth), "not calibrated: the order of magnitude, not a budget to certify")
    basis = f"figures of a datasheet, and efficiencies {how.source}"
    return LatencyPrediction(ms, ms * how.low, ms * how.high, tuple(rows), basis, warnings)
