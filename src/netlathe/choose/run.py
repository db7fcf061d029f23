"""choose(): cheap limits first, then measured latency, roughly for all that remain and carefully for the decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from netlathe import zoo
from netlathe.arch.build import conv, seq
from netlathe.arch.network import Network
from netlathe.bench import ledger
from netlathe.bench.machine import Machine, this_machine
from netlathe.bench.measure import measure
from netlathe.bench.measurement import Measurement
from netlathe.bench.runtimes import runtime as known_runtime
from netlathe.bench.runtimes import runtime_version
from netlathe.choose.budget import CHEAP, LIMITS, Budget, Candidate, Limit
from netlathe.choose.decide import Decision, decide, front, tied
from netlathe.cost.count import count
from netlathe.cost.memory import timeline
from netlathe.errors import NetlatheError
from netlathe.zoo.published import Figure, figures

FP32 = 4
MAX_AGE = timedelta(days=1)  # older measurements of this machine are made again
RESUMED = timedelta(minutes=15)  # a contended one too, within this time: an interrupted choice continues
SHOWN = 12  # of the front, measured carefully
PROBES = 4  # candidates measured beyond one cheap limit, to know what raising it would buy
MARGIN = 1.1  # the roof is believed to this factor: a network this far beyond it is not measured
ROOF = Network("roof", seq(**{f"conv{i}": conv(256, 3, norm=None) for i in range(4)}), (256, 28, 28))

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Conditions:
    """How latency is measured."""

    threads: int = 1
    seconds: float = 1.0
    runtime: str = "onnxruntime"
    fresh: bool = False  # measure again what the ledger already has


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision and everything it rests on."""

    budget: Budget
    machine: Machine
    conditions: Conditions
    candidates: list[Candidate]
    excluded: dict[str, int]  # by limit: candidates that do not keep it, counted under every limit they break
    unreachable: list[Candidate]  # too many MACs for the latency even at the roof; not measured
    roof_macs_per_ms: float | None
    decision: Decision


def candidates(pattern: str = "*", *, recipe: str = "", extra_data: bool = False) -> list[Candidate]:
    """Every network with a published top-1 at a resolution, with the best figure that qualifies, and exact costs.

    `recipe` keeps the figures whose recipe contains the word. Raises NetlatheError where nothing qualifies.
    """
    best: dict[tuple[str, int], Figure] = {}
    for name in zoo.names(pattern):
        for figure in sorted(figures(name), key=lambda f: f.top1 or 0.0):
            qualifies = figure.top1 and figure.crops == 1 and (extra_data or not figure.extra_data)
            if qualifies and recipe.lower() in figure.recipe.lower():
                best[name, figure.resolution] = figure
    if not best:
        message = f"no network matches {pattern!r} with a published accuracy" + f" by a recipe {recipe!r}" * bool(
            recipe
        )
        raise NetlatheError(message, code="choose.no_candidates", hint="`netlathe zoo` lists names and recipes")
    found = []
    for (name, resolution), figure in best.items():
        network = zoo.get(name, resolution=resolution)
        graph = network.graph()
        cost = count(graph)
        size = (cost.params + cost.buffers) * FP32
        arena = max(held for _, held in timeline(graph, "arena", FP32))
        found.append(Candidate(network, figure, cost.macs, size, size + arena))
    return found


class Bench:
    """The latencies of candidates, from the ledger where it knows them."""

    def __init__(self, conditions: Conditions, progress: Progress | None) -> None:
        self.conditions, self.progress = conditions, progress
        self.device = this_machine().id
        self.version = runtime_version(conditions.runtime)
        self.known = {} if conditions.fresh else self.remembered()

    def remembered(self) -> dict[tuple[str, bool], Measurement]:
        """What the ledger has for these conditions, by architecture and roughness; the newest counts."""
        c = self.conditions
        wanted = (self.device, c.runtime, self.version, c.threads, known_runtime(c.runtime).precision, 1)
        return {
            (m.key, m.rough): m
            for m in ledger.read()
            if (m.device, m.runtime, m.runtime_version, m.threads, m.precision, m.batch) == wanted
            and m.failure is None
            and m.age() < (RESUMED if m.contended else MAX_AGE)
        }

    def measure(
        self, networks: Sequence[Network], *, rough: bool, stop_above_ms: float | None = None
    ) -> list[Measurement]:
        """Latencies in order; careful measurements take turns, and stand in for rough ones."""
        keys = [network.key for network in networks]
        todo = [n for n, key in zip(networks, keys, strict=True) if not self.recall(key, rough)]
        if todo:
            done = measure(
                todo,
                threads=self.conditions.threads,
                seconds=self.conditions.seconds if not rough else min(0.25, self.conditions.seconds),
                runtime=self.conditions.runtime,
                rough=rough,
                interleave=not rough,
                stop_above_ms=stop_above_ms,
                progress=self.progress,
                keep=ledger.append,
            )
            self.known |= {(m.key, rough): m for m in done}
        return [found for key in keys if (found := self.recall(key, rough)) is not None]

    def recall(self, key: str, rough: bool) -> Measurement | None:
        """A measurement already made; a careful one answers a rough question."""
        careful = self.known.get((key, False))
        return careful or self.known.get((key, True)) if rough else careful


