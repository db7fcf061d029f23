"""The driver: asks a strategy for networks, has them evaluated, tells it the scores, and writes everything down.

Resume is replay. The strategy is made again from its seed and gets the stored asks and tells in their order; each ask
must give what it gave before. Trials that were open go first, and then it goes on: with one worker the history of a
search that was killed is that of one that was not, bit for bit.
"""

from __future__ import annotations

import platform
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from netlathe.errors import NetlatheError
from netlathe.search.config import SearchConfig, SearchProblem
from netlathe.search.costing import broken_limits, describe_broken, limited_costs
from netlathe.search.executor import Executor
from netlathe.search.store import TrialStore
from netlathe.search.strategy import Proposal, TrialResult
from netlathe.search.trial import Costs, Evaluation, TaskResult, Trial, TrialState, TrialTask

if TYPE_CHECKING:
    from netlathe.search.strategy import Strategy

MAX_TRIES = 2  # of a trial whose worker dies
MAX_IDLE = 2000  # proposals in a row that cost nothing, before the space counts as used up
QUICK_S = 0.01
SAME_FAILURE = 5  # first trials that all fail alike end a search
OnTrial = Callable[["Study", Trial], None]


class Study:
    """The state of a running search."""

    def __init__(
        self,
        wish: SearchConfig,
        what: SearchProblem,
        strategy: Strategy,
        store: TrialStore,
        executor: Executor,
        *,
        deadline: float | None = None,
        say: OnTrial = lambda driver, trial: None,
    ) -> None:
        """`deadline`: of time.monotonic. `say` is called with every trial that has ended."""
        self.wish, self.what, self.strategy, self.store, self.executor = wish, what, strategy, store, executor
        self.deadline, self.say = deadline, say
        self.lease = uuid.uuid4().hex[:12]
        self.host = platform.node()
        self.trials: list[Trial] = []
        self.first: dict[tuple[str, int | None], Trial] = {}  # the trial that is evaluated, by key and rung
        self.same: dict[int, list[Trial]] = defaultdict(list)  # those that wait for an open trial, by its number
        self.known: dict[str, Costs] = {}
        self.queue: list[Trial] = []  # proposed, and to be begun before anything else is asked for
        self.open: dict[int, Trial] = {}
        self.waits: list[int] = []  # asks without an answer that are not written yet
        self.clock = 0  # of asks and tells
        self.spent = 0.0  # whole evaluations
        self.idle = 0  # proposals in a row that cost nothing
        self.failures: list[str] | None = []  # of the first trials here; None once one has worked
        self.members: set[tuple[int, ...]] = set()
        self.took = inf  # by the last evaluation, in seconds
        self.ended = ""
        names = limited_costs(what.budget)
        self.costs = names or ["macs"]  # what strategies are told, in this order

    # -- asking ------------------------------------------------------------------------------------------------------

    def run(self) -> str:
        """Search until the budget, the space or the time is used up; which of them it was."""
        while True:
            self.fill()
            if not self.open:
                break
            wall = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            reports = self.executor.wait(wall)
            for report in reports:
                self.end(report)
            if not reports:
                self.ended = "the time is up"
                break
        return self.ended or "the strategy has nothing more to propose"

    def fill(self) -> None:
        """Give work to everybody who is free."""
        while self.executor.free and not self.late():
            trial = self.queue.pop(0) if self.queue else self.ask()
            if trial is None:
                return
            self.judge(trial)

    def ask(self) -> Trial | None:
        """The next proposal as a trial; None where there is none now."""
        if self.used_up():
            return None
        proposal = self.strategy.ask()
        place, self.clock = self.clock, self.clock + 1
        if proposal is None:
            self.waits.append(place)
            return None
        return self.proposed(proposal, place)

    def proposed(self, proposal: Proposal, place: int) -> Trial:
        """A new trial."""
        number = len(self.trials)
        trial = Trial(
            number, tuple(proposal.genotype), proposal.rung, proposal.tag, self.what.space.key(proposal.genotype),
            self.wish.seed * 100_000 + number, place,
        )  # fmt: skip
        self.trials.append(trial)
        self.members.add(trial.genotype)
        return trial

    def used_up(self) -> bool:
        """Whether nothing more is to be asked for, and why."""
        if self.spent >= self.wish.evaluations - 1e-9:
            self.ended = f"{self.wish.evaluations} evaluations are used up"
        elif len(self.members) >= self.what.space.size and not self.multi:
            self.ended = f"all {self.what.space.size} networks of the space were proposed"
        elif self.idle >= MAX_IDLE:
            self.ended = f"the last {self.idle} proposals were known or infeasible"
        else:
            return False
        return True

    @property
    def multi(self) -> bool:
        """Whether a network is evaluated in several lengths."""
        return bool(self.fractions)

    @property
    def fractions(self) -> Sequence[float]:
        """The share of the whole evaluation at each rung of the strategy."""
        found: Sequence[float] = getattr(self.strategy, "fractions", ())
        return found

    def fraction(self, trial: Trial) -> float:
        """The share of a whole evaluation that a trial is."""
        return 1.0 if trial.rung is None else float(self.fractions[trial.rung])

    def late(self) -> bool:
        """Whether another trial would not be done in time, by how long they take and what the winner still needs."""
        if self.deadline is None:
            return False
        took = [trial.seconds / self.fraction(trial) for trial in self.trials if trial.state is TrialState.DONE]
        each = max(took[-20:], default=0.0)
        finals = self.wish.final_top * min(self.wish.final_seeds, self.what.objective.fresh)
        need = each * (1 + -(-finals // self.executor.size))
        if time.monotonic() + need > self.deadline:
            self.ended = "the time is up"
            return True
        return False

    # -- judging -----------------------------------------------------------------------------------------------------

    def judge(self, trial: Trial) -> None:
        """Begin a trial, unless its network is known or cannot keep the budget: then it is told at once."""
        first = self.first.setdefault((trial.key, trial.rung), trial)
        if first is not trial:
            if first.told is None:
                self.same[first.number].append(trial)
                self.write(trial)
            else:
                self.repeat(trial, first)
            return
        trial.costs, why = self.cheap(trial)
        if why:
            trial.state, trial.error = TrialState.INFEASIBLE, why
            self.tell(trial)
        else:
            self.begin(trial)

    def cheap(self, trial: Trial) -> tuple[Costs, str]:
        """What a network costs, and which limits it breaks, before anything is paid for it."""
        objective, budget = self.what.objective, self.what.budget
        try:
            costs = self.known.get(trial.key)
            if costs is None:
                costs = self.known[trial.key] = objective.costs(trial.genotype)
        except NetlatheError as error:
            return {}, f"cannot be built: {error.message}"
        limits = broken_limits(costs, budget, hopeful=objective.hopeful)
        return costs, describe_broken(costs, limits, budget, hopeful=objective.hopeful)

    def begin(self, trial: Trial) -> None:
        """Have a trial evaluated."""
        self.spent += self.fraction(trial)
        trial.state, trial.lease, trial.host, trial.started = TrialState.RUNNING, self.lease, self.host, time.time()
        self.open[trial.number] = trial
        if not self.quick:
            self.write(trial)
        self.executor.submit(self.task(trial))

    @property
    def quick(self) -> bool:
        """Whether an evaluation is done before one could write that it has begun."""
        return self.executor.inline and self.took < QUICK_S

    def task(self, trial: Trial) -> TrialTask:
        """What the worker is told."""
        below = self.below(trial)
        before = str(self.place(below)) if below is not None and self.place(below).exists() else None
        return TrialTask(trial.number, trial.genotype, self.fraction(trial), trial.seed, str(self.place(trial)), before)

    def below(self, trial: Trial) -> Trial | None:
        """The same network on the rung below."""
        found = self.first.get((trial.key, trial.rung - 1)) if trial.rung else None
        return found if found is not None and found.state is TrialState.DONE else None

    def place(self, trial: Trial) -> Path:
        """The folder of a trial."""
        return self.store.folder.absolute() / "trials" / f"{trial.number:05d}"

    # -- telling -----------------------------------------------------------------------------------------------------

    def end(self, report: TaskResult) -> None:
        """Take a report."""
        trial = self.open.pop(report.number)
        trial.seconds, trial.worker = trial.seconds + report.seconds, report.worker
        trial.host = report.host or trial.host
        self.took = report.seconds
        if report.died:
            trial.attempts += 1
            if trial.attempts < MAX_TRIES:
                self.spent -= self.fraction(trial)
                self.queue.insert(0, trial)
                self.first.pop((trial.key, trial.rung))
                self.write(trial)
                return
        apply_result(trial, report)
        if not trial.evaluated:  # its latency was measured, and that was all
            self.spent -= self.fraction(trial)
        self.tell(trial)
        for waiting in self.same.pop(trial.number, []):
            self.repeat(waiting, trial)
        self.count_failures(trial)

    def repeat(self, trial: Trial, first: Trial) -> None:
        """A trial of a known network has its score."""
        trial.state, trial.same_as = TrialState.SAME, first.number
        trial.score, trial.costs, trial.arch, trial.error = first.score, first.costs, first.arch, first.error
        if self.wish.bill_repeats:
            self.spent += self.fraction(trial)
        self.tell(trial)

    def tell(self, trial: Trial) -> None:
        """The end of a trial: written down first, then told."""
        self.idle = 0 if trial.evaluated else self.idle + 1
        trial.told, self.clock = self.clock, self.clock + 1
        self.write(trial)
        self.strategy.tell(to_proposal(trial), self.outcome(trial))
        self.say(self, trial)

    def outcome(self, trial: Trial) -> TrialResult:
        """What the strategy is told."""
        return TrialResult(trial.score, tuple(trial.costs.get(name, inf) for name in self.costs))

    def write(self, trial: Trial) -> None:
        """Store a trial, and the asks without an answer before it."""
        self.store.write(trial, waits=self.waits)
        self.waits = []

    def count_failures(self, trial: Trial) -> None:
        """Raises NetlatheError where the first trials all fail for the same reason: that is not the networks' fault."""
        if trial.state is not TrialState.FAILED:
            self.failures = None
        elif self.failures is not None:
            self.failures.append(trial.error)
            if len(self.failures) >= SAME_FAILURE and len(set(self.failures)) == 1:
                raise NetlatheError(
                    f"the first {len(self.failures)} trials all failed: {trial.error}",
                    code="search.failing",
                    path=str(self.store.folder),
                    hint="mend that and search in another folder; worker logs and trials lie in this one",
                )

    # -- resuming ----------------------------------------------------------------------------------------------------

    def replay(self, trials: Sequence[Trial], waits: Sequence[int]) -> None:
        """Bring the strategy to where it was, and put what was open first in the queue.

        Raises NetlatheError where it proposes something else than before.
        """
        asks = {trial.asked: trial for trial in trials} | dict.fromkeys(waits)
        tells = {trial.told: trial for trial in trials if trial.told is not None}
        self.trials = list(trials)
        for self.clock in sorted([*asks, *tells]):
            if self.clock in tells:
                trial = tells[self.clock]
                self.strategy.tell(to_proposal(trial), self.outcome(trial))
                continue
            proposal, was = self.strategy.ask(), asks[self.clock]
            if proposal != (None if was is None else to_proposal(was)):
                raise NetlatheError(
                    f"the strategy {self.wish.strategy} does not propose again what it proposed as trial "
                    f"{'' if was is None else was.number}",
                    code="search.replay",
                    path=str(self.store.folder),
                    hint="resume with the Netlathe, the number of evaluations and the files that it was begun with",
                )
        self.clock += bool(trials)
        for trial in trials:
            self.members.add(trial.genotype)
            if trial.told is None:
                self.queue.append(trial)
                continue
            if trial.state is not TrialState.SAME:
                self.first[trial.key, trial.rung] = trial
                self.known.setdefault(trial.key, trial.costs)
            if trial.evaluated or (trial.state is TrialState.SAME and self.wish.bill_repeats):
                self.spent += self.fraction(trial)
            self.idle = 0 if trial.evaluated else self.idle + 1


def to_proposal(trial: Trial) -> Proposal:
    """What was proposed."""
    return Proposal(trial.genotype, trial.rung, trial.tag)


def apply_result(trial: Trial, report: TaskResult) -> None:
    """What a report says of a trial."""
    measured: Evaluation | None = report.measured
    if measured is None:
        trial.state, trial.error = TrialState.FAILED, report.error or report.died
        return
    trial.costs, trial.arch, trial.curve = {**trial.costs, **measured.costs}, measured.arch, list(measured.curve)
    trial.costs.pop("latency_low", None) if "latency" in measured.costs else None
    if measured.broken:
        trial.state, trial.error = TrialState.INFEASIBLE, measured.broken
    else:
        trial.state, trial.score, trial.error = TrialState.DONE, measured.score, ""
