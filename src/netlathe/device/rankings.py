"""The three rankings of the lecture's hardware slide: by MACs, on a GPU, on a CPU, from cards and from measurements.

The slide ranks VGG, ResNet and MobileNet. Measurements are rankings.csv: rows of results/benchmark-infer-*.csv of
github.com/huggingface/pytorch-image-models @aa4b585 (Apache-2.0), images a second at 224 pixels. A card's row is the
roofline: least times without launch cost, so it shows what the hardware allows, not what a framework reaches.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from netlathe import zoo
from netlathe.cost.count import count
from netlathe.device.card import DeviceCard
from netlathe.device.roofline import roofline

NETWORKS = ("vgg16", "resnet50", "mobilenetv1")
TIED = 1.5  # the most between the fastest and the slowest of networks that are roughly tied
MUCH = 3.0  # the least that >> may mean


class Caption(NamedTuple):
    """What the slide says: the costliest first, with the steps between; `steps` empty says that all are tied."""

    text: str
    steps: tuple[str, ...]


CAPTIONS = {
    "MACs": Caption("VGG >> ResNet > MobileNet", (">>", ">")),
    "GPU": Caption("roughly tied", ()),
    "CPU": Caption("MobileNet << ResNet << VGG", (">>", ">>")),
}


@dataclass(frozen=True, slots=True)
class Ranking:
    """Costs of the three networks in the order of NETWORKS: MACs, or milliseconds an image."""

    what: str  # MACs, GPU, CPU
    source: str
    costs: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Costs over that of the cheapest kind of network, the last: how many times slower."""
        return tuple(cost / self.costs[-1] for cost in self.costs)

    @property
    def steps(self) -> tuple[float, ...]:
        """VGG over ResNet, ResNet over MobileNet."""
        return tuple(a / b for a, b in pairwise(self.costs))

    @property
    def verdict(self) -> str:
        """Whether the slide's caption holds here, and else why not."""
        steps = CAPTIONS[self.what].steps
        if not steps:
            apart = max(self.costs) / min(self.costs)
            return "holds" if apart <= TIED else f"does not hold: {apart:.1f} times apart"
        if any(step <= 1 for step in self.steps):
            return "does not hold: the order differs"
        weak = [step for step, sign in zip(self.steps, steps, strict=True) if sign == ">>" and step < MUCH]
        if weak:
            return f"caveat: a step of {min(weak):.1f} is not much"
        plain = [step for step, sign in zip(self.steps, steps, strict=True) if sign == ">"]
        strong = [step for step, sign in zip(self.steps, steps, strict=True) if sign == ">>"]
        if plain and max(plain) > min(strong):
            return f"caveat: the order holds, but the step marked > ({max(plain):.1f}) is above >> ({min(strong):.1f})"
        return "holds"


def by_macs() -> Ranking:
    """Counted."""
    return Ranking("MACs", "counted", tuple(float(count(zoo.get(name).graph()).macs) for name in NETWORKS))


def by_card(card: DeviceCard, *, precision: str, batch: int) -> Ranking:
    """Least times an image on a card."""
    times = tuple(roofline(zoo.get(n).graph(), card, precision=precision, batch=batch).ms / batch for n in NETWORKS)
    what = "GPU" if card.processor == "gpu" else "CPU"
    return Ranking(what, f"{card.id} roofline, {precision}, batch {batch}", times)


@cache
def measurements() -> tuple[Ranking, ...]:
    """timm's tables, a ranking each."""
    tables: dict[tuple[str, str], dict[str, float]] = {}
    with Path(__file__).with_name("rankings.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = f"{row['device']} measured, {row['precision']} {row['layout']}, batch {row['batch']}"
            tables.setdefault((row["processor"].upper(), name), {})[row["network"]] = 1e3 / float(
                row["images_per_second"]
            )
    return tuple(
        Ranking(what, name, tuple(times[network] for network in NETWORKS)) for (what, name), times in tables.items()
    )
