"""Why is a network slow on a device, and which change buys most?

The time of a network is divided by bound (compute, memory) and by kind of operator. Every change is then made, as a
rewrite of the expression or as another resolution, precision or batch, and its latency is forecast again: a gain is a
difference of two forecasts, not a rule of thumb. Changes of the network need training again; none is judged for
accuracy here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from netlathe.arch.combinators import Gate, Identity
from netlathe.arch.graph import Graph
from netlathe.arch.layers import Act, Conv, Linear
from netlathe.arch.net import Net, rewritable
from netlathe.arch.node import Node
from netlathe.arch.pools import GlobalPool
from netlathe.arch.rewrite import Rule, rewrite, walk
from netlathe.arch.rounding import ten_percent
from netlathe.device.card import Model
from netlathe.device.latency import WIDTH, LatencyPrediction, fused_work
from netlathe.device.workload import Workload, cost_of
from netlathe.errors import NetlatheError
from netlathe.target.target import Target, operators_of

COSTLY = ("silu", "gelu", "hardswish")  # activations with an exponential or a polynomial
LEAST = 0.01  # a change that gains less than this share of the time is not worth a line


class RunSetting(NamedTuple):
    """What is run, and how."""

    network: Net
    precision: str
    batch: int


@dataclass(frozen=True, slots=True)
class Improvement:
    """A change and what it buys: times and MACs of one image, before and after."""

    name: str
    retrain: bool  # the change alters what the network computes
    ms: float
    gain: float  # of the time, from 0 to 1
    macs: float  # after / before
    params: float  # after / before


@dataclass(frozen=True, slots=True)
class Explanation:
    """The latency, where it goes, and the changes that gain, the best first."""

    latency: LatencyPrediction
    by_bound: dict[str, float]  # ms
    by_kind: dict[str, float]
    changes: tuple[Improvement, ...]


class Ceiling(NamedTuple):
    """What a class of operators attains in a network, and the best of its operators alone, warm and cold."""

    kind: str
    unit: str
    here: float
    warm: float
    cold: float


def find_ceilings(work: Graph | Workload, latency: LatencyPrediction, model: Model, batch: int = 1) -> list[Ceiling]:
    """By class, the longest first: GFLOP/s where the class has MACs, else GB/s; classes without a row are left out."""
    macs: dict[str, int] = {}
    elements: dict[str, int] = {}
    for group, times in fused_work(work, model.runtime).counted():
        macs[group.class_] = macs.get(group.class_, 0) + times * group.macs * batch
        moved = (group.read + group.write) * batch + group.weights
        elements[group.class_] = elements.get(group.class_, 0) + times * moved
    attained = []
    for kind, ms in divide_time(latency, "kind").items():
        rows = [row for row in model.operators if row.of == kind]
        if rows and ms:
            compute = macs[kind] > 0
            rate = (2e3 * macs[kind] if compute else 1e3 * WIDTH[model.precision] * elements[kind]) / ms
            warm, cold = max(r.rate(r.warm_ms, compute) for r in rows), max(r.rate(r.cold_ms, compute) for r in rows)
            attained.append(Ceiling(kind, "GFLOP/s" if compute else "GB/s", rate / 1e9, warm / 1e9, cold / 1e9))
    return attained


def divide_time(latency: LatencyPrediction, what: str) -> dict[str, float]:
    """Milliseconds by `bound` or by `kind`, the longest first."""
    times: dict[str, float] = {}
    for row in latency.rows:
        name = row.bound if what == "bound" else row.class_
        times[name] = times.get(name, 0.0) + row.ms
    return dict(sorted(times.items(), key=lambda item: -item[1]))


def explain(network: Net, target: Target) -> Explanation:
    """The latency of a network on a target, then with every change that applies to it.

    Raises NetlatheError where the target allows no forecast.
    """
    before, cost, batch = target.predict(network), cost_of(operators_of(network)), target.batch
    changes = []
    for name, retrain, to in propose_changes(RunSetting(network, target.precision, batch), target.device.precisions):
        changed_target = target.at(to.precision, to.batch)
        try:
            if target.model is not None and changed_target.model is None:
                continue  # another basis: the difference would be that of the bases
            after = changed_target.predict(to.network)
        except NetlatheError:  # the changed shapes do not fit, or no forecast of it
            continue
        ms, now = after.total_ms / to.batch, cost_of(operators_of(to.network))
        gain = 1 - ms / (before.total_ms / batch)
        if gain >= LEAST:
            macs, params = ratio(now.macs, cost.macs), ratio(now.params, cost.params)
            changes.append(Improvement(name, retrain, ms, gain, macs, params))
    changes.sort(key=lambda change: change.ms)
    return Explanation(before, divide_time(before, "bound"), divide_time(before, "kind"), tuple(changes))


def ratio(after: int, before: int) -> float:
    """How much more there is than before; 1 where there was nothing."""
    return after / before if before else 1.0


def explain_untried(network: Net) -> tuple[str, ...]:
    """What to say of a network whose changes cannot be tried."""
    if rewritable(network):
        return ()
    return (f"{network.name} has no expression: changes that rewrite it are not tried, only its precision and batch",)


def propose_changes(now: RunSetting, precisions: Sequence[str]) -> Iterator[tuple[str, bool, RunSetting]]:
    """(name, whether training is needed again, what to run instead); rewrites are of expressions alone."""
    for precision in precisions:
        if precision in WIDTH and precision != now.precision and WIDTH[precision] <= WIDTH[now.precision]:
            yield f"run in {precision}", False, now._replace(precision=precision)
    if now.batch == 1:
        yield "8 images at a time", False, now._replace(batch=8)
    network = rewritable(now.network)
    if network is None:
        return
    if len(network.input) == 3 and network.input[1] > 64:
        size = (network.input[1] - 1) // 32 * 32
        yield f"images of {size} pixels", True, now._replace(network=network.at(size))
    for name, rule in REWRITES.items():
        try:
            body = rewrite(network.body, rule, name=name)
        except (NetlatheError, ValueError):  # it matches nothing here, or makes a node that cannot be
            continue
        yield name, True, now._replace(network=replace(network, body=body))
    narrower = narrow(network.body)
    if narrower is not None:
        yield "widths x 3/4", True, now._replace(network=replace(network, body=narrower))


def drop_gates(path: str, node: Node) -> Node | None:
    """x * f(pooled x) -> x."""
    pooled = isinstance(node, Gate) and any(isinstance(part, GlobalPool) for _, part in walk(node.body))
    return Identity() if pooled else None


def group_depthwise(path: str, node: Node) -> Node | None:
    """A depthwise convolution -> groups of 16 channels: 16 times its MACs, the same maps."""
    return replace(node, group_width=16) if isinstance(node, Conv) and node.group_width == 1 else None


def shrink_kernels(path: str, node: Node) -> Node | None:
    """A depthwise convolution of 5x5 or more -> 3x3."""
    large = isinstance(node, Conv) and node.group_width == 1 and node.kernel in (5, 7, 9, 11) and node.padding is None
    return replace(node, kernel=3) if isinstance(node, Conv) and large else None


def simplify_activations(path: str, node: Node) -> Node | None:
    """silu, gelu, hardswish -> relu."""
    return Act("relu") if isinstance(node, Act) and node.function in COSTLY else None


REWRITES: dict[str, Rule] = {
    "no squeeze-excite": drop_gates,
    "groups of 16 for depthwise": group_depthwise,
    "3x3 for larger depthwise": shrink_kernels,
    "relu for costly activations": simplify_activations,
}


def narrow(body: Node) -> Node | None:
    """Every width of a convolution, and of a linear layer but the last, x 3/4 to a multiple of 8; None for no width."""
    wide = [path for path, node in walk(body) if isinstance(node, Conv | Linear) and isinstance(node.width, int)]

    def rule(path: str, node: Node) -> Node | None:
        if not isinstance(node, Conv | Linear) or not isinstance(node.width, int) or path == wide[-1]:
            return None
        return replace(node, width=ten_percent(0.75 * node.width))

    return rewrite(body, rule, name="narrow") if len(wide) > 1 else None
