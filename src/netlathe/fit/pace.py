"""How fast each candidate trains here, and which of them the time allows to race."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from netlathe.fit.race import Row, network_in, recipe_for
from netlathe.fit.rungs import rung_seconds
from netlathe.train import precision
from netlathe.train.recipe import Recipe

PROBE_SECONDS, PROBE_SHARE = 2.0, 0.005  # of a measurement: seconds, and of the whole time


def measure_pace(pool: Mapping[str, Row], recipe: Recipe, asked: str, seconds: float) -> dict[str, dict[str, Any]]:
    """By candidate the policy of precision of all its trainings, and training images a second under it.

    MACs do not say it: a narrow network on fine images waits for memory. Measured once, not in every training.
    `asked` is a policy for all of them, or auto; `seconds` are those of the whole fit.
    """
    pace = {}
    for name, row in pool.items():
        network = network_in(row)
        images = recipe_for(recipe, row).batch, *network.input
        probe = precision.measure_policies(network.module(), images, seconds=min(PROBE_SECONDS, PROBE_SHARE * seconds))
        policy = probe.policy if asked == "auto" else asked
        speed = probe.images_per_s.get(policy, min(probe.images_per_s.values()))
        pace[name] = {"policy": policy, "images_per_s": speed}
    return pace


def select_affordable(
    pace: Mapping[str, Mapping[str, Any]], search_s: float, images: int, asked: Collection[str] = ()
) -> list[str]:
    """The candidates that see all images at least once in their first rung; the slowest to train drops out first.

    Those that were `asked` for, with weights of their own, stay whatever their speed.
    """
    names = list(pace)
    while len(names) > 1 and (free := [name for name in names if name not in asked]):
        slowest = min(free, key=lambda name: float(pace[name]["images_per_s"]))
        if pace[slowest]["images_per_s"] * rung_seconds(search_s, len(names)) >= images:
            break
        names.remove(slowest)
    return names
