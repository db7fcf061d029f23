"""How fast a built torch module is counted, against fvcore and FlopCounterMode: python benchmarks/bench_read.py

Peers count the same module in turns; times are minima of several runs, for the machine is shared. fvcore and
FlopCounterMode run the forward with real tensors, as their users do; FlopCounterMode is shown on meta tensors as well.
What they find is printed too: speed is no use where attention is lost.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from fvcore.nn import FlopCountAnalysis
from peers import load_timm
from torch.utils.flop_counter import FlopCounterMode

from netlathe.cost.count import count
from netlathe.read.torch import read_module

TARGETS = {"resnet50": 100, "vit_base_patch16_224": 150, "convnext_tiny": None, "swin_tiny_patch4_window7_224": None}
IMAGE = (3, 224, 224)
ROUNDS = 7


def ours(module: Any, _: Any) -> int:
    return count(read_module(module, IMAGE).graph).macs


def fvcore(module: Any, _: Any) -> int:
    return int(FlopCountAnalysis(module, torch.zeros(1, *IMAGE)).unsupported_ops_warnings(False).total())


def flop_counter(module: Any, _: Any) -> int:
    with FlopCounterMode(display=False) as mode:
        module(torch.zeros(1, *IMAGE))
    return mode.get_total_flops() // 2


def flop_counter_meta(_: Any, twin: Any) -> int:
    with FlopCounterMode(display=False) as mode:
        twin(torch.zeros(1, *IMAGE, device="meta"))
    return mode.get_total_flops() // 2


PEERS: dict[str, Callable[[Any, Any], int]] = {
    "netlathe": ours,
    "fvcore": fvcore,
    "FlopCounterMode": flop_counter,
    "FlopCounterMode, meta": flop_counter_meta,
}


def main() -> None:
    torch.set_num_threads(1)
    timm = load_timm()
    for name, target in TARGETS.items():
        module = timm.create_model(name).eval()
        with torch.device("meta"):
            twin = timm.create_model(name).eval()
        best = dict.fromkeys(PEERS, float("inf"))
        found = dict.fromkeys(PEERS, 0)
        with torch.no_grad():
            for _ in range(ROUNDS):
                for peer, work in PEERS.items():
                    start = time.perf_counter()
                    found[peer] = work(module, twin)
                    best[peer] = min(best[peer], (time.perf_counter() - start) * 1e3)
        print(f"{name}" + f" (target {target} ms)" * bool(target))
        for peer in PEERS:
            ratio = best[peer] / best["netlathe"]
            print(f"  {peer:<22} {best[peer]:8.1f} ms  x{ratio:<5.1f} {found[peer]:>15,} MACs")


if __name__ == "__main__":
    main()
