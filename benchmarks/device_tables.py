"""Public tables of measured latencies, and the populations that they are samples of (`netlathe.device.population`).

ncnn.csv: github.com/Tencent/ncnn @a4d2ea1 benchmark/README.md; ai_hub.csv: github.com/quic/ai-hub-models @52c080d2
perf.yaml; both BSD-3-Clause, in ../shared/data/device_latency. The least of ncnn's times is taken: what else ran on a
device is no part of it. Networks are those that are known exactly: `ncnn_networks` and, for AI Hub, the zoo's.

A population is estimated by expectation-maximisation. Expectation: the mode of every device's hidden vector and its
covariance there (Laplace). Maximisation: vector = slopes x description + effect of the core + rest, each device with
the same weight however often it was measured, devices far off with less; then covariance of the rest, and noise.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import ncnn_networks
import numpy as np

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.device.cores import Core, CoreGroup, describe, taken
from netlathe.device.features import FeatureRow, features, fused
from netlathe.device.population import HEAVY, PARTS, amounts

SHARED = Path(__file__).parent.parent.parent / "shared" / "data" / "device_latency"
DATA = Path(__file__).parent / "data"
LEAST = 8  # networks of a setting, to learn from
NPU_RUNTIMES = {"tflite": "tflite-npu", "qnn_dlc": "qnn", "onnx": "onnxruntime-npu"}
NPU_PRECISIONS = {"float": "fp16", "w8a8": "int8"}
ODD = 0.5  # log time from which on a device weighs less
SHRINK = 1.0  # devices of no effect that a core's effect is averaged with


class Setting(NamedTuple):
    """One way to run networks on a device, and what they took."""

    device: str
    runtime: str
    precision: str
    threads: int
    kind: str  # cpu, gpu, npu
    cores: tuple[CoreGroup, ...]  # those that were used; empty where that is not known
    ms: dict[str, float]

    @property
    def core(self) -> str:
        """What most of the work ran on."""
        return self.cores[0].core if self.cores else ""


@cache
def devices() -> tuple[dict[str, str], ...]:
    """The rows of measured_devices.csv; the first whose heading a heading starts with."""
    with (DATA / "measured_devices.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def clusters(text: str) -> list[CoreGroup]:
    """cortex-a76 2.4 x4 + cortex-a55 1.8 x4"""
    words = [part.split() for part in text.split(" + ")]
    return [CoreGroup(core, float(clock), int(count[1:])) for core, clock, count in words]


def read(name: str) -> list[dict[str, str]]:
    """The rows of a table, without its comments."""
    with (SHARED / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def ncnn_settings() -> list[Setting]:
    """The settings of ncnn.csv in its order; the second listing of a heading is a setting of its own."""
    tables: dict[tuple[str, ...], dict[str, float]] = {}
    seen: Counter[tuple[str, ...]] = Counter()
    for row in read("ncnn.csv"):
        key = (row["device"], row["threads"], row["powersave"], str(int(row["gpu"]) >= 0))
        seen[*key, row["network"]] += 1
        if float(row["min_ms"]) > 0:
            tables.setdefault((*key, str(seen[*key, row["network"]])), {})[row["network"]] = float(row["min_ms"])
    settings = []
    for (heading, threads, powersave, gpu, _), ms in tables.items():
        row = next((row for row in devices() if heading.startswith(row["heading"])), None)
        groups = clusters(row["clusters"]) if row else []
        if len(groups) > 1 and powersave in "12":
            groups = groups[-1:] if powersave == "1" else [g for g in groups if g.core in fast(groups)]
        used = tuple(taken(groups, int(threads)))
        on_gpu = gpu == "True"
        if not on_gpu and sum(group.number for group in used) < int(threads):
            continue  # more threads than cores: they take turns
        half = on_gpu or all(facts()[group.core].half > 1 for group in used)
        way = ("ncnn-vulkan", "fp16", 1, "gpu", ()) if on_gpu else (
            "ncnn", "fp16" if half else "fp32", int(threads), "cpu", used)  # fmt: skip
        exact = {name: ms[name] for name in ncnn_networks.NAMES if name in ms}
        if len(exact) >= LEAST:
            settings.append(Setting(heading, *way, exact))
    return settings


def fast(groups: Sequence[CoreGroup]) -> set[str]:
    """The cores that ncnn counts as large: all but those of the slowest sort."""
    return {group.core for group in groups[:-1]}


def hub_settings() -> list[Setting]:
    """The settings of ai_hub.csv on an NPU, of networks of the zoo."""
    tables: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in read("ai_hub.csv"):
        if row["unit"] == "NPU" and row["zoo"] and row["precision"] in NPU_PRECISIONS:
            key = (row["device"], NPU_RUNTIMES[row["runtime"]], NPU_PRECISIONS[row["precision"]])
            tables[key][row["zoo"]] = float(row["ms"])
    return [
        Setting(device, runtime, precision, 1, "npu", (), ms)
        for (device, runtime, precision), ms in tables.items()
        if len(ms) >= LEAST
    ]


@cache
def facts() -> dict[str, Core]:
    """FLOPs a cycle in fp32, and how many times as many in fp16, of cores.csv."""
    with (DATA / "cores.csv").open(encoding="utf-8", newline="") as file:
        return {row["core"]: Core(float(row["flops_per_cycle"]), float(row["fp16"])) for row in csv.DictReader(file)}


@cache
def graph_of(name: str, runtime: str) -> Graph:
    """A network by the name in its table."""
    return ncnn_networks.network(name) if runtime.startswith("ncnn") else zoo.get(name).graph()


@cache
def row_of(name: str, runtime: str) -> FeatureRow:
    """The features of a network under a runtime."""
    return features(fused(graph_of(name, runtime), runtime))


class Sample(NamedTuple):
    """Settings as arrays: log ms and whether there is one (settings, networks), amounts (networks, parts)."""

    settings: list[Setting]
    names: list[str]
    log_ms: Any
    there: Any
    x: Any


def sample(settings: list[Setting]) -> Sample:
    """The arrays of settings of one kind."""
    names = list(dict.fromkeys(name for setting in settings for name in setting.ms))
    ms = np.array([[setting.ms.get(name, np.nan) for name in names] for setting in settings])
    x = amounts([row_of(name, settings[0].runtime) for name in names])
    there = np.isfinite(ms)
    return Sample(settings, names, np.log(np.where(there, ms, 1.0)), there, x)


class Estimate(NamedTuple):
    """The parameters of a population. `rest` is what remains of every setting."""

    slopes: Any  # (descriptions, parts)
    effects: dict[str, Any]  # by core
    covariance: Any  # of the rest
    variance: float  # of the noise
    theta: Any
    rest: Any
    weights: Any


def modes(s: Sample, mean: Any, precision: Any, variance: float, theta: Any, steps: int) -> tuple[Any, Any, Any, Any]:
    """The modes, their covariances, the weighted squares of what is left, and the weights."""
    for step in range(steps + 1):
        parts = np.exp(theta)[:, None, :] * s.x
        whole = parts.sum(2)
        slope, off = parts / whole[..., None], np.where(s.there, s.log_ms - np.log(whole), 0)
        weight = s.there * (HEAVY + 1) / (HEAVY + off**2 / variance)
        curve = np.einsum("dnk,dn,dnl->dkl", slope, weight, slope) / variance + precision
        if step < steps:
            pull = np.einsum("dnk,dn->dk", slope, weight * off) / variance - (theta - mean) @ precision
            theta = theta + np.linalg.solve(curve, pull[..., None])[..., 0].clip(-1, 1)
    spread = np.linalg.inv(curve)
    left = weight * (off**2 + np.einsum("dnk,dkl,dnl->dn", slope, spread, slope))
    return theta, spread, left, weight


def estimate(s: Sample, rounds: int = 40, start: Estimate | None = None) -> Estimate:
    """Expectation-maximisation, from scratch or from another estimate of the same settings."""
    x = np.array([describe(setting.cores, facts()) for setting in s.settings])
    if start is None:
        level = np.array([np.median(row[there]) for row, there in zip(s.log_ms, s.there, strict=True)])
        size = np.array([np.median(np.log(c[c > 0])) if (c > 0).any() else 0.0 for c in s.x.T])
        theta = level[:, None] - size[None, :] - np.log(6)
        covariance, variance = np.eye(len(PARTS)) + 1.0, 0.02
        mean = theta.mean(0) + np.zeros_like(theta)
    else:
        theta, covariance, variance, mean = start.theta, start.covariance, start.variance, start.theta - start.rest
    for _ in range(rounds):
        theta, spread, left, _ = modes(s, mean, np.linalg.inv(covariance), variance, theta, 5)
        slopes, effects, rest, weights = means(s.settings, theta, x)
        mean = theta - rest
        share = weights / weights.sum()
        covariance = np.einsum("d,dk,dl->kl", share, rest, rest) + np.einsum("d,dkl->kl", share, spread)
        covariance += 0.002 * np.eye(len(PARTS))
        variance = float((left * weights[:, None]).sum() / (s.there * weights[:, None]).sum())
    return Estimate(slopes, effects, covariance, variance, theta, rest, weights)


def means(settings: Sequence[Setting], theta: Any, x: Any) -> tuple[Any, dict[str, Any], Any, Any]:
    """Slopes, effects by core, the rest and the weights of the settings."""
    names, cores = np.array([s.device for s in settings]), np.array([s.core for s in settings])
    count = Counter(names.tolist())
    equal = np.array([1 / count[name] for name in names])
    weights, effect = equal, np.zeros_like(theta)
    effects: dict[str, Any] = {}
    light = 1e-2 * np.diag([0.0] + [1.0] * (x.shape[1] - 1))
    for _ in range(6):
        slopes = np.linalg.solve((x.T * weights) @ x + light, (x.T * weights) @ (theta - effect))
        residual = theta - x @ slopes
        for core in set(cores) - {""}:
            of = np.array([residual[(names == n) & (cores == core)].mean(0) for n in set(names[cores == core])])
            trust = 1 / np.maximum(abs((of - np.median(of, 0)).mean(1)) / ODD, 1)
            effects[core] = (trust[:, None] * of).sum(0) / (trust.sum() + SHRINK)
            effect[cores == core] = effects[core]
        rest = residual - effect
        weights = equal / np.maximum(abs(rest.mean(1)) / ODD, 1)
    return slopes, effects, rest, weights


def without(s: Sample, full: Estimate, device: str, rounds: int = 4) -> Estimate:
    """The population without a device: a few rounds from the estimate of all."""
    keep = np.array([setting.device != device for setting in s.settings])
    kept = [setting for setting in s.settings if setting.device != device]
    part = Sample(kept, s.names, s.log_ms[keep], s.there[keep], s.x)
    start = full._replace(theta=full.theta[keep], rest=full.rest[keep], weights=full.weights[keep])
    return estimate(part, rounds, start)


def marginal(e: Estimate) -> tuple[Any, Any]:
    """Mean and covariance of the hidden vector of a device of which nothing is known."""
    share = e.weights / e.weights.sum()
    mean = share @ e.theta
    off = e.theta - mean
    within = e.covariance - np.einsum("d,dk,dl->kl", share, e.rest, e.rest)  # what the modes do not show
    return mean, np.einsum("d,dk,dl->kl", share, off, off) + within


def described(e: Estimate, cores: Sequence[CoreGroup]) -> Any:
    """The hidden vector that is expected of cores."""
    return np.array(describe(cores, facts())) @ e.slopes + e.effects.get(cores[0].core, 0.0)
