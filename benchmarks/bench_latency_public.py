"""Predicted latency against public measurements: python benchmarks/bench_latency_public.py (about a minute)

a. NAS-Bench-201, six devices of HELP's tables, 10 measured networks, no source devices; protocol of the published
   record: probes from networks 0-899 without the fastest and slowest 10 %, test on 900-1899 trimmed alike, 30 draws.
b. timm tables, leave-family-out: a fixed list of networks, family = Python module of the model, 8 folds over families.
c. Predictions a second of networks whose graph is known.
Reads ../shared/data (licences in its READMEs). Features of timm networks come from benchmarks/data/timm_features.npz,
made by timm_features.py.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from netlathe import zoo
from netlathe.arch.build import conv, head, residual, seq
from netlathe.arch.combinators import Dag, Vertex
from netlathe.arch.graph import graph
from netlathe.arch.joins import Add
from netlathe.arch.layers import Act, Conv, Norm, Scale
from netlathe.arch.node import Node, block
from netlathe.arch.pools import Pool
from netlathe.device import card, latency
from netlathe.device.features import FeatureRow, features, fused, total
from netlathe.device.fit import fit, held_out
from netlathe.device.probe import design

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
DATA = Path(__file__).parent / "data"
FOLDS, DRAWS, PROBES = 8, 30, 10

# Devices of the published record (HELP, https://arxiv.org/abs/2106.08630, table 3), as columns of the table.
SIX = {"titan_rtx_256": .987, "gold_6226": .989, "pixel2": .802, "raspi4": .890, "eyeriss": .940,
       "fpga": .985}  # fmt: skip
ESTIMATED = ("eyeriss", "fpga")  # analytic estimators, not measurements
TABLES = {
    "i7-12700H fp32, batch 1, compiled": "fp32-nchw-pt240-cpu-i7_12700h-dynamo",
    "RTX 3090 amp": "amp-nchw-pt240-cu124-rtx3090",
    "RTX 4090 amp": "amp-nchw-pt240-cu124-rtx4090",
    "RTX 5090 amp": "amp-nchw-pt291-cu130-5090",
    "RTX PRO 6000 Max-Q amp": "amp-nchw-pt291-cu130-pro6000maxq",
    "RTX 3090 amp, channels last": "amp-nhwc-pt240-cu124-rtx3090",
    "RTX 4090 amp, compiled": "amp-nchw-pt240-cu124-rtx4090-dynamo",
    "RTX 5090 amp, compiled": "amp-nchw-pt291-cu130-5090-dynamo",
    "i9-10940X fp32, batch 1, compiled": "fp32-nchw-pt240-cpu-i9_10940x-dynamo",
}


def ranks(x: Any) -> Any:
    """Ranks, ties at their mean."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def spearman(a: Any, b: Any) -> float:
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def kendall(a: Any, b: Any) -> float:
    """tau-b."""
    x, y = np.sign(np.subtract.outer(a, a)), np.sign(np.subtract.outer(b, b))
    return float((x * y).sum() / np.sqrt((x != 0).sum() * (y != 0).sum()))


def scores(predicted: Any, measured: Any) -> tuple[float, float, float, float]:
    """MAPE, median, share within 10 %, Kendall tau."""
    off = abs(predicted / measured - 1)
    return float(off.mean()), float(np.median(off)), float((off < 0.1).mean()), kendall(predicted, measured)


# a. NAS-Bench-201 (https://arxiv.org/abs/2001.00326)

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def operation(code: int) -> Node:
    """none (x * 0, which frameworks execute), skip, 1x1, 3x3, pool: relu - conv - norm where there is a conv."""
    if code in (2, 3):
        return seq(Act("relu"), Conv(None, 1 if code == 2 else 3), Norm("batch"))
    return Scale() if code == 0 else Pool("avg", 3, 1, padding=1, count_padding=False)


@block
def cell(codes: tuple[int, ...]) -> Dag:
    """Four nodes, each the sum of an operation on every node before it; a skip is the value itself."""
    steps: list[Vertex] = []
    node = {0: "in0"}
    for to in (1, 2, 3):
        read = []
        for i, (source, target) in enumerate(EDGES):
            if target == to:
                name = node[source]
                if codes[i] != 1:
                    steps.append(Vertex(f"edge{i}", operation(codes[i]), (name,)))
                    name = f"edge{i}"
                read.append(name)
        steps.append(Vertex(f"node{to}", Add(), tuple(read)))
        node[to] = f"node{to}"
    return Dag(1, tuple(steps))


