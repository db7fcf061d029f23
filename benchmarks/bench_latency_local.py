"""Predicted latency on this machine, leave-family-out: python benchmarks/bench_latency_local.py [--measure]

Networks of the zoo up to 6 G MACs under four runtimes, one thread, batch 1. A family is the networks of one paper; the
model is fitted to the networks of all other families, its ridge chosen among three by leaving families out of these.
Beside it, in the same run: the same with the probes of the calibration in the fit; MACs times a constant and a power
law of MACs; and the best fixed form known before (roofline by class of operator plus a count of operators,
`reference/deploy.md` section 7). All are fitted to the same other families.
`--measure` measures again (a quarter of an hour) and writes benchmarks/data/local_latency.csv; without it the committed
measurements are read.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.bench.calibrate import measure_all
from netlathe.bench.machine import this_machine
from netlathe.bench.probes import probes
from netlathe.cost.totals import totals
from netlathe.device.features import Row, bounds, features, fused, total
from netlathe.device.fit import fit
from netlathe.zoo import registry

FILE = Path(__file__).parent / "data" / "local_latency.csv"
SETTINGS = (("openvino", "fp32"), ("onnxruntime", "fp32"), ("torch", "fp32"), ("openvino", "bf16"))
# (MAPE of the best fixed form, of a MACs power law) on 69 networks of a Xeon with AMX: deploy.md, section 7.
BEFORE = {"openvino fp32": (8.4, 14.5), "onnxruntime fp32": (14.3, 19.8), "torch fp32": (14.6, 19.4),
          "openvino bf16": (17.7, 40.4)}  # fmt: skip
TARGET = {"openvino fp32": 6, "onnxruntime fp32": 9, "torch fp32": 10, "openvino bf16": 11}
LARGEST = 6e9  # MACs


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
        everything = [*probes(), *(zoo.get(name) for name in families)]
        done, load = measure_all(
            everything, runtime, precision, 1, lambda i, n, name: print(i, n, name, file=sys.stderr)
        )
        for one in done:
            rows.append((runtime, precision, one.network.name, families.get(one.network.name, ""), f"{one.ms:.5f}"))
        print(f"{runtime} {precision}: {len(done)} of {len(everything)}, others used {load:.2f} cores", file=sys.stderr)
        with FILE.open("w", newline="") as file:
            file.write(f"# {this_machine().cpu} ({this_machine().id}), others used up to {load:.2f} cores\n")
            csv.writer(file).writerows([("runtime", "precision", "network", "family", "ms"), *rows])


def read() -> dict[str, list[tuple[str, str, float]]]:
    """setting -> (network, family, ms)."""
    if not FILE.exists():
        sys.exit(f"{FILE} is absent: run with --measure")
    found: dict[str, list[tuple[str, str, float]]] = {}
    with FILE.open() as file:
        print(next(file).strip("# \n"))
        for row in csv.DictReader(file):
            setting = f"{row['runtime']} {row['precision']}"
            found.setdefault(setting, []).append((row["network"], row["family"], float(row["ms"])))
    return found


def roofline_row(graph: Graph, rule: str, peak: float, bandwidth: float, width: int) -> Row:
    """The fixed form's features: roofline time by class, and the count of operators."""
    row: dict[str, float] = {}
    for group in fused(graph, rule):
        key = f"{group.class_}.macs"
        row[key] = row.get(key, 0.0) + max(bounds(group, peak, bandwidth, width, 1))
        row["all.calls"] = row.get("all.calls", 0.0) + 1
    return row


RIDGES = (0.05, 0.1, 0.3)


def leave_family_out(rows: list[Row], ms: list[float], families: list[str], ridges: tuple[float, ...]) -> list[float]:
    """Predictions of the networks (family not empty) by a fit to everything of other families."""
    found = [0.0] * len(rows)
    for family in dict.fromkeys(f for f in families if f):
        train = [i for i, f in enumerate(families) if f != family]
        a, b, c = [rows[i] for i in train], [ms[i] for i in train], [families[i] for i in train]
        ridge = ridges[0]
        if len(ridges) > 1:
            ridge = min(ridges, key=lambda r: scores(leave_family_out(a, b, c, (r,)), b, c)["mape"])
        model = fit(a, b, ridge)
        for i, f in enumerate(families):
            if f == family:
                found[i] = total(rows[i], model)
    return found


