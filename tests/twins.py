"""Small networks and their twins in timm."""

from __future__ import annotations

from typing import Any

from torch import nn

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.testing import randomise


def resnet(side: int = 64, **changes: Any) -> Network:
    return zoo.get("resnet18", resolution=side, **changes)


def timm_resnet(seed: int = 0, **options: Any) -> nn.Module:
    import timm

    module: nn.Module = timm.create_model("resnet18", **options)
    randomise(module, seed)
    return module
