"""Real weights of a network that is no expression: from the cache of a hub, through the code that a download takes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from netlathe.lower.twins import pretrained_timm


def test_the_wheel_of_lite0_is_what_timm_expects_of_its_hub(timm: ModuleType, lite0_cache: Path) -> None:
    module, config = pretrained_timm("tf_efficientnet_lite0.in1k")
    assert (config["mean"], config["std"], config["license"]) == ((0.5,) * 3, (0.5,) * 3, "apache-2.0")
    # Statistics that training left, not those of a fresh network, in the last norm of each stage.
    assert all(bool(stage[-1].state_dict()["bn2.running_mean"].abs().max() > 0.1) for stage in module.blocks)
