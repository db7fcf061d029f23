"""Latency of devices that were left out of public tables: python benchmarks/bench_device_tables.py (about 2 minutes)

Each device of ncnn's and AI Hub's tables is left out in turn, with all its settings, and what the others have in common
is estimated again. Then, by setting:
a. no measurement: the forecast from the device's cores (`netlathe.device.cores`), the interval as a card has it. A CPU
   whose cores no other device has is refused, and so is every GPU and NPU.
b. ten measured networks, chosen at random: `device fit` predicts the others. Beside it the fit without a prior, and the
   power law ms = a MACs^b of the same ten.
Reads ../shared/data/device_latency (`device_tables` has the sources); --few does b without the fits without a prior.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from derive_cards import HUB, NCNN, expectations, population, times
from device_tables import SHARED, Sample, estimate, graph_of, hub_settings, ncnn_settings, row_of, sample, without

from netlathe.device.features import total
from netlathe.device.fit import fit_few
from netlathe.device.fit_measured import fit_measured
from netlathe.device.population import START

MEASURED = 10
TARGETS = {"CPU": 0.15, "GPU": None, "NPU": 0.20}


class Outcome(NamedTuple):
    """A network that was predicted: measured / predicted, whether it lay inside the interval, high / low."""

    ratio: float
    inside: bool
    width: float


def line(name: str, outcomes: list[Outcome], more: str = "") -> str:
    """A row of figures."""
    off = np.array([abs(1 / one.ratio - 1) for one in outcomes])
    width = np.median([one.width for one in outcomes])
    inside = np.mean([one.inside for one in outcomes])
    interval = f"  inside {inside:6.1%}  high/low {width:5.2f}" if np.isfinite(width) else ""
    return f"  {name:26} {len(outcomes):5}  MAPE {off.mean():6.1%}  median {np.median(off):6.1%}{interval}{more}"


def unmeasured(s: Sample, full: Any) -> None:
    """a. The cores of a device, and nothing else."""
    rows = expectations(s, full)
    factor = times(rows)
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for off, spread, others, _ in rows:
        width = float(np.exp(2 * factor * spread))
        outcome = Outcome(float(np.exp(off)), abs(off) <= factor * spread, width)
        groups["2 devices or more" if others > 1 else "1 device" if others else "none: refused"].append(outcome)
    answered = groups["2 devices or more"] + groups["1 device"]
    print(line("CPUs, all that is answered", answered, "   (target: 85 %, 3)"))
    for name in ("2 devices or more", "1 device"):
        print(line(f"  cores of {name}", groups[name]))
    share = len(answered) / len(rows)
    print(f"  {1 - share:.0%} of the rows are refused: nobody else measured their cores")


def measured(kind: str, s: Sample, full: Any, source: str, few: bool) -> None:
    """b. Ten networks of every setting that has more."""
    rng = np.random.default_rng(0)
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for device in dict.fromkeys(setting.device for setting in s.settings):
        prior = population(kind.lower(), s, without(s, full, device), source)
        for i, setting in enumerate(s.settings):
            there = rng.permutation(np.flatnonzero(s.there[i]))
            if setting.device != device or len(there) <= MEASURED:
                continue
            chosen, rest = there[:MEASURED], there[MEASURED:]
            rows = {n: row_of(s.names[n], setting.runtime) for n in there}
            ms = {n: float(np.exp(s.log_ms[i, n])) for n in there}
            model = fit_measured([rows[n] for n in chosen], [ms[n] for n in chosen], [prior])
            ways = {"device fit": (model.coefficients, model.error.low, model.error.high)}
            if not few:
                alone, bar = fit_few([rows[n] for n in chosen], [ms[n] for n in chosen])
                ways["without a prior"] = (alone, bar.low, bar.high)
            macs = {n: sum(op.macs for op in graph_of(s.names[n], setting.runtime).ops) for n in there}
            law = np.polyfit(np.log([macs[n] for n in chosen]), np.log([ms[n] for n in chosen]), 1)
            for n in rest:
                for name, (table, low, high) in ways.items():
                    ratio = ms[n] / total({**rows[n], f"{START}.calls": 1.0}, table)
                    outcomes[name].append(Outcome(ratio, low <= ratio <= high, high / low))
                ratio = ms[n] / float(np.exp(np.polyval(law, np.log(macs[n]))))
                outcomes["MACs power law"].append(Outcome(ratio, False, np.nan))
    devices = len({setting.device for setting in s.settings})
    target = TARGETS[kind]
    print(f"{kind}s: {devices} devices, {len(s.settings)} settings, {MEASURED} measured networks, the others predicted")
    for name, results in outcomes.items():
        print(line(name, results, f"   (target: {target:.0%})" if target and name == "device fit" else ""), flush=True)


def main() -> None:
    if not SHARED.is_dir():
        sys.exit(f"this needs the public tables in {SHARED}, which are not here")
    few = "--few" in sys.argv
    ncnn = ncnn_settings()
    samples = {
        "CPU": (sample([s for s in ncnn if s.kind == "cpu"]), NCNN),
        "GPU": (sample([s for s in ncnn if s.kind == "gpu"]), NCNN),
        "NPU": (sample(hub_settings()), HUB),
    }
    estimates = {kind: estimate(s) for kind, (s, _) in samples.items()}
    print("a. no measurement of the device, one left out in turn")
    unmeasured(samples["CPU"][0], estimates["CPU"])
    print("b. ten measurements of the device, one left out in turn")
    for kind, (s, source) in samples.items():
        measured(kind, s, estimates[kind], source, few)


if __name__ == "__main__":
    main()