@block
def reduction(width: int) -> Node:
    """A basic residual block that halves the map; its shortcut is a mean pool and a 1x1."""
    shortcut = seq(Pool("avg", 2), Conv(width, 1))
    return residual(one=conv(width, 3, 2), two=conv(width, 3, act=None), project=shortcut)


def network(codes: tuple[int, ...]) -> Node:
    """Stem, 3 stages of 5 cells with 16, 32 and 64 channels, classifier."""
    parts: dict[str, Node] = {"stem": conv(16, 3, act=None)}
    for stage, width in enumerate((16, 32, 64), 1):
        if stage > 1:
            parts[f"reduce{stage}"] = reduction(width)
        parts |= {f"cell{stage}_{i}": cell(codes) for i in range(1, 6)}
    return seq(**parts, norm=Norm("batch"), act=Act("relu"), head=head(10))


PHYSICS = ("dense3.macs", "pointwise.macs", "pool.write", "elementwise.write")


def nasbench_row(codes: tuple[int, ...]) -> FeatureRow:
    """3x3 MACs, 1x1 MACs, what pools and element-wise operators (none and sums) write, and 1 for the rest."""
    found = features(fused(graph(network(codes), (3, 32, 32)), "torch"))
    return {name: found.get(name, 0.0) for name in PHYSICS} | {"rest.calls": 1.0}


