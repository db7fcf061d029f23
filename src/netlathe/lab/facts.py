"""Facts: everything that the page shows of a network on a device, read once with the functions of the command line.

A pure function of a network, a card and the state. A fresh network of 200 layers takes about 25 ms on one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

from netlathe.arch.graph import Graph
from netlathe.arch.network import Network
from netlathe.choose.budget import CHEAP, LIMITS, Budget, keeps
from netlathe.choose.place import MCU, Costs, costs, within_card
from netlathe.cost.count import BYTES, Cost, count, total
from netlathe.cost.memory import timeline
from netlathe.cost.table import CostRow, rows
from netlathe.device import latency, micro
from netlathe.device.card import Card
from netlathe.device.latency import Prediction, predict
from netlathe.device.roofline import Roofline, roofline
from netlathe.errors import NetlatheError
from netlathe.lab.dials import Turned, settled
from netlathe.lab.running import Run, run_of
from netlathe.lab.state import State
from netlathe.load import Net
from netlathe.read.found import Found
from netlathe.reshape.modernise import ladder

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
class Facts:
    """The network as it is turned, and what was read from it on a device."""

    net: Net
    turned: Turned | None
    graph: Graph
    card: Card
    run: Run
    batch: int
    cost: Cost
    stages: list[CostRow]
    prediction: Prediction | None
    roof: Roofline | None
    arena: list[tuple[str, int]]  # bytes held at every step
    fit: micro.Fit | None  # on a microcontroller
    uses: tuple[Use, ...]
    missing: tuple[str, ...]  # what the card does not know

    @property
    def over(self) -> list[Use]:
        """The limits that are not kept, the worst first."""
        return sorted((u for u in self.uses if not u.kept), key=share, reverse=True)

    @property
    def binding(self) -> Use | None:
        """The limit that is fullest."""
        return max((u for u in self.uses if u.bound is not None), key=share, default=None)


def share(use: Use) -> float:
    """What is used over what is allowed; infinite where the use is not known."""
    if use.bound is None:
        return 0.0
    return float("inf") if use.used is None else use.used / use.bound


def stepped(net: Net, step: int | None) -> Net:
    """The network after so many steps of the ConvNeXt roadmap. Raises NetlatheError where there is none."""
    if step is None:
        return net
    if isinstance(net, Found):
        raise NetlatheError("a network from an ONNX file has no expression to modernise", code="modernise.network")
    rungs = ladder(net)
    return rungs[min(step, len(rungs) - 1)].network


def facts(state: State, net: Net, card: Card) -> Facts:
    """Read everything once. Raises NetlatheError for knobs and settings that have no meaning."""
    net = stepped(net, state.step)
    turned = None
    if not isinstance(net, Found):
        turned = settled(net, state.knobs)
        net = turned.network
    elif state.knobs:
        raise NetlatheError(f"{net.name} was read from an ONNX file: it has no knobs", code="lab.no_knobs")
    run, graph = run_of(card, state.run), net.graph()
    size = BYTES[run.precision]
    stages = rows(graph, bytes_per_element=size, batch=state.batch)
    cost = total(row.cost for row in stages)
    arena = timeline(graph, "arena", size, state.batch)
    missing: list[str] = []
    prediction, roof = predicted(graph, card, run, state.batch, missing), None
    try:
        roof = roofline(graph, card, precision=run.precision, batch=state.batch)
    except NetlatheError as error:
        missing.append(f"No roofline: {error.message}.")
    fit = micro_fit(net, card, run)
    return Facts(
        net=net,
        turned=turned,
        graph=graph,
        card=card,
        run=run,
        batch=state.batch,
        cost=cost,
        stages=stages,
        prediction=prediction,
        roof=roof,
        arena=arena,
        fit=fit,
        uses=uses(within_card(state.budget, card), costs(cost, highest(arena), run.precision), prediction, fit),
        missing=tuple(missing),
    )


def uses(budget: Budget, counted: Costs, prediction: Prediction | None, fit: micro.Fit | None) -> tuple[Use, ...]:
    """What is used of every limit, as `netlathe choose` judges it: latency at the upper end of its interval."""
    amount: dict[str, float | None] = dict(zip(("macs", "size", "memory"), counted, strict=True))
    amount["latency"] = prediction.high_ms if prediction else None
    if fit is not None:
        amount["size"], amount["memory"] = fit.flash.high, fit.patched.peak if fit.patched else fit.sram.high
        amount["latency"] = fit.ms.high if fit.ms else None
    found = []
    for limit in (LIMITS[-1], *CHEAP):
        if limit.at_least:
            continue
        bound, used = budget.limit(limit), amount[limit.name]
        kept = bound is None or (used is not None and keeps(limit, used, bound))
        text = "not known" if used is None else limit.show(used)
        found.append(
            Use(limit.name, NAMES[limit.name], used, bound, kept, text, "" if bound is None else limit.show(bound))
        )
    return tuple(found)


def kept(state: State, net: Net, card: Card) -> bool:
    """Whether a network keeps every limit: of `facts`, what the limits need."""
    run, graph = run_of(card, state.run), net.graph()
    prediction, fit = predicted(graph, card, run, state.batch), micro_fit(net, card, run)
    arena = highest(timeline(graph, "arena", BYTES[run.precision], state.batch))
    counted = costs(count(graph), arena, run.precision)
    return all(use.kept for use in uses(within_card(state.budget, card), counted, prediction, fit))


def highest(line: list[tuple[str, int]]) -> int:
    """The peak of a timeline."""
    return max((held for _, held in line), default=0)


def predicted(graph: Graph, card: Card, run: Run, batch: int, missing: list[str] | None = None) -> Prediction | None:
    """The latency, or why there is none, noted in `missing`."""
    try:
        return predict(graph, card, runtime=run.runtime, threads=run.threads, precision=run.precision, batch=batch)
    except NetlatheError as error:
        (missing if missing is not None else []).append(f"No latency: {error.message}.")
        return None
    finally:
        while len(latency.MEMO) > GRAPHS:
            latency.MEMO.popitem(last=False)


def micro_fit(net: Net, card: Card, run: Run) -> micro.Fit | None:
    """The fit on a microcontroller; it asks for the name, input and graph that both kinds of network have."""
    return micro.fit(cast(Network, net), card, runtime=run.runtime) if card.class_ == MCU else None
