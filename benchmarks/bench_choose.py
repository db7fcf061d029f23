"""How long a choice over the whole zoo takes, against measuring everything: python benchmarks/bench_choose.py

For a few budgets: the wall time of `choose` (forecasts, then measurements of what could still win) and of measuring
every candidate that keeps the cheap limits; the ratio; the picks; and whether the quick pick is worse, beyond noise and
beyond the intervals of both measurements, than the full one. The card of this machine is calibrated first, once.
"""

from __future__ import annotations

import os
import tempfile
import time

os.environ["NETLATHE_CACHE"] = tempfile.mkdtemp(prefix="netlathe-bench-")

from netlathe.choose.budget import Budget
from netlathe.choose.decide import tied
from netlathe.choose.run import choose
from netlathe.sources.source import candidates
from netlathe.sources.zoo import Zoo
from netlathe.target.here import targets_here

BUDGETS = {
    "15 ms": Budget(latency=15),
    "5 ms, 20 MB": Budget(latency=5, size=20_000_000),
    "40 ms, 600 M MACs, 64 MB of memory": Budget(latency=40, macs=600_000_000, memory=64_000_000),
}
FULL_LIMIT = Budget(latency=60)  # measuring everything leaves out what no forecast puts under this


def main() -> None:
    start = time.perf_counter()
    targets = targets_here(["onnxruntime"], "fp32", 1)
    error = targets[0].device.models[0].error
    interval = f"measured / predicted {error.low:.2f} to {error.high:.2f}"
    print(f"calibration {time.perf_counter() - start:.0f} s, held-out MAPE {100 * error.mape:.1f} %, {interval}")
    start = time.perf_counter()
    pool = candidates(Zoo(), targets)
    print(f"{len(pool)} candidates counted and forecast in {time.perf_counter() - start:.1f} s")
    quick = {}
    for name, budget in BUDGETS.items():
        start = time.perf_counter()
        outcome = choose(pool, budget, targets, fresh=True)
        quick[name] = (time.perf_counter() - start, outcome)
    small = [c for c in pool if FULL_LIMIT.possible(c)]
    start = time.perf_counter()
    full = choose(small, FULL_LIMIT, targets, fresh=True, everything=True)
    took = time.perf_counter() - start
    print(f"measuring {sum(c.is_measured for c in full.candidates)} networks: {took:.0f} s")
    known = {c.key: c for c in full.candidates}
    for name, budget in BUDGETS.items():
        seconds, outcome = quick[name]
        pick = outcome.decision.pick
        best = choose(list(known.values()), budget, targets).decision.pick
        assert pick is not None
        assert best is not None
        worse = pick.top1 < best.top1 and not tied(pick, best)
        verdict = "WORSE" if worse else "the same" if pick.key == best.key else "tied, or better"
        measured = sum(c.is_measured for c in outcome.candidates)
        print(f"{name}: {seconds:.1f} s, {measured} measured, {took / seconds:.1f} x faster; {verdict}")
        for c in (pick, best):
            print(f"    {c.key}: {c.top1:.1f} %, {c.latency_ms:.2f} ms")


if __name__ == "__main__":
    main()
