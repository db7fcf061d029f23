"""How fast exact cost is, against timm with fvcore, in one run: python benchmarks/bench_cost.py

1. ResNet-50 from the registry, in process: with empty memos, as the first call of a process, and memoised.
2. Random staged networks a second on one core with the memo warm: build the expression and count it.
3. `netlathe cost resnet152` as a whole process against the same question through timm and fvcore.
Peers are interleaved; times are minima of several runs because the machine is shared. Ratios are what matters.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

from netlathe import zoo
from netlathe.arch import build
from netlathe.arch.build import head, seq, stage
from netlathe.arch.node import Node
from netlathe.cost.totals import totals
from netlathe.zoo import resnet
from netlathe.zoo.resnet import bottleneck, stem

IMAGE = (3, 224, 224)


def memos() -> list[Callable[[], None]]:
    """The clearing functions of every memo that the count of a ResNet touches."""
    functions = [value for module in (build, resnet) for value in vars(module).values()]
    return [totals.cache_clear, *(f.cache_clear for f in functions if hasattr(f, "cache_clear"))]


def timed(work: Callable[[], object], repeat: int, before: Callable[[], None] = lambda: None) -> float:
    """The shortest of several runs, in ms; `before` is not timed."""
    best = float("inf")
    for _ in range(repeat):
        before()
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def clear() -> None:
    for forget in memos():
        forget()


def resnet50() -> object:
    network = zoo.get("resnet50")
    return totals(network.body, network.input)


FIRST = """
import time
from netlathe import zoo
from netlathe.cost.totals import totals
zoo.names()
start = time.perf_counter()
network = zoo.get("resnet50")
totals(network.body, network.input)
print((time.perf_counter() - start) * 1e3)
"""

PEER = """
import sys, warnings, logging
warnings.filterwarnings("ignore"); logging.disable(logging.CRITICAL)
from netlathe.lower.libraries import declare_torchvision_operators
declare_torchvision_operators()
import torch, timm
from fvcore.nn import FlopCountAnalysis
model = timm.create_model(sys.argv[1]).eval()
with torch.no_grad():
    print(FlopCountAnalysis(model, torch.zeros(1, 3, 224, 224)).total(), sum(p.numel() for p in model.parameters()))
"""


def output(*command: str) -> str:
    """What a process prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run(*command: str) -> float:
    """Wall seconds of a process that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parent.parent)
    return time.perf_counter() - start


def random_network(rng: random.Random) -> Node:
    """A ResNet of four stages with free widths and depths."""
    widths = [16 * rng.randint(1, 32) for _ in range(4)]
    stages = {
        f"stage{i}": stage(bottleneck(4 * w, w), rng.randint(1, 9), first=bottleneck(4 * w, w, 2))
        for i, w in enumerate(widths, 1)
    }
    return seq(stem=stem(), **stages, head=head(1000))


def score(count: int, seed: int) -> float:
    """Networks built and counted a second; all of them new."""
    rng = random.Random(seed)
    start = time.perf_counter()
    for _ in range(count):
        totals(random_network(rng), IMAGE)
    return count / (time.perf_counter() - start)


def main() -> None:
    resnet50()
    cold = timed(resnet50, 30, clear)
    first = median(float(output(sys.executable, "-c", FIRST)) for _ in range(9))
    warm = timed(lambda: [resnet50() for _ in range(100)], 10) / 100
    score(60_000, 0)
    rates = sorted(score(20_000, seed) for seed in range(1, 6))
    script = Path(sys.executable).with_name("netlathe")
    ours, peer = [], []
    for _ in range(5):
        ours.append(run(str(script), "cost", "resnet152"))
        peer.append(run(sys.executable, "-c", PEER, "resnet152"))
    ratio = min(peer) / min(ours)
    print(f"ResNet-50, cold memo         {cold:8.3f} ms  (target 1)")
    print(f"ResNet-50, first call        {first:8.3f} ms  (a fresh process, imports done)")
    print(f"ResNet-50, memoised          {warm * 1e3:8.1f} us  (target 50)")
    print(f"random staged networks       {median(rates):8.0f} /s  (target 25,000; {rates[0]:.0f} to {rates[-1]:.0f})")
    print(f"netlathe cost resnet152      {min(ours):8.3f} s   (target 0.4; median {median(ours):.3f})")
    print(f"timm + fvcore, the same      {min(peer):8.3f} s   (median {median(peer):.3f})")
    print(f"ratio, minima                {ratio:8.1f} x   (target 20; of medians {median(peer) / median(ours):.1f})")


if __name__ == "__main__":
    main()
