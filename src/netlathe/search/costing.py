"""What a network of a search costs before anyone trains it, and the limits that it has to keep.

Exact counts and, where a latency is asked for, its forecast come first: they take milliseconds. A network that may keep
the limits is measured on this machine, and only one that keeps them is trained. Measurements of several workers wait
for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from netlathe.arch.network import Network
from netlathe.choose.budget import (
    LIMITS,
    READ,
    Budget,
    Candidate,
    Limit,
    candidate_of,
    candidate_on,
    keeps,
    within_device,
)
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.runfolder.lock import one_at_a_time
from netlathe.runtimes.registry import DEFAULT
from netlathe.search.trial import Costs
from netlathe.target.target import Target, counted

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
    """Which limits are broken, in words; of a latency whether it was forecast or measured."""
    words = []
    for limit in limits:
        basis = "" if limit.name != "latency" else " (forecast)" if LOW in costs else " (measured)"
        use = limit.show(limit_use(costs, limit.name, hopeful=hopeful))
        words.append(f"{limit.name}{basis} {use} > {limit.show(budget.limit(limit) or 0)}")
    return ", ".join(words)


@dataclass(frozen=True)
class TargetOptions:
    """Where the networks are to run, as JSON values; `device` None is this machine, which measures."""

    device: str | None = None
    runtime: str = DEFAULT
    precision: str | None = None
    threads: int = 1


class Costing:
    """Costs of networks on a target, against a budget.

    Calibrates this machine, which takes half a minute, where it has no card yet and a latency is asked for.
    """

    def __init__(self, budget: Budget, where: TargetOptions, bench: Path | None = None) -> None:
        """`bench`: a file that is locked while a network is measured."""
        self.asked, self.where, self.bench = budget, where, bench

    @cached_property
    def target(self) -> Target | None:
        """Where the networks are to run; None where no limit asks for that."""
        where = self.where
        if where.device is None and self.asked.latency is None:
            return None
        if where.device is not None:
            from netlathe.target.device import targets_on

            return targets_on(where.device, (), where.precision, where.threads)[0]
        from netlathe.target.here import targets_here

        return targets_here([where.runtime], where.precision, where.threads)[0]

    @cached_property
    def budget(self) -> Budget:
        """The limits, with those of a microcontroller."""
        if self.where.device is None or self.target is None:
            return self.asked
        return within_device(self.asked, self.target)

    @property
    def measures(self) -> bool:
        """Whether latencies are measured, and forecasts only sort out the hopeless."""
        return self.target is not None and self.target.measures

    def candidate(self, network: Network) -> Candidate:
        """The network with its exact costs and its forecast."""
        if self.target is not None:
            return candidate_on(self.target, network)
        precision = self.where.precision or "fp32"
        return candidate_of(network, counted(network, precision), self.where.runtime, precision)

    def costs(self, network: Network) -> Costs:
        """Costs by name: exact, and the interval of the forecast latency. Raises ShapeError where it does not fit."""
        return candidate_costs(self.candidate(network))

    def measured(self, network: Network, processes: int = 1) -> tuple[Costs, str]:
        """Costs with the latency measured here, from the ledger if it is of today; and how measuring failed."""
        from netlathe.choose.run import MeasurementCache

        assert self.target is not None, "only where something is measured"
        with one_at_a_time(self.bench):
            [candidate] = MeasurementCache([self.target], SECONDS).measure([self.candidate(network)], processes)
        assert candidate.latency is not None
        return candidate_costs(candidate), candidate.latency.failure or ""


def candidate_costs(c: Candidate) -> Costs:
    """The costs of a candidate by name."""
    counts = totals(c.net.expression().body, *c.net.inputs)
    costs: Costs = {"macs": c.macs, "params": int(counts.params), "size": c.size_bytes, "memory": c.memory_bytes}
    if c.forecast is not None or c.latency is not None:
        costs |= {"latency": c.deciding_ms} | ({} if c.is_measured else {LOW: c.interval[0]})
    return costs