def trimmed(places: Any, ms: Any) -> Any:
    """Without the fastest and the slowest tenth."""
    order = places[np.argsort(ms[places], kind="stable")]
    return np.sort(order[len(order) // 10 : len(order) - len(order) // 10])


def nasbench() -> None:
    table = np.load(SHARED / "hw_latency" / "nb201_latency_help.npz", allow_pickle=False)
    devices = list(table["devices"])
    rows = [nasbench_row(tuple(int(code) for code in codes)) for codes in table["ops"][:1900]]
    macs = table["macs_c10"][:1900].astype(float)
    print(f"a. NAS-Bench-201, {PROBES} measured networks, no source devices, {DRAWS} draws: Spearman (800 tests)")
    print("device          random          D-optimal+mid   pool of 240     MACs   HELP   MAPE   <10 %  tau")
    means: dict[str, list[float]] = {"random": [], "design": [], "third": [], "macs": [], "help": []}
    for device, published in SIX.items():
        ms = table["latency_ms"][:1900, devices.index(device)].astype(float)
        pool, test = trimmed(np.arange(900), ms), trimmed(np.arange(900, 1900), ms)
        rho: dict[str, list[float]] = {"random": [], "design": [], "third": []}
        quality = []
        for draw in range(DRAWS):
            rng = np.random.default_rng(draw)
            third = rng.choice(pool, 240, replace=False)
            probes = {
                "random": rng.choice(pool, PROBES, replace=False),
                "design": pool[design([rows[i] for i in pool], PROBES, seed=draw)],
                "third": third[design([rows[i] for i in third], PROBES, seed=draw)],
            }
            for way, chosen in probes.items():
                model = fit([rows[i] for i in chosen], ms[chosen].tolist(), ridge=0)
                predicted = np.array([total(rows[i], model) for i in test])
                rho[way].append(spearman(predicted, ms[test]))
                if way == "design":
                    quality.append(scores(predicted, ms[test]))
        proxy = spearman(macs[test], ms[test])
        mape, _, near, tau = np.mean(quality, 0)
        said = "   ".join(f"{np.mean(r):.3f} +- {np.std(r):.3f}" for r in rho.values())
        mark = "*" * (device in ESTIMATED)
        print(
            f"{device + mark:15} {said}   {proxy:.3f}  {published:.3f}  {mape:5.1%}  {near:5.0%}  {tau:.3f}", flush=True
        )
        for way, found in rho.items():
            means[way].append(float(np.mean(found)))
        means["macs"].append(proxy)
        means["help"].append(published)
    said = "           ".join(f"{np.mean(means[way]):.4f}" for way in ("random", "design", "third"))
    print(
        f"{'mean of six':15} {said}         {np.mean(means['macs']):.3f}  {np.mean(means['help']):.3f}   (target 0.95)"
    )
    said = "           ".join(f"{np.mean(means[way][:4]):.4f}" for way in ("random", "design", "third"))
    print(f"{'four measured':15} {said}         {np.mean(means['macs'][:4]):.3f}  {np.mean(means['help'][:4]):.3f}")
    print("* values of analytic estimators. pool of 240: the design may choose from a random third of the pool only.\n")


# b. timm


@cache
def load_timm() -> dict[str, Any]:
    """The features of the fixed list, and `keys`, (name, side)."""
    found = dict(np.load(DATA / "timm_features.npz", allow_pickle=False))
    return found | {"keys": list(zip(found["name"].tolist(), found["side"].tolist(), strict=True))}


@cache
def load_table(name: str) -> dict[tuple[str, int], tuple[float, int]]:
    """(name, side) -> ms an image and batch."""
    with gzip.open(SHARED / "timm" / f"benchmark-infer-{name}.csv.gz", "rt") as file:
        return {
            (row["model"], int(row["infer_img_size"])): (
                1e3 / float(row["infer_samples_per_sec"]), int(float(row["infer_batch_size"])),
            )
            for row in csv.DictReader(file) if row["infer_samples_per_sec"] and float(row["infer_samples_per_sec"]) > 0
        }  # fmt: skip


def of_family(timm: dict[str, Any], family: str) -> int:
    """The fold of a family: families in a random order (seed 1), dealt in turn."""
    families = sorted(set(timm["family"].tolist()))
    order = [families[i] for i in np.random.default_rng(1).permutation(len(families))]
    return order.index(family) % FOLDS


def timm_tables(residuals: bool) -> None:
    timm = load_timm()
    columns = [str(name) for name in timm["columns"]]
    families = set(timm["family"].tolist())
    fold_of = {family: of_family(timm, family) for family in families}
    print(f"b. timm, {len(timm['keys'])} networks of {len(families)} families, leave-family-out, {FOLDS} folds")
    print("device                               n     MAPE   median  <10 %  tau    | MACs x scale: MAPE  <10 %  tau")
    for device, table in TABLES.items():
        times = load_table(table)
        at = [i for i, key in enumerate(timm["keys"]) if key in times]
        ms = np.array([times[timm["keys"][i]][0] for i in at])
        batch = [times[timm["keys"][i]][1] for i in at]
        rows = []
        for i, images in zip(at, batch, strict=True):
            row = {name: float(v) for name, v in zip(columns, timm["features"][i], strict=True) if v}
            rows.append({k: v / images if k.endswith((".weights", ".calls")) else v for k, v in row.items()})
        folds = [fold_of[timm["family"][i]] for i in at]
        predicted = np.array(held_out(rows, ms.tolist(), folds))
        mape, middle, near, tau = scores(predicted, ms)
        macs = timm["macs"][at].astype(float)
        p_mape, _, p_near, p_tau = scores(macs * np.median(ms / macs), ms)
        print(
            f"{device:35} {len(at):5} {mape:7.1%} {middle:7.1%} {near:6.0%}  {tau:.3f}  |"
            f"              {p_mape:6.0%} {p_near:6.0%}  {p_tau:.3f}",
            flush=True,
        )
        if residuals:
            worst(timm["family"][at], predicted / ms - 1)
    print("(target: MAPE <= 12 %, aim 10 %, on at least four; the MACs scale is fitted on the tested networks)\n")


def worst(families: Any, off: Any) -> None:
    """The families that add most to the error."""
    by = {family: off[families == family] for family in set(families.tolist())}
    order = sorted(by, key=lambda family: -abs(by[family]).sum())[:8]
    said = ", ".join(f"{f} {len(by[f])} x {by[f].mean():+.0%}" for f in order)
    print(f"    most error: {said}")


# c. speed


def speed() -> None:
    graphs = [zoo.get(name).graph() for name in ("resnet50", "mobilenetv2", "efficientnet_b0", "densenet121", "vgg16")]
    a = card.load("rtx-4090")
    for one in graphs:
        latency.predict(one, a, runtime="torch", precision="fp16")
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 3:
        latency.predict(graphs[count % len(graphs)], a, runtime="torch", precision="fp16")
        count += 1
    rate = 60 * count / (time.perf_counter() - start)
    print(f"c. predictions of cached networks, all operators listed: {rate:,.0f} a minute on one core (target 20,000)")


def main() -> None:
    if not SHARED.is_dir():
        sys.exit(f"this needs the public tables in {SHARED}, which are not here")
    nasbench()
    timm_tables("--residuals" in sys.argv)
    speed()


if __name__ == "__main__":
    main()
