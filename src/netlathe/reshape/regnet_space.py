"""The design space of RegNet as a sampler, and the distribution that compares spaces.

Radosavovic et al. 2020, https://arxiv.org/abs/2003.13678: widths come from a quantised line (section 3.3), and a space
is judged by the empirical distribution of its samples' errors, not by its best network (section 3.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log
from random import Random

from netlathe.arch.network import Network
from netlathe.cost.totals import Totals, totals
from netlathe.errors import Infeasible, NetlatheError
from netlathe.zoo.regnet import regnet

MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class RegNetSpace:
    """Bounds of the five numbers (paper: d < 64, wa and w0 < 256, wm from 1.5 to 3) and of what a sample may cost.

    `macs` and `params` are (least, most) of one image at 224 pixels, None where anything goes.
    """

    depth: tuple[int, int] = (1, 63)
    slope: tuple[float, float] = (8, 256)
    width: tuple[int, int] = (8, 256)
    multiplier: tuple[float, float] = (1.5, 3.0)
    group_width: tuple[int, ...] = (1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64)
    excite: bool = False
    stages: int = 4
    macs: tuple[int, int] | None = None
    params: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("depth", "slope", "width", "multiplier"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise NetlatheError(
                    f"{name} must go from a positive number up, not {low} to {high}", code="regnet.space"
                )


def logarithmic(rng: Random, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return exp(rng.uniform(log(low), log(high)))


def draw(space: RegNetSpace, rng: Random) -> Network | str:
    """One sample, or the constraint that it broke."""
    depth = rng.randint(*space.depth)
    w0 = max(1, round(logarithmic(rng, *space.width) / MULTIPLE)) * MULTIPLE
    wa, wm = round(logarithmic(rng, *space.slope), 2), round(rng.uniform(*space.multiplier), 2)
    group = rng.choice(space.group_width)
    try:
        body = regnet(wa, w0, wm, depth, group, excite=space.excite)
    except ValueError:
        return "numbers without a network"
    stages = sum(name.startswith("stage") for name, _ in body.children())
    if stages != space.stages:
        return f"stages != {space.stages}"
    name = f"regnet{'y' if space.excite else 'x'}-wa{wa:g}-w{w0}-wm{wm:g}-d{depth}-g{group}"
    network = Network(name, body)
    try:
        cost = totals(network.body, network.input)
    except NetlatheError:
        return "group widths that do not divide"
    return first_broken_bound(space, cost) or network


def first_broken_bound(space: RegNetSpace, cost: Totals) -> str:
    """The first bound that a cost breaks; empty where it keeps all."""
    for name in ("macs", "params"):
        bounds, value = getattr(space, name), getattr(cost, name)
        if bounds and value < bounds[0]:
            return f"{name} < {bounds[0]}"
        if bounds and value > bounds[1]:
            return f"{name} > {bounds[1]}"
    return ""


def sample(space: RegNetSpace, count: int, seed: int = 0, tries: int = 10_000) -> list[Network]:
    """`count` different networks of the space, the same for the same seed.

    Raises Infeasible after `tries` draws in a row without a new one, with what they broke.
    """
    rng, networks = Random(seed), dict[str, Network]()
    why: Counter[str] = Counter()
    for _ in range(count):
        for _ in range(tries):
            got = draw(space, rng)
            if isinstance(got, Network) and got.key not in networks:
                networks[got.key] = got
                break
            why["seen before" if isinstance(got, Network) else got] += 1
        else:
            reasons = ", ".join(f"{reason} ({times})" for reason, times in why.most_common(4))
            raise Infeasible(
                f"{tries} draws gave no further network; {len(networks)} of {count} were found",
                code="regnet.sample",
                hint=f"what they broke: {reasons}; widen that bound",
            )
    return list(networks.values())


def dominates_everywhere(a: Iterable[float], b: Iterable[float]) -> bool:
    """Whether the distribution of `a` lies left of or on that of `b` everywhere: at no error has b the larger share."""
    first, second = sorted(a), sorted(b)

    def share(values: list[float], at: float) -> float:
        return sum(value <= at for value in values) / len(values)

    return all(share(first, at) >= share(second, at) for at in (*first, *second))
