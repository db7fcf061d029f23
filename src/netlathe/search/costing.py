"""What a network of a search costs before anyone trains it, and the limits that it has to keep.

Exact counts and, where a latency is asked for, its forecast come first: they take milliseconds. A network that may keep
the limits is measured on this machine, and only one that keeps them is trained. Measurements of several workers wait
for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from netlathe.arch.network import Network
from netlathe.choose.budget import LIMITS, READ, Budget, Candidate, Limit, keeps
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.runfolder.lock import one_at_a_time
from netlathe.runtimes.registry import DEFAULT
from netlathe.search.trial import Costs
from netlathe.zoo.published import Figure

LIMITED = tuple(limit for limit in LIMITS if limit.name in READ)
LOW = "latency_low"  # the lower end of a latency: what is checked while it is only forecast
SECONDS = 0.5  # of one measurement


def limited_costs(budget: Budget) -> list[str]:
    """The names of the limits that a budget has, in the order in which strategies are told the costs."""
    return [limit.name for limit in LIMITED if budget.limit(limit) is not None]


def limit_use(costs: Costs, name: str, *, hopeful: bool) -> float:
    """What a network uses of a limit; of a forecast latency the lower end where `hopeful`.

    Raises NetlatheError for a cost that the objective does not know.
    """
    if hopeful and name == "latency" and LOW in costs:
        return costs[LOW]
    if name not in costs:
        names = ", ".join(cost for cost in costs if cost != LOW)
        raise NetlatheError(f"this objective knows no {name}; it knows {names}", code="search.limit")
    return costs[name]


def broken_limits(costs: Costs, budget: Budget, *, hopeful: bool) -> list[Limit]:
    """The limits that a network does not keep."""
    asked = ((limit, bound) for limit in LIMITED if (bound := budget.limit(limit)) is not None)
    return [limit for limit, bound in asked if not keeps(limit, limit_use(costs, limit.name, hopeful=hopeful), bound)]


def budget_excess(costs: Costs, budget: Budget, *, hopeful: bool) -> float:
    """The largest ratio between a use and its limit: above 1 the budget is broken."""
    asked = ((limit, bound) for limit in LIMITED if (bound := budget.limit(limit)) is not None)
    return max((limit_use(costs, limit.name, hopeful=hopeful) / bound for limit, bound in asked), default=0.0)


def describe_broken(costs: Costs, limits: list[Limit], budget: Budget, *, hopeful: bool) -> str:
    """Which limits are broken, in words."""
    uses = [(limit, limit_use(costs, limit.name, hopeful=hopeful)) for limit in limits]
    return ", ".join(f"{limit.name} {limit.show(use)} > {limit.show(budget.limit(limit) or 0)}" for limit, use in uses)


@dataclass(frozen=True)
class TargetSpec:
    """Where the networks are to run, as JSON values; `device` None is this machine, which measures."""

    device: str | None = None
    runtime: str = DEFAULT
    precision: str | None = None
    threads: int = 1


class Costing:
    """Costs of networks at a place, against a budget.

    Calibrates this machine, which takes half a minute, where it has no card yet and a latency is asked for.
    """

    def __init__(self, budget: Budget, where: TargetSpec, bench: Path | None = None) -> None:
        """`bench`: a file that is locked while a network is measured."""
        self.asked, self.where, self.bench = budget, where, bench

    @cached_property
    def place(self) -> Any:
        """Where the networks are to run; None where no limit asks for that."""
        where = self.where
        if where.device is None and self.asked.latency is None:
            return None
        from netlathe.choose.place import card_place, this_place

        if where.device is not None:
            return card_place(where.device, [], where.precision, where.threads)
        return this_place([where.runtime], where.precision, where.threads)

    @cached_property
    def budget(self) -> Budget:
        """The limits, with those of a microcontroller."""
        if self.where.device is None:
            return self.asked
        from netlathe.choose.place import within_card

        return within_card(self.asked, self.place.card)

    @property
    def measures(self) -> bool:
        """Whether latencies are measured, and forecasts only sort out the hopeless."""
        return self.place is not None and self.place.here

    def candidate(self, network: Network) -> Candidate:
        """The network with its exact costs and its forecast."""
        from netlathe.choose.place import MCU, candidate, counted, micro_candidate

        figure = Figure(network.name, network.input[-1], None, None, None, None, "", 1, False, "", "")
        if self.place is None:
            return counted(network, figure, self.where.runtime, self.where.precision or "fp32")
        make = micro_candidate if self.place.card.class_ == MCU else candidate
        return make(self.place, network, figure, *self.place.settings[0])

    def costs(self, network: Network) -> Costs:
        """Costs by name: exact, and the interval of the forecast latency. Raises ShapeError where it does not fit."""
        return candidate_costs(self.candidate(network))

    def measured(self, network: Network, processes: int = 1) -> tuple[Costs, str]:
        """Costs with the latency measured here, from the ledger if it is of today; and how measuring failed."""
        from netlathe.choose.run import MeasurementCache

        with one_at_a_time(self.bench):
            [candidate] = MeasurementCache(self.place, SECONDS, False, None).measure(
                [self.candidate(network)], processes
            )
        assert candidate.latency is not None
        return candidate_costs(candidate), candidate.latency.failure or ""


def candidate_costs(c: Candidate) -> Costs:
    """The costs of a candidate by name."""
    counts = totals(c.network.expression().body, *c.network.inputs)
    costs: Costs = {"macs": c.macs, "params": int(counts.params), "size": c.size_bytes, "memory": c.memory_bytes}
    if c.forecast is not None or c.latency is not None:
        low, _, high = c.interval
        costs |= {"latency": high} | ({} if c.known else {LOW: low})
    return costs
