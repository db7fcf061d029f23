"""Compound scaling: how to spend more compute on one network.

EfficientNet      depth a^phi, width b^phi, resolution g^phi, with a b^2 g^2 ~ 2; Tan and Le 2019,
                  https://arxiv.org/abs/1905.11946, section 3.3: a = 1.2, b = 1.1, g = 1.15
fast (dWr)        the most to the width, s times the MACs: d = s^((1-x)/2), w = s^(x/2), r = s^((1-x)/4), x = 0.8;
                  Dollar et al. 2021, https://arxiv.org/abs/2103.06877, section 3: latency follows activations

MACs go with d w^2 r^2 and activations with d w r^2, so a doubling that goes to the width alone buys the fewest
activations. The released EfficientNets B1 to B7 are not the formula: `released` shows both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from math import log
from typing import NamedTuple

from netlathe.arch.network import Network
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError, unknown
from netlathe.reshape.knobs import KnobRules, turn_knobs

MOST_STEPS = 100  # of a grid, along each of its three axes

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15

# The shares of depth, width and resolution in a doubling of the MACs, by the names of Dollar et al.
POLICIES: dict[str, tuple[float, float, float]] = {
    "d": (1, 0, 0),
    "w": (0, 1, 0),
    "r": (0, 0, 1),
    "dw": (1 / 2, 1 / 2, 0),
    "dr": (1 / 2, 0, 1 / 2),
    "wr": (0, 1 / 2, 1 / 2),
    "dwr": (1 / 3, 1 / 3, 1 / 3),
    "dWr": (0.1, 0.8, 0.1),
}


class Factors(NamedTuple):
    """What depth, width and side of the image are multiplied with."""

    depth: float
    width: float
    resolution: float

    @property
    def macs(self) -> float:
        """d w^2 r^2: what the MACs become, but for rounding."""
        return self.depth * self.width**2 * self.resolution**2

    @property
    def acts(self) -> float:
        """d w r^2: what the activations become, but for rounding."""
        return self.depth * self.width * self.resolution**2


def compound(phi: float, alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA) -> Factors:
    """EfficientNet's rule, equation 3."""
    return Factors(alpha**phi, beta**phi, gamma**phi)


def policy_factors(name: str, times: float = 2) -> Factors:
    """The factors of a policy that multiply the MACs by `times`. Raises NetlatheError for an unknown name."""
    if name not in POLICIES:
        raise unknown("policy", name, POLICIES, code="compound.policy")
    depth, width, side = POLICIES[name]
    return Factors(times**depth, times ** (width / 2), times ** (side / 2))


def scale(network: Network, factors: Factors, multiple: int | None = None, depth_rounding: str = "up") -> Network:
    """The network with depth, width and resolution scaled, the side of the image to a multiple of pixels.

    Without a multiple it is rounded to a pixel, and where the network does not take that side (patches, halves that
    are joined again), to the nearest multiple of its total stride. Depth rounds up unless told otherwise, width by the
    10 % rule. A factor of 1 leaves its knob alone, so networks without it scale too.
    """
    values: dict[str, float] = {}
    if factors.depth != 1:
        values["depth"] = factors.depth
    if factors.width != 1:
        values["width"] = factors.width
    if factors.resolution != 1:
        side = network.input[-1] * factors.resolution
        values["resolution"] = snapped_side(network, side) if multiple is None else to_multiple(side, multiple)
    return turn_knobs(network, values, KnobRules(depth=depth_rounding))


def to_multiple(side: float, multiple: int) -> int:
    """The nearest multiple, at least one."""
    return max(1, round(side / multiple)) * multiple


def snapped_side(network: Network, side: float) -> int:
    """A side in pixels, or the nearest multiple of the total stride where the network does not take it."""
    pixels = max(1, round(side))
    try:
        network.at(pixels).graph()
    except NetlatheError:
        return to_multiple(side, total_stride(network))
    return pixels


