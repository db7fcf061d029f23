"""choose(): cheap limits first, then predicted latency, and measurements only of what could still win.

A shortlist is measured in one process each. What is claimed in the end is measured again in several fresh ones, whose
interval covers how they differ; where its upper end breaks the budget, the decision goes on without it.

The stop rule: while there is a candidate that was not measured, may keep the budget at the lower end of its forecast,
and is more accurate than the pick beyond noise (or tied with it and perhaps faster), the most accurate of them are
measured. What ends unmeasured cannot win unless its forecast is wrong beyond its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from netlathe.arch.net import rewritable
from netlathe.bench import ledger
from netlathe.bench.measure import HEADLINE, measure
from netlathe.bench.measurement import Measurement
from netlathe.choose.budget import CHEAP, LIMITS, Budget, Candidate, Limit
from netlathe.choose.decide import ACCURACY, Criterion, Decision, best_first, better, decide, tied
from netlathe.runtimes.registry import runtime as runtime_named
from netlathe.runtimes.registry import runtime_version
from netlathe.target.target import Target

MAX_AGE = timedelta(days=1)  # older measurements of this machine are made again
RESUMED = timedelta(minutes=15)  # a contended one too, within this time: an interrupted choice continues
ROUND = 4  # candidates measured at a time, in turns
PROBES = 3  # measured where nothing fits, to answer with a latency that is possible

Progress = Callable[[int, int, str], None]
Key = tuple[str, str, str]  # of an architecture, runtime, precision


@dataclass(frozen=True, slots=True)
class ChoiceResult:
    """The decision and everything it rests on."""

    budget: Budget
    targets: Sequence[Target]  # the ways to run a network that were compared, on one device
    candidates: list[Candidate]
    excluded: dict[str, int]  # by cheap limit: candidates that do not keep it, counted under every limit they break
    decision: Decision
    criterion: Criterion = ACCURACY
    notes: Sequence[str] = ()  # what took no part
    unbuilt: Sequence[Candidate] = ()  # what cannot be measured here, beside what can: only its forecast is known
    int8: Sequence[Measurement] = ()  # of the quantised file of the pick, by runtime


def notes_of(targets: Sequence[Target]) -> list[str]:
    """What to say beside everything that is forecast on targets, each once."""
    return list(dict.fromkeys(note for target in targets for note in target.notes))


class MeasurementCache:
    """The latencies of candidates on this machine, from the ledger where it knows them."""

    def __init__(
        self, targets: Sequence[Target], seconds: float = 1.0, *, fresh: bool = False, progress: Progress | None = None
    ) -> None:
        self.targets, self.seconds, self.progress = targets, seconds, progress
        self.measurements: dict[Key, Measurement] = {} if fresh else self.remembered()

    def remembered(self) -> dict[Key, Measurement]:
        """What the ledger has for these conditions: that of most processes, then the newest."""
        measurements, target = dict[Key, Measurement](), self.targets[0]
        versions = {one.runtime: runtime_version(one.runtime) for one in self.targets}
        conditions = (target.device.id.removeprefix("this-"), target.threads, target.batch)
        for m in ledger.read():
            fits = (m.device, m.threads, m.batch) == conditions and versions.get(m.runtime) == m.runtime_version
            young = fits and m.age() < (RESUMED if m.contended else MAX_AGE)
            old = measurements.get((m.key, m.runtime, m.precision))
            if young and m.failure is None and not m.rough and (old is None or m.processes >= old.processes):
                measurements[m.key, m.runtime, m.precision] = m
        return measurements

    def measure(self, candidates: Sequence[Candidate], processes: int = 1) -> list[Candidate]:
        """The candidates with latencies of so many processes at least; those of one runtime take turns."""
        for runtime, precision in dict.fromkeys((c.runtime, c.precision) for c in candidates):
            same = [c for c in candidates if (c.runtime, c.precision) == (runtime, precision)]
            todo = [c.net for c in same if self.processes(c) < processes]
            if todo:
                done = measure(
                    todo,
                    threads=self.targets[0].threads,
                    batch=self.targets[0].batch,
                    seconds=self.seconds,
                    processes=processes,
                    runtime=runtime,
                    precision=precision,
                    fail_export=True,
                    progress=self.progress,
                    keep=ledger.append,
                )
                self.measurements |= {(m.key, runtime, precision): m for m in done}
        return [replace(c, latency=self.measurements.get(measurement_key(c))) for c in candidates]

    def processes(self, c: Candidate) -> int:
        """In how many processes a candidate was measured; a failure is final."""
        m = self.measurements.get(measurement_key(c))
        return 0 if m is None else HEADLINE if m.failure else m.processes


def measurement_key(c: Candidate) -> Key:
    """What a measurement of a candidate is known by."""
    return c.net.key, c.runtime, c.precision


def choose(
    candidates: Iterable[Candidate],
    budget: Budget,
    targets: Sequence[Target],
    *,
    seconds: float = 1.0,
    fresh: bool = False,
    everything: bool = False,
    criterion: Criterion = ACCURACY,
    progress: Progress | None = None,
) -> ChoiceResult:
    """Decide among candidates. On this machine what decides is measured; elsewhere forecasts decide alone.

    What cannot be built here takes no part beside what can; where nothing can, forecasts decide here too.
    `everything` measures all that keep the cheap limits, whatever is forecast (the benchmark's reference). Ctrl-C
    raises; what was measured stays in the ledger.
    """
    everyone, unbuilt = list(candidates), list[Candidate]()
    if measures := targets[0].measures:
        unbuilt = [c for c in everyone if not can_measure(c)]
        measures = len(unbuilt) < len(everyone)
    pool = {c.key: c for c in everyone if not measures or can_measure(c)}

    def update(some: Sequence[Candidate], processes: int = 1) -> None:
        pool.update({c.key: c for c in bench.measure(some, processes)})

    if measures:
        bench = MeasurementCache(targets, seconds, fresh=fresh, progress=progress)
        if everything:
            keeping = [c for c in pool.values() if not budget.broken(c, CHEAP)]
            for i in range(0, len(keeping), ROUND):
                update(keeping[i : i + ROUND])
        while True:
            while todo := undecided(pool.values(), budget, criterion):
                update(todo[:ROUND])
            decision = decide(list(pool.values()), budget, criterion)
            claims = [c for c in claimed(decision) if bench.processes(c) < HEADLINE]
            if not claims:
                break
            update(claims, HEADLINE)
    excluded = {limit.name: sum(bool(budget.broken(c, (limit,))) for c in pool.values()) for limit in CHEAP}
    decision = decide(list(pool.values()), budget, criterion)
    apart = unbuilt if measures else ()
    return ChoiceResult(budget, targets, list(pool.values()), excluded, decision, criterion, unbuilt=apart)


def can_measure(c: Candidate) -> bool:
    """Whether a candidate can be measured here: what the table alone knows may lack what builds it, or be none of the
    expressions that its runtime takes."""
    if c.net.workload is None:
        return True
    return c.net.missing_extra is None and (runtime_named(c.runtime).takes == "onnx" or rewritable(c.net) is not None)


def undecided(pool: Iterable[Candidate], budget: Budget, criterion: Criterion = ACCURACY) -> list[Candidate]:
    """The unmeasured candidates that the decision needs, most promising first."""
    everyone = list(pool)
    decision = decide([c for c in everyone if c.is_measured], budget, criterion)
    pick, open_ = decision.pick, [c for c in everyone if not c.is_measured]
    if pick is None:
        hopeful = [c for c in open_ if budget.possible(c)]
        near = sorted((c for c in open_ if not budget.broken(c, CHEAP)), key=lambda c: c.interval[0])
        if hopeful:
            return best_first(hopeful, criterion)
        return near[: max(0, PROBES - sum(c.is_measured for c in everyone))]
    could_win = [c for c in open_ if budget.possible(c) and may_win(c, pick, decision.top or pick, criterion)]
    if could_win:
        return best_first(could_win, criterion)
    final = decide(everyone, budget, criterion)  # what the reasons name beside the pick
    named = [final.cheaper, final.dearer, *(r.candidate for r in final.relaxations if r.limit.name == "latency")]
    return [c for c in named if c is not None and not c.is_measured]


def claimed(decision: Decision) -> list[Candidate]:
    """What the answer rests on: the pick; where nothing fits, the network that a longer latency would admit."""
    ways = [r.candidate for r in decision.relaxations if r.limit.name == "latency"]
    return [c for c in ([decision.pick] if decision.pick else ways) if c is not None and c.is_measured]


def may_win(c: Candidate, pick: Candidate, top: Candidate, criterion: Criterion) -> bool:
    """Whether a candidate that was not measured may take the place of the pick; `top` is the best that fits."""
    if criterion is not ACCURACY:
        return criterion.least(c) < criterion.amount(pick)
    return better(c, pick) or (tied(c, top) and c.interval[0] < pick.interval[2])


def excess(c: Candidate, budget: Budget, limits: tuple[Limit, ...] = LIMITS) -> float:
    """How far a candidate is beyond a budget: the largest ratio between a use and its limit."""
    ratios = [
        bound / limit.used(c) if limit.at_least else limit.used(c) / bound
        for limit in budget.broken(c, limits)
        if (bound := budget.limit(limit)) is not None
    ]
    return max(ratios, default=1.0)


def nearest_budget(outcome: ChoiceResult) -> tuple[Candidate, list[Limit]]:
    """For a budget that nothing keeps: the candidate least beyond it, and the limits that it breaks."""
    ran = [c for c in outcome.candidates if not (c.latency and c.latency.failure)]
    best = min(ran or outcome.candidates, key=lambda c: excess(c, outcome.budget))
    return best, outcome.budget.broken(best)
