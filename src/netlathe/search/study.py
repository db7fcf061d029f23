"""The study: asks a strategy for networks, has them evaluated, tells it the scores, and writes everything down.

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
from netlathe.search.identity import pick_counts, refuse_changed
from netlathe.search.store import TrialStore
from netlathe.search.strategy import Proposal, TrialResult
from netlathe.search.trial import Costs, Evaluation, TaskResult, Trial, TrialState, TrialTask

if TYPE_CHECKING:
    from netlathe.search.strategy import Strategy

MAX_TRIES = 2  # of a trial whose worker dies
MAX_IDLE = 2000  # proposals in a row that cost nothing, before the space counts as used up
QUICK_S = 0.01
SAME_FAILURE = 5  # first trials that all fail alike end a search
TIME_UP = "the time is up"
OnTrial = Callable[["Study", Trial], None]


class Study:
    """The state of a running search."""

    def __init__(
        self,
        config: SearchConfig,
        problem: SearchProblem,
        strategy: Strategy,
        store: TrialStore,
        executor: Executor,
        *,
        deadline: float | None = None,
        on_trial: OnTrial = lambda study, trial: None,
    ) -> None:
        """`deadline`: of time.monotonic. `on_trial` is called with every trial that has ended."""
        self.config, self.problem, self.strategy, self.store, self.executor = config, problem, strategy, store, executor
        self.deadline, self.on_trial = deadline, on_trial
        self.lease = uuid.uuid4().hex[:12]
        self.host = platform.node()
        self.trials: list[Trial] = []
        self.first: dict[tuple[str, int | None], Trial] = {}  # the trial that is evaluated, by key and rung
        self.waiting: dict[int, list[Trial]] = defaultdict(list)  # those that wait for an open trial, by its number
        self.known_costs: dict[str, Costs] = {}
        self.queue: list[Trial] = []  # proposed, and to be begun before anything else is asked for
        self.open: dict[int, Trial] = {}
        self.waits: list[int] = []  # asks without an answer that are not written yet
        self.clock = 0  # of asks and tells
        self.spent = 0.0  # whole evaluations
        self.idle = 0  # proposals in a row that cost nothing
        self.failures: list[str] | None = []  # of the first trials here; None once one has worked
        self.members: set[tuple[int, ...]] = set()
        self.last_seconds = inf  # by the last evaluation, in seconds
        self.ended = ""
        names = limited_costs(problem.budget)
        self.costs = names or ["macs"]  # what strategies are told, in this order

    # -- asking ------------------------------------------------------------------------------------------------------

    def run(self) -> str:
        """Search until the budget, the space or the time is used up; which of them it was."""
        while True:
            self.submit_trials()
            if not self.open:
                break
            wall = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            results = self.executor.wait(wall)
            for result in results:
                self.finish(result)
            if not results:
                self.ended = TIME_UP
                break
        return self.ended or "the strategy has nothing more to propose"

    def submit_trials(self) -> None:
        """Give work to everybody who is free."""
        while self.executor.free and not self.out_of_time():
            trial = self.queue.pop(0) if self.queue else self.next_trial()
            if trial is None:
                return
            self.start_or_reuse(trial)

    def next_trial(self) -> Trial | None:
        """The next proposal as a trial; None where there is none now."""
        if self.used_up():
            return None
        proposal = self.strategy.ask()
        place, self.clock = self.clock, self.clock + 1
        if proposal is None:
            self.waits.append(place)
            return None
        return self.new_trial(proposal, place)

    def new_trial(self, proposal: Proposal, place: int) -> Trial:
        """A new trial."""
        number = len(self.trials)
        trial = Trial(
            number, tuple(proposal.genotype), proposal.rung, proposal.tag, self.problem.space.key(proposal.genotype),
            self.config.seed * 100_000 + number, place,
        )  # fmt: skip
        self.trials.append(trial)
        self.members.add(trial.genotype)
        return trial

    def used_up(self) -> bool:
        """Whether nothing more is to be asked for, and why."""
        if self.spent >= self.config.evaluations - 1e-9:
            self.ended = f"{self.config.evaluations} evaluations are used up"
        elif len(self.members) >= self.problem.space.size and not self.multi_fidelity:
            self.ended = f"all {self.problem.space.size} networks of the space were proposed"
        elif self.idle >= MAX_IDLE:
            self.ended = f"the last {self.idle} proposals were known or infeasible"
        else:
            return False
        return True

    @property
    def multi_fidelity(self) -> bool:
        """Whether a network is evaluated in several lengths."""
        return bool(self.fractions)

    @property
    def fractions(self) -> Sequence[float]:
        """The share of the whole evaluation at each rung of the strategy."""
        fractions: Sequence[float] = getattr(self.strategy, "fractions", ())
        return fractions

    def fraction(self, trial: Trial) -> float:
        """The share of a whole evaluation that a trial is."""
        return 1.0 if trial.rung is None else float(self.fractions[trial.rung])

    def out_of_time(self) -> bool:
        """Whether another trial would not be done in time, by how long they take and what the winner still needs."""
        if self.deadline is None:
            return False
        took = [trial.seconds / self.fraction(trial) for trial in self.trials if trial.state is TrialState.DONE]
        each = max(took[-20:], default=0.0)
        finals = self.config.final_top * min(self.config.final_seeds, self.problem.objective.fresh)
        need = each * (1 + -(-finals // self.executor.size))
        if time.monotonic() + need > self.deadline:
            self.ended = TIME_UP
            return True
        return False

    @property
    def timed_out(self) -> bool:
        """Whether time ended it, and the same search may go on."""
        return self.ended == TIME_UP

    # -- judging -----------------------------------------------------------------------------------------------------

    def start_or_reuse(self, trial: Trial) -> None:
        """Begin a trial, unless its network is known or cannot keep the budget: then it is told at once."""
        first = self.first.setdefault((trial.key, trial.rung), trial)
        if first is not trial:
            if first.told is None:
                self.waiting[first.number].append(trial)
                self.write(trial)
            else:
                self.reuse_score(trial, first)
            return
        trial.costs, why = self.prior_costs(trial)
        if why:
            trial.state, trial.error = TrialState.INFEASIBLE, why
            self.tell(trial)
        else:
            self.start_trial(trial)

    def prior_costs(self, trial: Trial) -> tuple[Costs, str]:
        """What a network costs, and which limits it breaks, before anything is paid for it."""
        objective, budget = self.problem.objective, self.problem.budget
        try:
            costs = self.known_costs.get(trial.key)
            if costs is None:
                costs = self.known_costs[trial.key] = objective.costs(trial.genotype)
        except NetlatheError as error:
            return {}, f"cannot be built: {error.message}"
        limits = broken_limits(costs, budget, hopeful=objective.hopeful)
        return costs, describe_broken(costs, limits, budget, hopeful=objective.hopeful)

    def start_trial(self, trial: Trial) -> None:
        """Have a trial evaluated."""
        self.spent += self.fraction(trial)
        trial.state, trial.lease, trial.host, trial.started = TrialState.RUNNING, self.lease, self.host, time.time()
        self.open[trial.number] = trial
        if not self.quick:
            self.write(trial)
        self.executor.submit(self.make_task(trial))

    @property
    def quick(self) -> bool:
        """Whether an evaluation is done before one could write that it has begun."""
        return self.executor.inline and self.last_seconds < QUICK_S

    def make_task(self, trial: Trial) -> TrialTask:
        """What the worker is told."""
        below = self.trial_below(trial)
        before = str(self.trial_folder(below)) if below is not None and self.trial_folder(below).exists() else None
        return TrialTask(
            trial.number, trial.genotype, self.fraction(trial), trial.seed, str(self.trial_folder(trial)), before
        )

    def trial_below(self, trial: Trial) -> Trial | None:
        """The same network on the rung below."""
        below = self.first.get((trial.key, trial.rung - 1)) if trial.rung else None
        return below if below is not None and below.state is TrialState.DONE else None

    def trial_folder(self, trial: Trial) -> Path:
        """The folder of a trial."""
        return self.store.folder.absolute() / "trials" / f"{trial.number:05d}"

    # -- telling -----------------------------------------------------------------------------------------------------

    def finish(self, result: TaskResult) -> None:
        """Take a result."""
        trial = self.open.pop(result.number)
        trial.seconds, trial.worker = trial.seconds + result.seconds, result.worker
        trial.host = result.host or trial.host
        self.last_seconds = result.seconds
        if result.died:
            trial.attempts += 1
            if trial.attempts < MAX_TRIES:
                self.spent -= self.fraction(trial)
                self.queue.insert(0, trial)
                self.first.pop((trial.key, trial.rung))
                self.write(trial)
                return
        apply_result(trial, result)
        if not self.executor.inline:  # a worker that was started late reads the files anew
            refuse_changed(self.problem, [trial], self.store.folder)
        if not trial.evaluated:  # its latency was measured, and that was all
            self.spent -= self.fraction(trial)
        self.tell(trial)
        for waiting in self.waiting.pop(trial.number, []):
            self.reuse_score(waiting, trial)
        self.count_failures(trial)

    def reuse_score(self, trial: Trial, first: Trial) -> None:
        """A trial of a known network has its score."""
        trial.state, trial.same_as = TrialState.SAME, first.number
        trial.score, trial.costs, trial.arch, trial.error = first.score, first.costs, first.arch, first.error
        if self.config.bill_repeats:
            self.spent += self.fraction(trial)
        self.tell(trial)

    def tell(self, trial: Trial) -> None:
        """The end of a trial: written down first, then told."""
        self.idle = 0 if trial.evaluated else self.idle + 1
        trial.told, self.clock = self.clock, self.clock + 1
        self.write(trial)
        self.strategy.tell(to_proposal(trial), self.strategy_result(trial))
        self.on_trial(self, trial)

    def strategy_result(self, trial: Trial) -> TrialResult:
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

        Raises NetlatheError where it proposes something else than before, or a genotype has become another network.
        """
        refuse_changed(self.problem, trials, self.store.folder)
        asks = {trial.asked: trial for trial in trials} | dict.fromkeys(waits)
        tells = {trial.told: trial for trial in trials if trial.told is not None}
        self.trials = list(trials)
        for self.clock in sorted([*asks, *tells]):
            if self.clock in tells:
                trial = tells[self.clock]
                self.strategy.tell(to_proposal(trial), self.strategy_result(trial))
                continue
            proposal, was = self.strategy.ask(), asks[self.clock]
            if proposal != (None if was is None else to_proposal(was)):
                raise NetlatheError(
                    f"the strategy {self.config.strategy} does not propose again what it proposed as trial "
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
                self.known_costs.setdefault(trial.key, trial.costs)
            if trial.evaluated or (trial.state is TrialState.SAME and self.config.bill_repeats):
                self.spent += self.fraction(trial)
            self.idle = 0 if trial.evaluated else self.idle + 1


def to_proposal(trial: Trial) -> Proposal:
    """What was proposed."""
    return Proposal(trial.genotype, trial.rung, trial.tag)


def apply_result(trial: Trial, result: TaskResult) -> None:
    """What a result says of a trial."""
    measured: Evaluation | None = result.measured
    if measured is None:
        trial.state, trial.error = TrialState.FAILED, result.error or result.died
        return
    trial.costs = {**trial.costs, **measured.costs, **pick_counts(trial.costs)}  # what is counted is not measured
    trial.arch, trial.curve = measured.arch, list(measured.curve)
    trial.costs.pop("latency_low", None) if "latency" in measured.costs else None
    if measured.broken:
        trial.state, trial.error = TrialState.INFEASIBLE, measured.broken
    else:
        trial.state, trial.score, trial.error = TrialState.DONE, measured.score, ""
