"""How fast an optimiser's step is: python benchmarks/bench_optim.py

The optimisers of the recipes against torch's defaults (SGD, AdamW) and timm's (RMSprop as in TensorFlow, LAMB), on the
same network and gradients, in turns, with one thread. A ratio is the median over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peers import duel, load_timm
from torch import nn

from netlathe import zoo
from netlathe.lower.torch import to_torch
from netlathe.train.optim import build_optimiser, parameter_groups
from netlathe.train.recipefile import load

NETWORKS = ("resnet18", "mobilenetv2", "convnext_atto")
RECIPES = ("torchvision-v1", "convnext", "efficientnet-2019", "rsb-a2")
SECONDS = 1.5


def peer(optim: Any, module: nn.Module, name: str) -> tuple[str, torch.optim.Optimizer]:
    """What a training script would build for the optimiser of a recipe."""
    optimiser = load(name).optimiser
    parts = [
        {k: group[k] for k in ("params", "lr", "weight_decay")} for group in parameter_groups(module, optimiser, 256)
    ]
    given: dict[str, Callable[[], Any]] = {
        "sgd": lambda: torch.optim.SGD(parts, momentum=optimiser.momentum),
        "adamw": lambda: torch.optim.AdamW(parts),
        "rmsprop": lambda: optim.RMSpropTF(parts, momentum=optimiser.momentum, eps=optimiser.eps),
        "lamb": lambda: optim.Lamb(parts, max_grad_norm=None),
    }
    return ("torch" if optimiser.name in ("sgd", "adamw") else "timm"), given[optimiser.name]()


def main() -> None:
    torch.set_num_threads(1)
    load_timm()
    from timm import optim

    print(f"{'network':15}{'optimiser':12}{'ours':>9}{'peer':>9}     ratio")
    for network in NETWORKS:
        module = to_torch(zoo.get(network)).to(memory_format=torch.channels_last)
        for weight in module.parameters():
            weight.grad = torch.randn_like(weight)
        for name in RECIPES:
            ours = build_optimiser(module, load(name).optimiser, 256)
            who, theirs = peer(optim, module, name)
            ratio = duel(ours.step, theirs.step, SECONDS)
            kind = load(name).optimiser.name
            print(f"{network:15}{kind:12}{ratio.ours:6.1f} ms{ratio.theirs:6.1f} ms {ratio.ratio:6.1f} x {who}'s")


if __name__ == "__main__":
    main()
