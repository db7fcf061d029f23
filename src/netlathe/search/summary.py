"""What the trials of a search say: the best, the front, what failed and why, how much was infeasible or known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from statistics import mean, stdev
from typing import Any, NamedTuple

from netlathe.search.trial import Genotype, Trial, TrialState
from netlathe.stats.pareto import pareto_front
from netlathe.stats.student import t_half_width

FEW = 10  # trials, below which nothing is said of decisions
COSTS = ("latency", "macs", "size", "memory")  # what the front is about, where it is known


class FinalResult(NamedTuple):
    """A winner on fresh seeds. `gap` is the winner's curse: what the search said beyond what unseen seeds say."""

    number: int
    scores: tuple[float, ...]
    tests: tuple[float, ...]
    searched: float

    @property
    def score(self) -> float:
        return mean(self.scores)

    @property
    def test(self) -> float | None:
        return mean(self.tests) if self.tests else None

    @property
    def gap(self) -> float:
        return self.searched - self.score

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds."""
        return stdev(self.scores) if len(self.scores) > 1 else None

    def half(self) -> float | None:
        """Half the 95 % interval of the mean over seeds (Student's t); None for one seed."""
        if self.spread is None:
            return None
        return t_half_width(self.spread, len(self.scores))


def finished_trials(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that finished on the highest rung that any reached, best first; of equals the earlier one."""
    done = [trial for trial in trials if trial.state is TrialState.DONE and trial.score > -inf]
    top = max((rung_height(trial) for trial in done), default=0.0)
    return sorted(
        (trial for trial in done if rung_height(trial) == top), key=lambda trial: (-trial.score, trial.number)
    )


def rung_height(trial: Trial) -> float:
    """How high; the whole evaluation is the highest."""
    return inf if trial.rung is None else trial.rung


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """The best whole evaluation."""
    return next(iter(finished_trials(trials)), None)


def trial_front(trials: Sequence[Trial], costs: Sequence[str] = COSTS) -> list[Trial]:
    """The trials that no other beats in score and all costs that are known of all; best first."""
    finished = finished_trials(trials)
    names = [name for name in costs if finished and all(name in trial.costs for trial in finished)]
    points = [(-trial.score, *(trial.costs[name] for name in names)) for trial in finished]
    return [finished[i] for i in pareto_front(points)] if names else finished[:1]


def count_states(trials: Sequence[Trial]) -> dict[str, int]:
    """How many trials ended how."""
    by_state = Counter(trial.state.value for trial in trials)
    return {state.value: by_state[state.value] for state in TrialState if by_state[state.value]}


def count_failures(trials: Sequence[Trial]) -> dict[str, int]:
    """Why trials failed, the most frequent reason first."""
    return dict(Counter(trial.error for trial in trials if trial.state is TrialState.FAILED).most_common())


def count_reasons(trials: Sequence[Trial]) -> dict[str, int]:
    """How many infeasible trials broke which limit, the most frequent first; a trial may break several."""
    reasons = Counter(
        re.split(r" (?=[-\d.~])", part, maxsplit=1)[0] if " > " in part else part
        for trial in trials
        if trial.state is TrialState.INFEASIBLE
        for part in trial.error.split(", ")
    )
    return dict(reasons.most_common())


Decisions = Sequence[tuple[str, Sequence[str]]]  # (name, options) in the order of a genotype


def read_decisions(facts: Mapping[str, Any]) -> Decisions:
    """The decisions that a search wrote down; none in folders of older versions."""
    return [(name, options) for name, options in facts.get("decisions", ())]


def name_options(genotype: Genotype, decisions: Decisions) -> dict[str, str]:
    """What was chosen, by decision; empty where the decisions are not known."""
    if len(genotype) != len(decisions):
        return {}
    return {name: str(options[i]) for i, (name, options) in zip(genotype, decisions, strict=True)}


def decision_importance(trials: Sequence[Trial], decisions: Decisions) -> dict[str, float]:
    """How much of the variance of the scores each decision explains by itself, the largest first.

    The share of its options' means (omega squared, Hays 1963): what chance would give is taken off, so that a decision
    that does not matter has about 0. Of the finished trials, which a strategy has chosen: a hint, not an experiment.
    Empty below 10 trials.
    """
    done = [trial for trial in finished_trials(trials) if len(trial.genotype) == len(decisions)]
    if len(done) < FEW:
        return {}
    scores = [trial.score for trial in done]
    middle = mean(scores)
    total = sum((score - middle) ** 2 for score in scores)
    shares: dict[str, float] = {}
    for i, (name, _) in enumerate(decisions):
        groups: dict[int, list[float]] = {}
        for trial in done:
            groups.setdefault(trial.genotype[i], []).append(trial.score)
        between = sum(len(group) * (mean(group) - middle) ** 2 for group in groups.values())
        free = len(done) - len(groups)
        within = (total - between) / free if free > 0 else 0.0
        if total > 0 and free > 0 and len(groups) > 1:
            shares[name] = max(0.0, (between - (len(groups) - 1) * within) / (total + within))
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def final_result(number: int, trials: Sequence[Trial], finals: Sequence[dict[str, Any]]) -> FinalResult | None:
    """The finished trainings of a winner on fresh seeds."""
    rows = [row for row in finals if row["number"] == number and row["score"] is not None]
    if not rows:
        return None
    tests = tuple(row["test"] for row in rows if row["test"] is not None)
    return FinalResult(number, tuple(row["score"] for row in rows), tests, trials[number].score)


def winning_trial(trials: Sequence[Trial], facts: Mapping[str, Any]) -> Trial | None:
    """What the search ended with; while it runs, the best so far."""
    number = facts.get("winner")
    return best_trial(trials) if number is None else trials[number]
