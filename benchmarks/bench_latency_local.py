"""Predicted latency on this machine, leave-family-out: python benchmarks/bench_latency_local.py [--measure]

Networks of the zoo up to 6 G MACs under four runtimes, one thread, batch 1. A family is the networks of one paper; the
model is fitted, as calibration does it, to the probes and to the networks of all other families. Beside it, in the same
run: the same without the probes; MACs times a constant and a power law of MACs; and the best fixed form known before
(roofline by class of operator plus a count of operators). All are fitted to the same
other families. `--nested` adds a row whose ridge is chosen for each held-out family by leaving families out of the rest
(some minutes). "measured again" compares a second measurement of some of the networks with the first: no model can be
closer. `--measure` measures again (a quarter of an hour) and writes benchmarks/data/local_latency.csv; without it the
committed measurements are read.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from math import exp, log
from pathlib import Path
from statistics import median
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.bench.calibrate import NETWORKS, measure_all
from netlathe.bench.machine import this_machine
from netlathe.bench.probes import probe_networks
from netlathe.cost.totals import totals
from netlathe.device.features import FeatureRow, bounds, features, fused, total
from netlathe.device.fit import RIDGE, RIDGE_PROBED, Probes, fit, held_out
from netlathe.runtimes.registry import fusion_of
from netlathe.zoo import registry

FILE = Path(__file__).parent / "data" / "local_latency.csv"
SETTINGS = (("openvino", "fp32"), ("onnxruntime", "fp32"), ("torch", "fp32"), ("openvino", "bf16"))
# (MAPE of the best fixed form, of a MACs power law) on 69 networks of a Xeon with AMX, 17 families held out in turn.
BEFORE = {"openvino fp32": (8.4, 14.5), "onnxruntime fp32": (14.3, 19.8), "torch fp32": (14.6, 19.4),
          "openvino bf16": (17.7, 40.4)}  # fmt: skip
TARGET = {"openvino fp32": 6, "onnxruntime fp32": 9, "torch fp32": 10, "openvino bf16": 11}
LARGEST = 6e9  # MACs
RIDGES = (0.02, 0.05, 0.1, 0.2)  # of the nested choice


def networks() -> dict[str, str]:
    """name -> family (the paper's file), of all image classifiers of the zoo up to 6 G MACs."""
    found = {}
    for paper in registry.PAPERS:
        for name, row in registry.table().items():
            if row.build.__module__.rpartition(".")[2] != paper or len(row.input) != 3 or row.more:
                continue
            network = zoo.get(name)
            count = totals(network.body, *network.inputs)
            if 5e6 < count.macs <= LARGEST and len(count.shape) == 1 and row.input[0] == 3:
                found[name] = paper
    return found


def measure() -> None:
    """Write the latencies of all networks and probes under all runtimes."""
    families = networks()
    rows = []
    for runtime, precision in SETTINGS:
        everything = [*probe_networks(), *(zoo.get(name) for name in families)]
        done, load, _ = measure_all(
            everything, runtime, precision, 1, lambda i, n, name: print(i, n, name, file=sys.stderr)
        )
        again, _, _ = measure_all([zoo.get(name) for name in NETWORKS if name in families], runtime, precision, 1, None)
        second = {one.network.name: f"{one.ms:.5f}" for one in again}
        for one in done:
            name = one.network.name
            rows.append((runtime, precision, name, families.get(name, ""), f"{one.ms:.5f}", second.get(name, "")))
        print(f"{runtime} {precision}: {len(done)} of {len(everything)}, others used {load:.2f} cores", file=sys.stderr)
        with FILE.open("w", newline="") as file:
            file.write(f"# {this_machine().cpu} ({this_machine().id}), others used up to {load:.2f} cores\n")
            csv.writer(file).writerows([("runtime", "precision", "network", "family", "ms", "again_ms"), *rows])


class Measured(NamedTuple):
    """A network or a probe (no family) under a runtime."""

    name: str
    family: str
    ms: float
    again_ms: float  # 0 where it was measured once


def read() -> dict[str, list[Measured]]:
    """setting -> measurements."""
    if not FILE.exists():
        sys.exit(f"{FILE} is absent: run with --measure")
    found: dict[str, list[Measured]] = {}
    with FILE.open() as file:
        print(next(file).strip("# \n"))
        for row in csv.DictReader(file):
            one = Measured(row["network"], row["family"], float(row["ms"]), float(row["again_ms"] or 0))
            found.setdefault(f"{row['runtime']} {row['precision']}", []).append(one)
    return found


# The types of the fixed form, by the class that ours has; every other class is its own type.
TYPES = {
    **dict.fromkeys(("stem", "dense3"), "dense"),
    **dict.fromkeys(("vector", "stream"), "linear"),
    **dict.fromkeys(("localnorm", "reduce"), "pool"),
    **dict.fromkeys(("depthwise3", "depthwise5", "depthwise7"), "depthwise"),
    **dict.fromkeys(("gather", "transpose"), "move"),
    "act": "elementwise",
    "softmax": "actexp",
    "groupnorm": "norm",
}


def roofline_row(graph: Graph, runtime: str, peak: float, bandwidth: float, width: int) -> FeatureRow:
    """The fixed form's features: roofline time by type, and the count of operators."""
    row: dict[str, float] = {}
    for group in fused(graph, fusion_of(runtime)._replace(reorders=False, blocks=None)):
        if group.ops:  # an exponential that rides is not in that form
            key = f"{TYPES.get(group.class_, group.class_)}.roof"
            row[key] = row.get(key, 0.0) + max(bounds(group, peak, bandwidth, width, 1))
            row["all.calls"] = row.get("all.calls", 0.0) + 1
    return row


def nested(rows: Sequence[FeatureRow], ms: list[float], families: list[str], probes: Probes) -> list[float]:
    """Held-out predictions whose ridge is the best one on the other families, each held out in turn."""
    found = [0.0] * len(rows)
    for family in dict.fromkeys(families):
        at = [i for i, f in enumerate(families) if f != family]
        a, b, c = [rows[i] for i in at], [ms[i] for i in at], [families[i] for i in at]
        ridge = min(RIDGES, key=lambda r: scores(held_out(a, b, c, r, probes), b)["mape"])
        model = fit(a, b, ridge, probes)
        for i, f in enumerate(families):
            if f == family:
                found[i] = total(rows[i], model)
    return found


def by_macs(macs: list[float], ms: list[float], families: list[str], power: bool) -> list[float]:
    """a * MACs^b (b = 1 without `power`), fitted to the other families."""
    found = [0.0] * len(ms)
    for family in dict.fromkeys(families):
        train = [i for i, f in enumerate(families) if f != family]
        x, y = np.log([macs[i] for i in train]), np.log([ms[i] for i in train])
        slope, offset = np.polyfit(x, y, 1) if power else (1.0, median(y - x))
        for i, f in enumerate(families):
            if f == family:
                found[i] = exp(offset + slope * log(macs[i]))
    return found


def scores(predicted: list[float], ms: list[float]) -> dict[str, float]:
    """MAPE, median error, share within 10 %, Kendall tau."""
    pairs = list(zip(predicted, ms, strict=True))
    errors = [abs(p / y - 1) for p, y in pairs]
    order = [np.sign((a[0] - b[0]) * (a[1] - b[1])) for i, a in enumerate(pairs) for b in pairs[i + 1 :]]
    return {
        "mape": 100 * float(np.mean(errors)),
        "median": 100 * median(errors),
        "within": 100 * sum(e <= 0.1 for e in errors) / len(errors),
        "tau": float(np.mean(order)),
    }


def report(residuals: bool, with_nested: bool) -> None:
    """The table, a block a runtime."""
    shapes = {p.name: p for p in probe_networks()}
    for setting, measured in read().items():
        runtime = setting.split()[0]
        real, small = [m for m in measured if m.family], [m for m in measured if not m.family]
        graphs = [zoo.get(m.name).graph() for m in real]
        rows = [features(fused(g, runtime)) for g in graphs]
        ms, families = [m.ms for m in real], [m.family for m in real]
        aside = [features(fused(shapes[m.name].graph(), runtime)) for m in small], [m.ms for m in small]
        macs = [float(sum(op.macs for op in g.ops)) for g in graphs]
        peak = max(2e3 * m / t for m, t in zip(macs, ms, strict=True))
        forms = [roofline_row(g, runtime, peak, 30e9, 2 if "bf16" in setting else 4) for g in graphs]
        ours = held_out(rows, ms, families, RIDGE_PROBED, aside)
        table = {
            "ours": ours,
            "without probes": held_out(rows, ms, families, RIDGE),
            "fixed form": held_out(forms, ms, families, 0.0),
            "MACs power law": by_macs(macs, ms, families, True),
            "MACs x constant": by_macs(macs, ms, families, False),
        }
        if with_nested:
            table["ours, nested"] = nested(rows, ms, families, aside)
        print(f"\n{setting}: {len(real)} networks of {len(set(families))} families, {len(small)} probes")
        for name, predicted in table.items():
            print(line(name, scores(predicted, ms)))
        twice = [m for m in real if m.again_ms]
        if twice:
            again = scores([m.again_ms for m in twice], [m.ms for m in twice])
            print(line("measured again", again) + f"  ({len(twice)} networks)")
        form, law = BEFORE[setting]
        print(f"  before, a Xeon   MAPE {form} % by the fixed form, {law} % by the power law")
        print(f"  target           MAPE {TARGET[setting]} %, tau 0.95")
        if residuals:
            for p, m in sorted(zip(ours, real, strict=True), key=lambda r: r[0] / r[1].ms):
                print(f"    {m.name:24s} {m.family:14s} {m.ms:9.3f} ms  {100 * (p / m.ms - 1):+6.1f} %")


def line(name: str, s: dict[str, float]) -> str:
    """A row of the table."""
    share = f"within 10 % {s['within']:4.0f} %  tau {s['tau']:.3f}"
    return f"  {name:16s} MAPE {s['mape']:5.1f} %  median {s['median']:5.1f} %  {share}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--measure", action="store_true")
    options.add_argument("--residuals", action="store_true")
    options.add_argument("--nested", action="store_true")
    chosen = options.parse_args()
    if chosen.measure:
        measure()
    report(chosen.residuals, chosen.nested)


if __name__ == "__main__":
    main()
