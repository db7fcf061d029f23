"""Does `search compare` say what is known, as often as it should? python benchmarks/bench_search_compare.py [runs]

NAS-Bench-Macro, a search sees one training of each network. A pool of 2,000 runs of each strategy is made once; whole
comparisons are then drawn from it, 400 times, with 5 to 50 runs. Two protocols: `reference` draws at random
with replacement, and a repeated network costs an evaluation; `default` is what the command does (random draws without
replacement, a repeat costs nothing).
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from netlathe.search.compare import Comparison, compare_strategies
from netlathe.search.compare.benchmark_table import BenchmarkTable
from netlathe.search.compare.load import load_table
from netlathe.search.compare.simulate import BILLED, FREE
from netlathe.search.compare.verdict import compare_pairs
from netlathe.search.strategy import get_strategy
from netlathe.stats.intervals import bootstrap_mean
from netlathe.stats.power import runs_needed

TABLE = Path(__file__).parent.parent.parent / "shared" / "data" / "nas_bench_macro" / "nas_bench_macro.npz"
POOL, REPEATS, EVALUATIONS, MARGIN = 2_000, 400, 200, 0.1
# Computed by a script of its own: interval of the mean regret at 100 evaluations (300 runs), curse at 200 (2,000)
BANDS = {"random": (0.374, 0.424), "evolution": (0.238, 0.277)}
CURSES = {"random": 0.22, "evolution": 0.39}
NEEDED = {50: 101, 100: 33, 200: 29}


def pool(on: BenchmarkTable, repeats: str, runs: int) -> Comparison:
    options = {"random": {"replacement": repeats == BILLED}, "evolution": {}}
    makers = {
        name: lambda rng, budget, name=name, more=more: get_strategy(name)(on.space, rng, evaluations=budget, **more)
        for name, more in options.items()
    }
    return compare_strategies(on, makers, evaluations=EVALUATIONS, runs=runs, noisy=True, repeats=repeats, seed=8)


def verdicts(finals: dict[str, np.ndarray], runs: int, rng: np.random.Generator) -> Counter[str]:
    """Of evolution against random, over comparisons of so many runs drawn from the pool."""
    found: Counter[str] = Counter()
    for _ in range(REPEATS):
        drawn = rng.choice(len(finals["random"]), runs, replace=False)
        arms = {name: finals[name][drawn] for name in ("evolution", "random")}
        found[compare_pairs(arms, margin=MARGIN, rng=rng)[0].verdict] += 1
    return found


def show(name: str, found: Comparison) -> None:
    print(f"\n{name}: {found.runs:,} runs")
    print("  strategy    mean regret at 50   100 [interval]          200     SD at 100   curse at 200")
    for arm in found.arms.values():
        curves = np.stack([trace.regret for trace in arm.traces])
        low, high = bootstrap_mean(curves[:, [99]], np.random.default_rng(0))
        known = BANDS.get(arm.name)
        band = (
            f"   stated {known[0]} to {known[1]}, curse {CURSES[arm.name]:+.2f}"
            if known and name == "reference"
            else ""
        )
        print(
            f"  {arm.name:<11} {arm.mean[49]:<18.3f} {arm.mean[99]:.3f} [{low[0]:.3f}, {high[0]:.3f}]   "
            f"{arm.mean[199]:.3f}   {curves[:, 99].std():.3f}       {arm.curse.mean:+.3f} +- "
            f"{1.96 * arm.curse.sd / found.runs**0.5:.3f}{band}"
        )
    rng = np.random.default_rng(1)
    for at in (50, 100, 200):
        finals = {n: np.array([trace.regret[at - 1] for trace in arm.traces]) for n, arm in found.arms.items()}
        gain = finals["random"] - finals["evolution"]
        correlation = np.corrcoef(finals["random"], finals["evolution"])[0, 1]
        needed = runs_needed(gain.mean(), gain.std(ddof=1))
        against = "the reference, unpaired: " if name == "reference" else "reference "
        print(
            f"  evolution against random at {at}: {gain.mean():.3f} +- {gain.std(ddof=1):.3f}, pairs correlate "
            f"{correlation:+.2f}, {needed} runs needed ({against}{NEEDED[at]})"
        )
        if at == 100:
            for runs in (5, 6, 10, 33, 50):
                counts = verdicts(finals, runs, rng)
                said = ", ".join(f"{verdict} {100 * n / REPEATS:.1f} %" for verdict, n in counts.most_common())
                print(f"    {runs:>3} runs, {REPEATS:,} comparisons: {said}")


def main() -> None:
    if not TABLE.exists():
        sys.exit(f"the table is absent: {TABLE}")
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else POOL
    start = time.perf_counter()
    on = load_table("macro", TABLE)
    for name, repeats in (("reference", BILLED), ("default", FREE)):
        show(name, pool(on, repeats, runs))
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
