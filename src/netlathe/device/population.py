"""What measured devices have in common, so that a few networks tell the speed of the next one.

    log t = log sum_k exp(theta_k) x_k + noise,   theta ~ Normal(mean, covariance) over the devices of a population

x_k are sums of quantities of a network (`PARTS`: what one kind of kernel computes or moves), and theta is the hidden
vector of a device: the logarithms of its speeds. Devices differ a hundredfold in level but little in the ratios of
their speeds, so the prior holds nearly one dimension loosely and the others tightly, and ten networks fix it. It is
the hierarchical form of what HELP (https://arxiv.org/abs/2106.08630) and LitePred (NSDI 2024) learn with networks.
`benchmarks/derive_cards.py` estimates the populations by expectation-maximisation from public tables; sources and
licences are in populations.json.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from netlathe.device.features import QUANTITIES, FeatureRow, coefficient

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

START = "run"  # the class of what a run costs once, whatever the network: a quantity of 1, `run.calls`
ANY = "*"  # a class that no part names


def moved(classes: str) -> tuple[str, ...]:
    """Elements read and written by classes of operators."""
    return tuple(f"{class_}.{quantity}" for class_ in classes.split() for quantity in ("read", "write"))


# Quantities that share a speed: each part of the hidden vector, and the features whose sum it multiplies.
PARTS: dict[str, tuple[str, ...]] = {
    "dense": ("dense.macs", "patches.macs"),
    "dense3": ("dense3.macs",),
    "pointwise": ("pointwise.macs", f"{ANY}.macs"),
    "linear": ("linear.macs", "attention.macs", "matmul.macs", "vector.macs", "stream.macs"),
    "grouped": ("grouped.macs",),
    "depthwise": ("depthwise3.macs", "depthwise5.macs"),
    "depthwise7": ("depthwise7.macs",),
    "stem": ("stem.macs",),
    "vector": ("stream.weights", "vector.weights"),
    "weights": tuple(f"{c}.weights" for c in ("dense", "dense3", "pointwise", "grouped", "linear", "patches", ANY)),
    "maps": (*moved("dense dense3 pointwise stem linear depthwise3 depthwise5 depthwise7 patches"), "grouped.write"),
    "groups": ("grouped.read",),
    "passes": moved(f"elementwise act pool reduce move attention batchnorm transpose gather matmul upsample {ANY}"),
    "norm": moved("norm groupnorm softmax"),
    "localnorm": moved("localnorm"),
    "actexp": ("actexp.read",),
    "calls": (f"{ANY}.calls",),
    "start": (f"{START}.calls",),
}
PART_OF = {feature: i for i, features in enumerate(PARTS.values()) for feature in features}
SHARE = 0.03  # of the time of some measured network: a part that takes less is not measured
HEAVY = 4.0  # degrees of freedom of Student's noise: an odd measurement moves the fit less
STEPS = 30  # of Gauss and Newton


@dataclass(frozen=True, slots=True)
class Population:
    """Devices that were measured alike: the prior of the hidden vector of one more, and the noise of a measurement."""

    name: str
    runtimes: Sequence[str]
    mean: Sequence[float]
    covariance: Sequence[Sequence[float]]
    noise: float  # standard deviation of log time
    devices: int
    source: str


def part_of(feature: str) -> int:
    """The place of the part that a feature belongs to; a class that none names takes the part of any class."""
    if feature in PART_OF:
        return PART_OF[feature]
    return PART_OF[f"{ANY}.{feature.rpartition('.')[2]}"]


def amounts(rows: Sequence[FeatureRow]) -> Array:
    """(networks, parts): the quantities of networks by part."""
    import numpy as np

    x = np.zeros((len(rows), len(PARTS)))
    for i, row in enumerate(rows):
        for name, value in row.items():
            x[i, part_of(name)] += value
    x[:, PART_OF[f"{START}.calls"]] = 1.0
    return x


def coefficients(parts: Sequence[float]) -> dict[str, float]:
    """The coefficients of a latency model by feature, of those by part: ms a GMAC, a million elements, a call."""
    return {feature: parts[part_of(feature)] for feature in features()}


@cache
def features() -> tuple[str, ...]:
    """Every quantity of every class that a part names, and of any other class."""
    classes = sorted({feature.rpartition(".")[0] for feature in PART_OF} - {START})
    return (*(f"{class_}.{quantity}" for class_ in classes for quantity in QUANTITIES), f"{START}.calls")


def unseen_parts(parts: Sequence[float], x: Array) -> tuple[str, ...]:
    """The parts that take less than SHARE of the time of every one of these networks: nothing measured tells them."""
    import numpy as np

    times = np.asarray(parts) * x
    shares = (times / times.sum(1)[:, None]).max(0)
    return tuple(name for name, share in zip(PARTS, shares, strict=True) if share < SHARE)


def shares_of(row: FeatureRow, table: Mapping[str, float]) -> dict[str, float]:
    """The share of the time of a network that each part takes, by the coefficients of a model."""
    names, times = list(PARTS), dict.fromkeys(PARTS, 0.0)
    for feature, value in row.items():
        times[names[part_of(feature)]] += value * coefficient(feature, table)
    whole = sum(times.values()) + table.get(f"{START}.calls", 0.0)
    return {name: ms / whole for name, ms in times.items()}


def posterior(population: Population, x: Array, ms: Sequence[float]) -> Array:
    """The hidden vector of a device whose networks have these amounts and took so long: the mode, by Gauss and Newton.

    Student's noise: a measurement far off loses its weight.
    """
    import numpy as np

    y, mean = np.log(np.asarray(ms, float)), np.asarray(population.mean, float)
    precision = np.linalg.inv(np.asarray(population.covariance, float))
    variance = population.noise**2
    theta = mean.copy()
    for _ in range(STEPS):
        parts = np.exp(theta) * x
        whole = parts.sum(1)
        slope, off = parts / whole[:, None], y - np.log(whole)
        weight = (HEAVY + 1) / (HEAVY + off**2 / variance) / variance
        curve = (slope * weight[:, None]).T @ slope + precision
        step = np.linalg.solve(curve, slope.T @ (weight * off) - precision @ (theta - mean)).clip(-1, 1)
        theta = theta + step
        if abs(step).max() < 1e-4:
            break
    return theta


def left_out(
    population: Population, x: Array, ms: Sequence[float], groups: Sequence[Hashable] | None = None
) -> list[float]:
    """The prediction of every network from those of other groups, in ms; without groups each is its own."""
    import numpy as np

    groups = groups or range(len(x))
    predictions = [0.0] * len(x)
    for group in dict.fromkeys(groups):
        own = [i for i, other in enumerate(groups) if other == group]
        others = [i for i, other in enumerate(groups) if other != group]
        theta = posterior(population, x[others], [ms[i] for i in others])
        for i in own:
            predictions[i] = float((np.exp(theta) * x[i]).sum())
    return predictions


@cache
def populations() -> tuple[Population, ...]:
    """Those of populations.json."""
    text = Path(__file__).with_name("populations.json").read_text(encoding="utf-8")
    return tuple(Population(**row) for row in json.loads(text)["populations"])


def priors_for(runtime: str) -> list[Population]:
    """The population that was measured under a runtime, else all."""
    own = [population for population in populations() if runtime in population.runtimes]
    return own or list(populations())
