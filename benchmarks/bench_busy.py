"""Does `choose` answer on a busy machine what it answers on a quiet one?

    python benchmarks/bench_busy.py            about 20 minutes
    python benchmarks/bench_busy.py --loads 0 4 --budgets 2

With 0, 1, 2 and 4 endless processes beside it, each time in an empty cache (so it is calibrated under that load too),
six budgets are asked for. Printed: the pick, its accuracy less that of the quiet pick, and the time over the quiet one.
The bound: within 0.5 points in all, at most 4 times as long. Exit 1 where it is not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BUDGETS = (
    "--latency 15ms --memory 64MB --size 32MB --macs 1G",
    "--latency 3ms",
    "--latency 6ms --size 20MB",
    "--latency 10ms",
    "--latency 30ms --memory 100MB",
    "--latency 80ms",
)
POINTS, TIMES = 0.5, 4.0


@contextmanager
def endless(count: int) -> Iterator[None]:
    """So many processes that never rest."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def pick(budget: str, cache: str) -> tuple[dict[str, Any], float]:
    """The pick for a budget, and the seconds that it took."""
    words = [sys.executable, "-m", "netlathe", "choose", *budget.split(), "--json"]
    start = time.perf_counter()
    done = subprocess.run(words, env=os.environ | {"NETLATHE_CACHE": cache}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr or done.stdout}")
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data["pick"], time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, nargs="*", default=[0, 1, 2, 4])
    parser.add_argument("--budgets", type=int, default=len(BUDGETS))
    args = parser.parse_args()
    quiet: dict[str, float] = {}
    seconds: dict[int, float] = {}
    worst = 0.0
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before the first choice")
    for load in args.loads:
        seconds[load] = 0.0
        with endless(load), tempfile.TemporaryDirectory() as cache:
            for budget in BUDGETS[: args.budgets]:
                chosen, took = pick(budget, cache)
                seconds[load] += took
                top1 = quiet.setdefault(budget, chosen["top1"])
                worst = max(worst, abs(chosen["top1"] - top1))
                m = chosen["latency"]
                ends = f"{m['quiet_low_ms']:.2f} to {m['quiet_high_ms']:.2f}"
                times = f"quiet {m['quiet_ms']:.2f} ({ends}), loaded {m['median_ms']:.2f} ms"
                name = f"{chosen['name']}@{chosen['resolution']}"
                print(
                    f"{load} beside  {budget:51} {name:25} {chosen['top1'] - top1:+5.1f} points  {times}  {took:.0f} s",
                    flush=True,
                )
    slowest = max(seconds.values()) / seconds[args.loads[0]]
    print(f"largest difference {worst:.1f} points (bound {POINTS}); time {slowest:.1f} times (bound {TIMES:g})")
    if worst > POINTS or slowest > TIMES:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
