"""Our torch modules against timm's: python benchmarks/bench_torch.py [--last] [eager compiled train] [names]

Batch 8 at 224x224, float32, one thread: inference, the same after torch.compile, and a training step (forward, loss,
backward, SGD with momentum). A ratio above 1 says that ours is faster; the target is 0.98. `--last`: channels last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from peers import duel, load_timm
from torch import nn

from netlathe import zoo
from netlathe.lower.torch import to_torch

TWINS = {"resnet50": "resnet50", "mobilenetv2": "mobilenetv2_100", "convnext_tiny": "convnext_tiny"}
BATCH = 8


def inference(module: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """One forward."""
    module.eval()

    def step() -> object:
        with torch.inference_mode():
            return module(x)

    return step


def compiled(module: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """One forward of what Inductor makes of it."""
    return inference(torch.compile(module), x)


def training(module: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """One step."""
    module.train()
    optimiser = torch.optim.SGD(module.parameters(), lr=1e-4, momentum=0.9)
    classes = torch.arange(len(x))

    def step() -> object:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(module(x), classes)
        loss.backward()
        optimiser.step()
        return loss

    return step


MODES: dict[str, tuple[Callable[..., Callable[[], object]], float]] = {
    "eager": (inference, 30),
    "compiled": (compiled, 30),
    "train": (training, 60),
}


def main() -> None:
    timm = load_timm()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    words = sys.argv[1:]
    layout: Any = torch.channels_last if "--last" in words else torch.contiguous_format
    x = torch.randn(BATCH, 3, 224, 224).to(memory_format=layout)
    print("ms a batch                    ours       timm     ratio (target 0.98)")
    for mode in [word for word in words if word in MODES] or MODES:
        make, seconds = MODES[mode]
        for name in [word for word in words if word in TWINS] or TWINS:
            ours = to_torch(zoo.get(name), init="he").to(memory_format=layout)
            theirs = timm.create_model(TWINS[name]).to(memory_format=layout)
            result = duel(make(ours, x), make(theirs, x), seconds)
            print(f"{mode:9} {name:16} {result.ours:8.0f}   {result.theirs:8.0f}    {result.ratio:6.3f}", flush=True)
            torch.compiler.reset()


if __name__ == "__main__":
    main()
