"""How well proxies rank cells that were never trained: python benchmarks/bench_proxies.py [CELLS]

Cells of NAS-Bench-201, drawn uniformly, against their accuracy after 12 epochs (../shared/data/nas_bench_201):
Kendall's tau-b with a 95 % bootstrap interval over cells, and the time a cell. Weights and images are of seed 0.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from netlathe.search import tables
from netlathe.search.proxies import PROXIES

FILE = Path(__file__).parents[2] / "shared" / "data" / "nas_bench_201" / "nas_bench_201.npz"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    sets = {name: tables.load_nb201(FILE, name, "test") for name in tables.DATASETS}
    table = sets["c10"]
    rows = np.random.default_rng(0).choice(len(table.genotypes), count, replace=False)
    networks = [table.space.decode(table.genotypes[row]) for row in rows]
    print(f"{count} cells" + " " * 20 + "".join(f"{name:>22}" for name in sets))
    for name, proxy in PROXIES.items():
        start = time.perf_counter()
        scores = np.array([proxy(network) for network in networks])
        seconds = (time.perf_counter() - start) / count
        scores[~np.isfinite(scores)] = np.finfo(float).min  # a network without gradients comes last
        cells = ""
        for data in sets.values():
            truth = data.mean[rows]
            tau = kendalltau(scores, truth).statistic
            draws = np.random.default_rng(1).integers(count, size=(500, count))
            low, high = np.nanquantile([kendalltau(scores[d], truth[d]).statistic for d in draws], (0.025, 0.975))
            cells += f"{tau:8.3f} [{low:5.2f}, {high:4.2f}]"
        print(f"{name:10} {seconds * 1e3:7.1f} ms a cell {cells}", flush=True)


if __name__ == "__main__":
    main()