def choose(
    found: Iterable[Candidate],
    budget: Budget,
    conditions: Conditions,
    *,
    progress: Progress | None = None,
) -> Outcome:
    """Decide among candidates on this machine. Ctrl-C raises; what was measured stays in the ledger."""
    pool = {c.name: c for c in found}
    bench = Bench(conditions, progress)
    bound = budget.latency
    stop = 3 * bound if bound is not None else None
    roof = None
    if bound is not None:
        (probe,) = bench.measure([ROOF], rough=True)
        roof = count(ROOF.graph()).macs / probe.min_ms

    def reachable(c: Candidate) -> bool:
        return bound is None or roof is None or c.macs / (roof * MARGIN) <= bound

    def update(names: Sequence[str], *, rough: bool) -> None:
        measured = bench.measure(
            [pool[name].network for name in names], rough=rough, stop_above_ms=stop if rough else None
        )
        pool.update({name: replace(pool[name], latency=m) for name, m in zip(names, measured, strict=True)})

    def settle() -> Decision:
        """Decide; measure carefully what the decision rests on; until it rests on nothing rough."""
        while True:
            decision = decide(list(pool.values()), budget)
            involved = [decision.pick, *decision.ties, decision.cheaper, *front(decision.fitting)[:SHOWN]]
            involved += [r.candidate for r in decision.relaxations]
            if bound is not None:  # a rough interval is wide: what may fit after all is looked at again
                involved += [c for c in pool.values() if may_fit(c, bound) and worth(c, decision.pick)]
            rough = {c.name for c in involved if c and c.latency and c.latency.rough}
            if not rough:
                return decision
            update(sorted(rough), rough=False)

    keeping = sorted((c for c in pool.values() if not budget.broken(c, CHEAP)), key=lambda c: c.macs)
    # The smallest are measured in any case: an impossible latency is answered with a possible one.
    update([c.name for i, c in enumerate(keeping) if i < PROBES or reachable(c)], rough=True)
    pick = settle().pick
    for limit in CHEAP:
        names = [c.name for c in beyond(pool.values(), budget, limit, pick) if reachable(c)]
        update(names[:PROBES], rough=True)
    decision = settle()
    if decision.pick is None and not decision.relaxations:
        near = sorted(pool.values(), key=lambda c: excess(c, budget, CHEAP))
        update([c.name for c in near[:PROBES]], rough=True)
        decision = settle()
    excluded = {limit.name: sum(limit in budget.broken(c, (limit,)) for c in pool.values()) for limit in CHEAP}
    return Outcome(
        budget,
        this_machine(),
        conditions,
        list(pool.values()),
        excluded,
        [c for c in keeping if pool[c.name].latency is None],
        roof,
        decision,
    )


def beyond(pool: Iterable[Candidate], budget: Budget, limit: Limit, pick: Candidate | None) -> list[Candidate]:
    """Unmeasured candidates that break this cheap limit alone and would be better than the pick, nearest first."""
    found = [c for c in pool if c.latency is None and budget.broken(c, CHEAP) == [limit] and worth(c, pick)]
    return sorted(found, key=lambda c: -limit.used(c) if limit.at_least else limit.used(c))


def worth(c: Candidate, pick: Candidate | None) -> bool:
    """Whether a candidate is better than the pick beyond noise."""
    return pick is None or (c.top1 > pick.top1 and not tied(c, pick))


def may_fit(c: Candidate, bound: float) -> bool:
    """Whether the lower end of a measured interval keeps a latency."""
    return c.latency is not None and c.latency.low_ms <= bound


def excess(c: Candidate, budget: Budget, limits: tuple[Limit, ...] = LIMITS) -> float:
    """How far a candidate is beyond a budget: the largest ratio between a use and its limit."""
    ratios = [
        bound / limit.used(c) if limit.at_least else limit.used(c) / bound
        for limit in budget.broken(c, limits)
        if (bound := budget.limit(limit)) is not None
    ]
    return max(ratios, default=1.0)


def nearest_budget(outcome: Outcome) -> tuple[Candidate, list[Limit]]:
    """For a budget that nothing keeps: the candidate least beyond it, and the limits that it breaks."""
    best = min(outcome.candidates, key=lambda c: excess(c, outcome.budget))
    return best, outcome.budget.broken(best)
