"""Facts: everything that the page shows of a network on a device, read once with the functions of the command line.

A pure function of a network, a card and the state. A fresh network of 200 layers takes about 25 ms on one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from netlathe.arch.graph import Graph
from netlathe.arch.net import Net, rewritable
from netlathe.choose.budget import CHEAP, LIMITS, Budget, keeps, within_device
from netlathe.cost.count import BYTES, Cost, sum_costs
from netlathe.cost.memory import timeline
from netlathe.cost.table import CostRow, cost_rows
from netlathe.device import latency
from netlathe.device.card import DeviceCard
from netlathe.device.latency import LatencyPrediction
from netlathe.device.microcontroller import MicrocontrollerFit
from netlathe.device.roofline import Roofline
from netlathe.errors import NetlatheError
from netlathe.lab.knobs import TurnedNetwork, turn_to_legal
from netlathe.lab.running import target_named
from netlathe.lab.state import LabState
from netlathe.reshape.modernise import ladder
from netlathe.target.target import CostEstimate, Target, counted

GRAPHS = 64  # that the predictor may remember between moves
NAMES = {"latency": "latency", "memory": "memory", "size": "file size", "macs": "MACs"}  # of limits, in a sentence


class Use(NamedTuple):
    """One limit of the budget: what is used of it, what is allowed (None: nothing is), and whether it is kept."""

    name: str
    title: str  # in a sentence
    used: float | None  # None: not known on this device
    bound: float | None
    kept: bool
    text: str
    bound_text: str


@dataclass(frozen=True, slots=True)
class LabFacts:
    """The network as it is turned, and what was read from it on a device."""

    net: Net
    turned: TurnedNetwork | None
    graph: Graph
    target: Target
    cost: Cost
    stages: list[CostRow]
    prediction: LatencyPrediction | None
    roof: Roofline | None
    arena: list[tuple[str, int]]  # bytes held at every step
    estimate: CostEstimate
    uses: tuple[Use, ...]
    missing: tuple[str, ...]  # what the card does not know

    @property
    def fit(self) -> MicrocontrollerFit | None:
        """How it fits a microcontroller."""
        return self.estimate.fit

    @property
    def over(self) -> list[Use]:
        """The limits that are not kept, the worst first."""
        return sorted((u for u in self.uses if not u.kept), key=share_used, reverse=True)

    @property
    def binding(self) -> Use | None:
        """The limit that is fullest."""
        return max((u for u in self.uses if u.bound is not None), key=share_used, default=None)


def share_used(use: Use) -> float:
    """What is used over what is allowed; infinite where the use is not known."""
    if use.bound is None:
        return 0.0
    return float("inf") if use.used is None else use.used / use.bound


def modernised(net: Net, step: int | None) -> Net:
    """The network after so many steps of the ConvNeXt roadmap. Raises NetlatheError where there is none."""
    if step is None:
        return net
    network = rewritable(net)
    if network is None:
        raise NetlatheError(f"{net.name} has no expression to modernise", code="modernise.network")
    rungs = ladder(network)
    return rungs[min(step, len(rungs) - 1)].network


def read_facts(state: LabState, net: Net, card: DeviceCard) -> LabFacts:
    """Read everything once. Raises NetlatheError for knobs and settings that have no meaning."""
    net = modernised(net, state.step)
    turned, network = None, rewritable(net)
    if network is not None:
        turned = turn_to_legal(network, state.knobs)
        net = turned.network
    elif state.knobs:
        raise NetlatheError(f"{net.name} has no expression: it has no knobs", code="lab.no_knobs")
    target, graph = target_named(card, state.run, state.batch), net.graph()
    size = BYTES[target.precision]
    stages = cost_rows(graph, bytes_per_element=size, batch=state.batch)
    cost = sum_costs(row.cost for row in stages)
    arena = timeline(graph, "arena", size, state.batch)
    missing: list[str] = []
    prediction, roof = predict_or_note(net, target, missing), target.bound(net)
    if roof is None:
        missing.append(f"No roofline: the card of {card.id} has no {target.precision} peak or no bandwidth.")
    estimate = estimate_or_count(net, target)
    return LabFacts(
        net=net,
        turned=turned,
        graph=graph,
        target=target,
        cost=cost,
        stages=stages,
        prediction=prediction,
        roof=roof,
        arena=arena,
        estimate=estimate,
        uses=limit_uses(within_device(state.budget, target), estimate),
        missing=tuple(missing),
    )


def limit_uses(budget: Budget, estimate: CostEstimate) -> tuple[Use, ...]:
    """What is used of every limit, as `netlathe choose` judges it: latency at the upper end of its interval."""
    amount: dict[str, float | None] = {
        "macs": estimate.macs,
        "size": estimate.size_bytes,
        "memory": estimate.memory_bytes,
        "latency": estimate.forecast.high_ms if estimate.forecast else None,
    }
    uses = []
    for limit in (LIMITS[-1], *CHEAP):
        if limit.at_least:
            continue
        bound, used = budget.limit(limit), amount[limit.name]
        kept = bound is None or (used is not None and keeps(limit, used, bound))
        text = "not known" if used is None else limit.show(used)
        uses.append(
            Use(limit.name, NAMES[limit.name], used, bound, kept, text, "" if bound is None else limit.show(bound))
        )
    return tuple(uses)


def keeps_limits(state: LabState, net: Net, card: DeviceCard) -> bool:
    """Whether a network keeps every limit: of `facts`, what the limits need."""
    target = target_named(card, state.run, state.batch)
    uses = limit_uses(within_device(state.budget, target), estimate_or_count(net, target))
    return all(use.kept for use in uses)


def peak_of(line: list[tuple[str, int]]) -> int:
    """The peak of a timeline."""
    return max((held for _, held in line), default=0)


def predict_or_note(net: Net, target: Target, missing: list[str]) -> LatencyPrediction | None:
    """The latency operator by operator, or why there is none, noted in `missing`."""
    try:
        return target.predict(net)
    except NetlatheError as error:
        missing.append(f"No latency: {error.message}.")
        return None
    finally:
        forget_graphs()


def estimate_or_count(net: Net, target: Target) -> CostEstimate:
    """The costs of a network on a target; those that no device decides where the card does not allow a forecast."""
    try:
        return target.estimate(net)
    except NetlatheError:
        return counted(net, target.precision, target.batch)
    finally:
        forget_graphs()


def forget_graphs() -> None:
    """Let the predictor remember no more than some graphs."""
    while len(latency.MEMO) > GRAPHS:
        latency.MEMO.popitem(last=False)
