"""Strategies on NAS-Bench-Macro without noise: mean regret at 50, 100, 200 evaluations; ours against the others.

Every network has the mean of its three trainings as score; regret is the best mean (93.127) minus the incumbent's.
Repeats are billed to whoever asks them. Run r of every strategy has the seed (2026, r). Then within 50 M MACs, and on
NAS-Bench-201 (validation after 12 epochs). Needs ../shared/data (nas_bench_macro, nas_bench_201).

    nice -n 5 python benchmarks/bench_search_macro.py [--runs 300] [--optuna-runs 40] [--keep curves.json]

`--keep`: curves are written there as they come, and a run that was cut off goes on from them.
"""

import argparse
import json
import time
from functools import partial
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netlathe.search import tables
from netlathe.search.compare.benchmark_table import BenchmarkTable
from netlathe.search.compare.simulate import BILLED, simulate
from netlathe.search.strategy import STRATEGIES, TrialResult
from netlathe.stats.estimates import holm
from netlathe.stats.intervals import bootstrap_mean
from netlathe.stats.permutation import sign_flip_p_value

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
SEED, AT = 2026, (50, 100, 200)
OURS = "gp"


class Arm(NamedTuple):
    name: str
    runs: int
    options: dict = {}  # noqa: RUF012  never changed

    @property
    def label(self):
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])


def curves(ground, arm, keep):
    """Regret [run, evaluation] of an arm and CPU milliseconds a trial; runs that the file has are not played again."""
    store = json.loads(keep.read_text()) if keep and keep.exists() else {}
    kept = store.setdefault(f"{ground.name}: {arm.label}", {"regret": [], "seconds": 0.0})
    make = partial(STRATEGIES[arm.name], ground.space, **arm.options)
    for run in range(len(kept["regret"]), arm.runs):
        start = time.process_time()
        trace = simulate(
            lambda rng, n: make(rng, evaluations=n),
            ground,
            ground.clean(),
            evaluations=AT[-1],
            rng=np.random.default_rng((SEED, run)),
            repeats=BILLED,
        )
        kept["seconds"] += time.process_time() - start
        kept["regret"].append(np.round(trace.regret, 4).tolist())
        if keep and (run + 1 == arm.runs or run % 10 == 9):
            keep.write_text(json.dumps(store))
    return np.array(kept["regret"][: arm.runs]), kept["seconds"] / len(kept["regret"]) / AT[-1] * 1e3


def table(ground, arms, keep):
    """Prints and returns the curves of all arms."""
    print(f"\n{ground.name}: mean regret in points [95 % bootstrap over runs]")
    print(f"{'strategy':38} runs  " + "".join(f"{f'{n} evaluations':24}" for n in AT) + "CPU/trial")
    found = {}
    for arm in arms:
        regret, ms = curves(ground, arm, keep)
        low, high = bootstrap_mean(regret, np.random.default_rng(SEED))
        cells = "".join(f"{regret[:, n - 1].mean():.3f} [{low[n - 1]:.3f}, {high[n - 1]:.3f}]    " for n in AT)
        print(f"{arm.label:38} {arm.runs:4}  {cells}{ms:6.3f} ms", flush=True)
        found[arm.label] = regret
    return found


def against(found, rivals):
    """Ours against each rival on the runs both have: paired sign flips, Holm over all of these tests."""
    rows = []
    for rival in rivals:
        n = min(len(found[OURS]), len(found[rival]))
        for at in AT:
            gain = found[rival][:n, at - 1] - found[OURS][:n, at - 1]
            rows.append((rival, at, n, gain.mean(), sign_flip_p_value(gain, np.random.default_rng(SEED))))
    corrected = holm([row[-1] for row in rows])
    print(f"\n{OURS} against each, paired runs; p of sign flips (9,999), Holm over {len(rows)} tests")
    for (rival, at, n, gain, _), p in zip(rows, corrected, strict=True):
        verdict = ("better" if gain > 0 else "worse") if p < 0.05 else "no difference shown"
        print(f"  {rival:38} {at:4} evaluations {n:4} runs  {gain:+.4f} points  p = {p:.4f}  {verdict}")


def constrained(table, name, most, runs, evaluations=200):
    """How often the best network within `most` MACs is found; what breaks the limit is told as -inf and not billed."""
    fits = table.feasible({"macs": most})
    best = max(score for score, fit in zip(table.mean, fits, strict=True) if fit)
    hits, spent = 0, []
    ground = BenchmarkTable("macro", table.space, table.genotypes, table.scores)
    for run in range(runs):
        strategy = STRATEGIES[name](ground.space, np.random.default_rng((SEED, run)), evaluations=evaluations)
        billed, asked = 0, 0
        while billed < evaluations and asked < 20 * evaluations:
            proposal = strategy.ask()
            if proposal is None:
                break
            asked += 1
            row = ground.rows[proposal.genotype]
            billed += bool(fits[row])
            strategy.tell(proposal, TrialResult(float(table.mean[row]) if fits[row] else -inf))
            if fits[row] and table.mean[row] == best:
                hits += 1
                spent.append(billed)
                break
    where = "".join(map(str, table.genotypes[int(np.flatnonzero((table.mean == best) & fits)[0])]))
    middle = f"median after {np.median(spent):.0f} evaluations" if spent else "never"
    print(f"  {name:20} optimum {best:.3f} ({where}) found in {hits} of {runs} runs, {middle}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--optuna-runs", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    said = parser.parse_args()
    few = min(said.runs, said.optuna_runs)
    full = tables.load_macro(DATA / "nas_bench_macro" / "nas_bench_macro.npz")
    macro = BenchmarkTable("NAS-Bench-Macro", full.space, full.genotypes, full.scores)
    optuna = [Arm(f"optuna-{name}", few) for name in ("random", "nsga2", "tpe")]
    arms = [
        Arm("random", said.runs),
        Arm("random", said.runs, {"replacement": True}),
        Arm("local", said.runs),
        Arm("evolution", said.runs),
        Arm("evolution", said.runs, {"unique": True}),
        Arm("evolution-elitist", said.runs),
        Arm(OURS, said.runs),
        *optuna,
        Arm("reinforce", said.runs),
        Arm("reinforce", said.runs, {"learning_rate": 0.01}),
        Arm("pareto", said.runs),
        Arm("controller", min(few, 10)),
        Arm("controller", min(few, 10), {"batch": 20, "learning_rate": 3.5e-4}),
    ]
    found = table(macro, arms, said.keep)
    print("\ntargets")
    for label, at, most in (
        ("evolution", 100, 0.063),
        ("evolution", 200, 0.011),
        ("random replacement=True", 100, 0.278),
    ):
        mean = found[label][:, at - 1].mean()
        print(f"  {label} at {at}: {mean:.3f}, target <= {most}: {'met' if mean <= most else 'MISSED'}")
    against(found, [*(arm.label for arm in optuna), "random", "local", "evolution"])

    print("\nNAS-Bench-Macro within 50 M MACs")
    for name in (OURS, "evolution", "local"):
        constrained(full, name, 50e6, min(said.runs, 50))

    for dataset in tables.DATASETS:
        one = tables.load_nb201(DATA / "nas_bench_201" / "nas_bench_201.npz", dataset, "val")
        ground = BenchmarkTable(f"NAS-Bench-201 {dataset}", one.space, one.genotypes, one.scores)
        names = (OURS, "local", "evolution", "random")
        rows = [Arm(name, min(said.runs, 50)) for name in names] + [Arm("optuna-tpe", min(few, 10))]
        against(table(ground, rows, said.keep), [row.label for row in rows[1:]])


if __name__ == "__main__":
    main()