def total_stride(network: Network) -> int:
    """How many pixels of a side one position of its smallest map stands for."""
    sides = [shape[1] for shape in network.graph().shapes if len(shape) == 3 and shape[1] > 1]
    return -(-network.input[-1] // min(sides)) if sides else 1


class ScalingCandidate(NamedTuple):
    """A point of the grid, its network, what it costs beside the start, and its score."""

    factors: Factors
    network: Network
    macs_ratio: float
    score: float


def grid(step: float = 0.05, times: float = 2, tolerance: float = 0.1, most: float = 2.0) -> Iterator[Factors]:
    """All (alpha, beta, gamma) from 1 in steps whose alpha beta^2 gamma^2 is `times`, within a relative tolerance."""
    if not 0 < (most - 1) / MOST_STEPS <= step:
        message = f"a grid from 1 to {most:g} in steps of {step:g} has no end, or none that could be waited for"
        raise NetlatheError(message, code="compound.grid", hint=f"at most {MOST_STEPS} steps")
    count = round((most - 1) / step)
    axis = [round(1 + step * i, 6) for i in range(count + 1)]
    for depth, width, side in product(axis, repeat=3):
        factors = Factors(depth, width, side)
        if abs(factors.macs / times - 1) <= tolerance:
            yield factors


def grid_search(
    network: Network,
    objective: Callable[[Network], float],
    *,
    step: float = 0.05,
    times: float = 2,
    tolerance: float = 0.1,
) -> list[ScalingCandidate]:
    """Score every point of the grid (higher is better), the best first: EfficientNet's first step, section 3.3.

    `objective` may train the network, read a table, or be any function. Points whose network, after rounding, is one
    seen before are scored once. Raises NetlatheError where no point has the cost asked for.
    """
    start = totals(network.body, network.input).macs
    candidates: list[ScalingCandidate] = []
    scores: dict[str, float] = {}
    for factors in grid(step, times, tolerance):
        scaled = scale(network, factors)
        ratio = totals(scaled.body, scaled.input).macs / start
        if scaled.key not in scores:
            scores[scaled.key] = objective(scaled)
        candidates.append(ScalingCandidate(factors, scaled, ratio, scores[scaled.key]))
    if not candidates:
        raise NetlatheError(
            f"no point of a grid of steps {step:g} multiplies the MACs by {times:g}",
            code="compound.grid",
            hint="take smaller steps or a larger tolerance",
        )
    return sorted(candidates, key=lambda candidate: -candidate.score)


class ReleasedModel(NamedTuple):
    """A released EfficientNet beside the formula: factors of both, MACs of both, phi that each factor implies."""

    name: str
    phi: int
    table: Factors
    formula: Factors
    table_macs: int
    formula_macs: int
    implied: tuple[float, float, float]


def released_models(start: Network, table: Mapping[str, tuple[float, float, int]]) -> list[ReleasedModel]:
    """B1 to B7 by table (width, depth, resolution) and by formula at phi = 1 ... 7."""
    rows = []
    for phi, (name, (width, depth, side)) in enumerate(table.items(), 1):
        by_table = Factors(depth, width, side / start.input[-1])
        by_formula = compound(phi)
        counts = [totals(net.body, net.input).macs for net in (scale(start, by_table), scale(start, by_formula))]
        implied = (log(depth) / log(ALPHA), log(width) / log(BETA), log(by_table.resolution) / log(GAMMA))
        rows.append(ReleasedModel(name, phi, by_table, by_formula, counts[0], counts[1], implied))
    return rows


class PolicyCosts(NamedTuple):
    """What a policy buys: counted ratios to the network at the start, and those of the latency where it is known."""

    policy: str
    network: Network
    macs: float
    params: float
    acts: float
    latency: float | None


def doubling(
    network: Network, times: float = 2, latency: Callable[[Network], float] | None = None
) -> list[PolicyCosts]:
    """What `times` the compute buys by every policy; `latency` predicts or measures milliseconds.

    Depths round to the nearest, because a stage of two blocks times 1.07 would otherwise become one of three.
    """
    start = totals(network.body, network.input)
    before = latency(network) if latency else None
    rows = []
    for name in POLICIES:
        scaled = replace(
            scale(network, policy_factors(name, times), depth_rounding="nearest"), name=f"{network.name}-{name}"
        )
        cost = totals(scaled.body, scaled.input)
        after = latency(scaled) / before if latency and before else None
        ratios = (cost.macs / start.macs, cost.params / start.params, cost.acts / start.acts)
        rows.append(PolicyCosts(name, scaled, *ratios, after))
    return rows