def unseen(rows: list[Row], ms: list[float], families: list[str], ridges: tuple[float, ...]) -> list[float]:
    """The same by a fit to networks alone; the probes keep their places."""
    real = [i for i, f in enumerate(families) if f]
    kept = [rows[i] for i in real], [ms[i] for i in real], [families[i] for i in real]
    values = iter(leave_family_out(*kept, ridges))
    return [next(values) if f else 0.0 for f in families]


def by_macs(macs: list[float], ms: list[float], families: list[str], power: bool) -> list[float]:
    """a * MACs^b (b = 1 without `power`), fitted to the other families."""
    found = [0.0] * len(ms)
    for family in dict.fromkeys(f for f in families if f):
        train = [i for i, f in enumerate(families) if f and f != family]
        x, y = np.log([macs[i] for i in train]), np.log([ms[i] for i in train])
        slope, offset = np.polyfit(x, y, 1) if power else (1.0, median(y - x))
        for i, f in enumerate(families):
            if f == family:
                found[i] = exp(offset + slope * log(macs[i]))
    return found


def scores(predicted: list[float], ms: list[float], families: list[str]) -> dict[str, float]:
    """MAPE, median error, share within 10 %, Kendall tau, over the networks."""
    pairs = [(p, y) for p, y, f in zip(predicted, ms, families, strict=True) if f]
    errors = [abs(p / y - 1) for p, y in pairs]
    order = [np.sign((a[0] - b[0]) * (a[1] - b[1])) for i, a in enumerate(pairs) for b in pairs[i + 1 :]]
    within = sum(e <= 0.1 for e in errors) / len(errors)
    return {
        "mape": 100 * float(np.mean(errors)),
        "median": 100 * median(errors),
        "within": 100 * within,
        "tau": float(np.mean(order)),
    }


def report(residuals: bool) -> None:
    """The table, a block a runtime."""
    for setting, measured in read().items():
        names, families, ms = (list(column) for column in zip(*measured, strict=True))
        shapes = {p.name: p for p in probes()}
        nets = [shapes.get(name) or zoo.get(name) for name in names]
        graphs = [net.graph() for net in nets]
        macs = [float(max(1, sum(op.macs for op in g.ops))) for g in graphs]
        runtime = setting.split()[0]
        width = 2 if "bf16" in setting else 4
        peak = max(2e3 * m / t for m, t in zip(macs, ms, strict=True))
        rows = [features(fused(g, runtime)) for g in graphs]
        ours = unseen(rows, ms, families, RIDGES)
        probed = leave_family_out(rows, ms, families, (0.1,))
        forms = [roofline_row(g, runtime, peak, 30e9, width) for g in graphs]
        fixed = unseen(forms, ms, families, (0.0,))
        table: dict[str, Any] = {
            "ours": scores(ours, ms, families),
            "with probes": scores(probed, ms, families),
            "fixed form": scores(fixed, ms, families),
            "MACs power law": scores(by_macs(macs, ms, families, True), ms, families),
            "MACs x constant": scores(by_macs(macs, ms, families, False), ms, families),
        }
        count = sum(map(bool, families))
        print(f"\n{setting}: {count} networks of {len(set(families) - {''})} families, {len(names) - count} probes")
        for name, s in table.items():
            share = f"within 10 % {s['within']:4.0f} %  tau {s['tau']:.3f}"
            print(f"  {name:16s} MAPE {s['mape']:5.1f} %  median {s['median']:5.1f} %  {share}")
        form, law = BEFORE[setting]
        print(f"  before, a Xeon   MAPE {form} % by the fixed form, {law} % by the power law")
        print(f"  target           MAPE {TARGET[setting]} %, tau 0.95")
        if residuals:
            for p, y, n, f in sorted(zip(ours, ms, names, families, strict=True), key=lambda r: r[0] / r[1]):
                if f:
                    print(f"    {n:24s} {f:14s} {y:9.3f} ms  {100 * (p / y - 1):+6.1f} %")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--measure", action="store_true")
    options.add_argument("--residuals", action="store_true")
    chosen = options.parse_args()
    if chosen.measure:
        measure()
    report(chosen.residuals)


if __name__ == "__main__":
    main()
