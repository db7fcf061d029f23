"""What a trial costs beside its evaluation, at 1,000 trials of a table that answers in microseconds.

First ask and tell of every strategy alone; then a whole `netlathe search` (driver, cache, costs, SQLite store) against
Optuna's study on its SQLite storage, both in one process, in turn. CPU time (the machine is shared) and wall time.

    nice -n 5 python benchmarks/bench_search_overhead.py [--trials 1000]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other would count as work

import numpy as np

from netlathe.search import tables
from netlathe.search.compare.benchmark_table import BenchmarkTable
from netlathe.search.config import SearchConfig
from netlathe.search.objective import TableSpec, spec_to_json
from netlathe.search.run import search
from netlathe.search.strategy import STRATEGIES, TrialResult

FILE = Path(__file__).parents[1] / ".." / "shared" / "data" / "nas_bench_macro" / "nas_bench_macro.npz"


def timed(work):
    """CPU and wall milliseconds a trial."""
    cpu, wall = time.process_time(), time.perf_counter()
    done = work()
    return (time.process_time() - cpu) / done * 1e3, (time.perf_counter() - wall) / done * 1e3


def alone(name, ground, trials):
    """Ask and tell."""
    strategy = STRATEGIES[name](ground.space, np.random.default_rng(0), evaluations=trials)
    values = dict(zip(ground.genotypes, ground.values.tolist(), strict=True))

    def work():
        for done in range(trials):
            proposal = strategy.ask()
            if proposal is None:
                return done
            strategy.tell(proposal, TrialResult(values[proposal.genotype]))
        return trials

    return timed(work)


def searched(name, trials):
    """A whole search with its store."""
    with tempfile.TemporaryDirectory() as folder:
        wish = SearchConfig(
            space="macro",
            strategy=name,
            objective=spec_to_json(TableSpec(str(FILE.resolve()))),
            evaluations=trials,
            bill_repeats=True,
            final_seeds=0,
        )
        return timed(lambda: len(search(wish, Path(folder) / "search").trials))


def optuna_searched(sampler, ground, trials):
    """The same with Optuna's storage in SQLite."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    values = dict(zip(ground.genotypes, ground.values.tolist(), strict=True))
    names = [decision.name for decision in ground.space.decisions]

    def objective(trial):
        return values[tuple(trial.suggest_categorical(name, (0, 1, 2)) for name in names)]

    with tempfile.TemporaryDirectory() as folder:
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/optuna.db")
        study = optuna.create_study(direction="maximize", sampler=sampler, storage=storage)
        return timed(lambda: study.optimize(objective, n_trials=trials) or trials)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    table = tables.load_macro(FILE)
    ground = BenchmarkTable("macro", table.space, table.genotypes, table.scores)

    print(f"strategies alone, {trials} trials: ms a trial (CPU)")
    for name in STRATEGIES:
        if not name.startswith("optuna") and name not in ("halving", "hyperband", "asha"):
            print(f"  {name:20} {alone(name, ground, trials)[0]:8.3f}", flush=True)

    import optuna

    print(f"\nwhole searches with their store on disk, {trials} trials: ms a trial")
    print(f"  {'':32} {'CPU':>9} {'wall':>9}")
    ours = {name: searched(name, trials) for name in ("random", "evolution", "gp")}
    for name, (cpu, wall) in ours.items():
        print(f"  {'netlathe ' + name:32} {cpu:9.3f} {wall:9.3f}", flush=True)
    peers = {
        "random": optuna.samplers.RandomSampler(seed=0),
        "NSGA-II": optuna.samplers.NSGAIISampler(seed=0),
        "TPE": optuna.samplers.TPESampler(seed=0),
    }
    theirs = {}
    for name, sampler in peers.items():
        cpu, wall = theirs[name] = optuna_searched(sampler, ground, trials)
        print(f"  {'optuna ' + name + ', SQLite':32} {cpu:9.3f} {wall:9.3f}", flush=True)
    print("\nratios of CPU time (target 20)")
    for mine, peer in (("random", "random"), ("evolution", "NSGA-II"), ("gp", "TPE")):
        print(f"  optuna {peer} / netlathe {mine:12} {theirs[peer][0] / ours[mine][0]:6.1f} x")


if __name__ == "__main__":
    main()
