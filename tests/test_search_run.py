"""A search survives whatever ends it, records whatever goes wrong, and pays for nothing twice."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import replace
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forked
import numpy as np
import pytest
import searchable
from command import netlathe
from searchable import FILE, paid, wish

from netlathe.errors import NetlatheError
from netlathe.search.config import build_problem, load_space
from netlathe.search.executor import InlineExecutor
from netlathe.search.objective import spec_to_json
from netlathe.search.run import SearchResult, make_strategy, search
from netlathe.search.space import SearchSpace
from netlathe.search.store import TrialStore
from netlathe.search.strategy import Proposal, TrialResult
from netlathe.search.study import Study
from netlathe.search.trial import TaskResult, TrialState

CLI = ["search", "run"]


def command(out: Path, function: str = "slow", *more: str) -> list[str]:
    goal = ["--objective", f"{FILE}:{function}", "--option", "population=6", "--option", "sample=3"]
    return [*CLI, f"{FILE}:space", *goal, "--evaluations", "20", "--final-seeds", "0", *more, "-o", str(out)]


def history(folder: Path) -> list[tuple[Any, ...]]:
    """What a search did, in which order, without times and processes."""
    with TrialStore(folder, write=False) as store:
        return [
            (t.number, t.genotype, t.key, t.seed, t.state, t.score, t.same_as, t.costs, t.error, t.asked, t.told)
            for t in store.trials()
        ]


def killed_at_random(words: list[str], folder: Path, kills: int, longest_s: float) -> int:
    """Start a search and kill its study, again and again; how often it was alive to be killed."""
    dice, done = random.Random(), 0
    for _ in range(kills):
        process = forked.netlathe(words)
        while process.is_alive() and not (folder / "search.db").exists():
            time.sleep(0.02)
        time.sleep(dice.uniform(0.0, longest_s))
        process.kill()
        process.join()
        done += process.exitcode == -signal.SIGKILL
    return done


def test_a_search_that_is_killed_again_and_again_has_the_history_of_one_that_was_not(tmp_path: Path) -> None:
    whole_, broken = tmp_path / "whole", tmp_path / "broken"
    search(wish("slow"), whole_)
    assert killed_at_random(command(broken, "slow", "--workers", "0"), broken, 3, 0.5)
    search(wish("slow"), broken)
    assert history(broken) == history(whole_)
    assert (broken / "best.json").read_bytes() == (whole_ / "best.json").read_bytes()
    assert len(set(paid(whole_))) == len(paid(whole_)) == 20
    assert len(paid(broken)) <= 20 + 3  # only what was open when it was killed is evaluated again


def test_with_several_workers_a_killed_search_goes_on_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    words = [*command(tmp_path, "slow", "--workers", "3"), "--strategy", "local"]  # it often waits for what is open
    words = [word for word in words if word not in ("--option", "population=6", "sample=3")]
    kills = killed_at_random(words, tmp_path, 2, 1.5)
    before = history(tmp_path)
    found = search(wish("slow", strategy="local", options={}), tmp_path, workers=3)
    done = [t for t in found.trials if t.state is TrialState.DONE]
    assert len(done) == 20
    assert len({t.key for t in done}) == 20
    assert len(paid(tmp_path)) <= 20 + 3 * kills
    after = history(tmp_path)
    told = {row[0]: row for row in before if row[-1] is not None}
    assert all(after[number] == row for number, row in told.items())
    assert len({row[-1] for row in after} | {row[-2] for row in after}) == 2 * len(after)  # one order of all


def test_nothing_of_a_finished_search_is_done_again_and_a_longer_one_goes_on_from_it(tmp_path: Path) -> None:
    search(wish("slow", evaluations=10), tmp_path)
    first = history(tmp_path)
    again = search(wish("slow", evaluations=10), tmp_path)
    assert again.ended == "10 evaluations are used up"
    assert history(tmp_path) == first
    search(wish("slow", evaluations=12), tmp_path)
    assert history(tmp_path)[: len(first)] == first
    assert len(paid(tmp_path)) == 12
    search(wish("slow", evaluations=12), tmp_path / "at-once")
    assert history(tmp_path / "at-once") == history(tmp_path)


def test_trials_that_crash_are_not_a_number_or_find_no_memory_are_recorded_and_the_search_goes_on(
    tmp_path: Path,
) -> None:
    found = search(wish("moody", strategy="random", options={}, evaluations=100), tmp_path)
    assert found.ended == "all 64 networks of the space were proposed"
    by_error: dict[str, int] = {}
    for trial in found.trials:
        if trial.state is TrialState.FAILED:
            by_error[trial.error] = by_error.get(trial.error, 0) + 1
            assert trial.score == -np.inf
    assert by_error == {
        "the score is not a number": 16,
        "ZeroDivisionError: a crash on purpose": 16,
        "out of memory: no room on purpose": 8,
    }
    assert sum(t.state is TrialState.DONE for t in found.trials) == 24
    assert found.best is not None
    assert searchable.widths(load_space(f"{FILE}:space").decode(found.best.genotype)) == (16, 8, 32)


def test_a_worker_that_is_killed_is_replaced_and_its_trial_tried_once_more(tmp_path: Path) -> None:
    found = search(wish("deadly", strategy="random", options={}, evaluations=8), tmp_path, workers=2)
    paid_for = paid(tmp_path)
    space = load_space(f"{FILE}:space")
    for trial in found.trials:
        first, _, third = searchable.widths(space.decode(trial.genotype))
        tries = paid_for.count(str(searchable.widths(space.decode(trial.genotype))))
        if first == 4:
            assert (trial.state, tries) == (TrialState.FAILED, 2)
            assert trial.error == "the worker was killed by SIGKILL (out of memory?)"
        else:
            assert (trial.state, tries) == (TrialState.DONE, 2 if third > 8 else 1)
    assert {trial.attempts for trial in found.trials} >= {1, 2}


def test_a_mistake_that_fails_every_trial_ends_the_search_at_once(tmp_path: Path) -> None:
    with pytest.raises(NetlatheError, match="the first 5 trials all failed: OSError: the disk is on fire"):
        search(wish("broken"), tmp_path)


def test_a_space_without_a_choice_is_no_search(tmp_path: Path) -> None:
    with pytest.raises(NetlatheError, match="has one network: nothing to search"):
        search(wish(space=f"{FILE}:single"), tmp_path)


def test_a_folder_of_another_search_is_refused_with_what_differs(tmp_path: Path) -> None:
    search(wish(evaluations=3), tmp_path)
    with pytest.raises(NetlatheError, match=r"other seed\n *seed: finished with 0, asked for 1"):
        search(wish(evaluations=3, seed=1), tmp_path)
    with pytest.raises(NetlatheError, match="unknown strategy"):
        search(wish(strategy="evolutoin"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_strategy_that_would_propose_something_else_is_noticed(tmp_path: Path) -> None:
    search(wish(evaluations=5), tmp_path)
    with TrialStore(tmp_path, write=True) as store:
        first, second, *_ = store.trials()
        store.write(replace(second, number=0, seed=first.seed, asked=first.asked, told=first.told))
    with pytest.raises(NetlatheError, match="does not propose again what it proposed as trial 0"):
        search(wish(evaluations=6), tmp_path)


def test_the_time_is_kept_and_the_rest_is_done_later(tmp_path: Path) -> None:
    found = search(wish("slow", strategy="random", options={}, evaluations=60), tmp_path, seconds=1.2)
    assert found.ended == "the time is up"
    assert 0 < len(paid(tmp_path)) <= 1.2 / 0.03 + 1  # each takes 30 ms at least
    whole_ = search(wish("slow", strategy="random", options={}, evaluations=60), tmp_path)
    assert whole_.ended == "60 evaluations are used up"
    assert len(paid(tmp_path)) == 60


@pytest.mark.parametrize("strategy", ["local", "gp", "halving", "pareto", "reinforce"])
def test_every_kind_of_strategy_is_replayed_after_it_was_interrupted(strategy: str, tmp_path: Path) -> None:
    asked = wish("slow", strategy=strategy, options={}, evaluations=9)
    for seconds in (0.3, 0.3, None):
        found = search(asked, tmp_path / "parts", seconds=seconds)
    search(asked, tmp_path / "at-once")
    assert history(tmp_path / "parts") == history(tmp_path / "at-once")
    assert found.best is not None


def test_rungs_cost_their_fraction_and_start_from_the_rung_below(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from netlathe.search.training import training_spec
    from netlathe.train.recipefile import load

    space = load_space(f"{FILE}:space")
    recipe = load("digits", ["resolution=8", "evaluate.resolution=8", "schedule.warmup=0"])
    objective = spec_to_json(training_spec("digits", recipe, space, epochs=2, fraction=0.2))
    asked = wish(strategy="halving", options={"eta": 2, "rungs": 2, "networks": 2}, objective=objective, evaluations=2)
    found = search(replace(asked, final_seeds=1), tmp_path)
    low, high = ([t for t in found.trials if t.rung == rung] for rung in (0, 1))
    assert (len(low), len(high)) == (2, 1)
    assert high[0].genotype == max(low, key=lambda t: t.score).genotype
    trial = tmp_path / "trials" / f"{high[0].number:05d}"
    result, record = (trial / "result.json").read_text(), json.loads((trial / "run.json").read_text())
    assert record["identity"]["weights"]["name"] == "given weights"
    assert [round(t.curve[-1]["epoch"]) for t in (low[0], high[0])] == [1, 2]
    assert found.final is not None
    assert len(found.final.tests) == 1  # the test images were looked at for the winner alone
    assert '"test": null' in result
    assert found.network is not None
    assert found.network.input == (1, 8, 8)


def test_ctrl_c_keeps_everything_and_says_how_to_go_on(tmp_path: Path) -> None:
    log, out = tmp_path / "log.txt", tmp_path / "out"
    process = forked.netlathe(command(out, "slow", "--workers", "1"), log)
    while not (out / "evaluated.txt").exists() and process.is_alive():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130, log.read_text()
    assert f"netlathe search run --resume -o {out} --workers 1" in log.read_text()
    assert "20 done" in netlathe(*CLI, "--resume", "-o", out).stdout


def ray_search(tmp_path: Path, function: str, evaluations: int) -> SearchResult:
    return search(wish(function, strategy="random", options={}, evaluations=evaluations), tmp_path, workers=2, ray="")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_same_search_on_ray_with_workers_that_are_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    found = ray_search(tmp_path, "deadly", 8)
    space = load_space(f"{FILE}:space")
    for t in found.trials:
        first = searchable.widths(space.decode(t.genotype))[0]
        assert t.state is (TrialState.FAILED if first == 4 else TrialState.DONE)
    assert {t.attempts for t in found.trials} >= {1, 2}
    assert len({t.worker for t in found.trials if t.state is TrialState.DONE}) >= 2


@pytest.mark.slow
def test_a_driver_on_ray_that_is_killed_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = command(tmp_path, "slow", "--workers", "2", "--ray")
    process = forked.netlathe(words)
    while not (tmp_path / "evaluated.txt").exists() and process.is_alive():
        time.sleep(0.05)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = forked.netlathe([*CLI, "--resume", "-o", tmp_path, "--workers", "2", "--ray"])
    again.join()
    assert again.exitcode == 0
    with TrialStore(tmp_path, write=False) as store:
        keys = [t.key for t in store.trials() if t.state is TrialState.DONE]
    assert len(keys) == len(set(keys)) == 20


class Shy:
    """Proposes only while fewer than two proposals are open, and moves its dice whenever it is asked."""

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.rng, self.open = space, np.random.default_rng(0), 0

    def ask(self) -> Proposal | None:
        drawn = self.space.sample(self.rng)
        if self.open == 2:
            return None
        self.open += 1
        return Proposal(drawn)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        self.open -= 1


class Three(InlineExecutor):
    """Takes three tasks, and ends the last one first."""

    size = 3

    @property
    def free(self) -> int:
        return 3 - len(self.tasks)


def test_asks_that_a_strategy_did_not_answer_are_replayed_too(tmp_path: Path) -> None:
    asked = wish(evaluations=8)
    what = build_problem(asked, tmp_path)
    with TrialStore(tmp_path, write=True) as store:
        study = Study(asked, what, Shy(what.space), store, Three(what.objective))
        study.run()
        assert len(store.waits()) >= 5
        again = Study(asked, what, Shy(what.space), store, Three(what.objective))
        again.replay(store.trials(), store.waits())
        store.db.execute("DELETE FROM waits")
        with pytest.raises(NetlatheError, match="does not propose again"):
            Study(asked, what, Shy(what.space), store, Three(what.objective)).replay(store.trials(), [])


class Clocked(InlineExecutor):
    """Every trial takes 10 s of a clock that only this executor moves; those from `stuck` on never end."""

    def __init__(self, objective: Any, stuck: float = inf) -> None:
        super().__init__(objective)
        self.now, self.stuck, self.waits = 0.0, stuck, list[float | None]()

    def wait(self, seconds: float | None = None) -> list[TaskResult]:
        self.waits.append(seconds)
        if len(self.waits) > self.stuck:
            assert seconds is not None
            self.now += seconds
            return []
        self.now += 10.0
        return [result._replace(seconds=10.0) for result in super().wait(seconds)]


@pytest.mark.parametrize(
    ("final_seeds", "stuck", "waits", "ends"),
    [
        (0, inf, [65, 55, 45, 35, 25, 15], 60),  # a seventh trial would end at 70
        (2, inf, [65, 55, 45, 35], 40),  # two fresh seeds of the winner need another 20
        (0, 2, [65, 55, 45], 65),  # one that hangs is waited for until the wall, and no longer
    ],
)
def test_a_search_keeps_its_wall(
    final_seeds: int, stuck: float, waits: list[float], ends: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = wish("seeded", strategy="random", options={}, evaluations=50, final_seeds=final_seeds, final_top=1)
    problem = build_problem(asked, tmp_path)
    executor = Clocked(problem.objective, stuck)
    monkeypatch.setattr("netlathe.search.study.time", SimpleNamespace(monotonic=lambda: executor.now, time=time.time))
    with TrialStore(tmp_path, write=True) as store:
        strategy = make_strategy(asked, problem)
        study = Study(asked, problem, strategy, store, executor, deadline=65.0)
        assert study.run() == "the time is up"
    assert (executor.waits, executor.now) == (waits, ends)
    assert len(study.open) == (stuck < inf)


def test_at_the_wall_open_trials_are_left_for_the_next_call(tmp_path: Path) -> None:
    asked = wish("sleepy", strategy="random", options={}, evaluations=6, final_seeds=2)
    first = search(asked, tmp_path, workers=2, seconds=3.0)
    assert first.ended == "the time is up"
    assert sum(t.state is TrialState.RUNNING for t in first.trials) <= 2
    found = search(asked, tmp_path, workers=2)
    assert sum(t.state is TrialState.DONE for t in found.trials) == 6
    assert found.final is not None
    assert len(found.final.scores) == 2


def test_a_search_that_trains_and_is_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from netlathe.search.training import training_spec
    from netlathe.train.recipefile import load

    changes = ["resolution=8", "evaluate.resolution=8", "batch=8"]
    what = training_spec(
        "digits", load("digits", changes), load_space(f"{FILE}:space"), epochs=2, fraction=0.2, judges=60
    )
    asked = wish(strategy="random", options={}, objective=spec_to_json(what), evaluations=2, final_seeds=1)
    whole_ = search(asked, tmp_path / "whole")
    words = [*CLI, f"{FILE}:space", "--strategy", "random", "--evaluations", "2", "--final-seeds", "1"]
    words += ["--recipe", "digits", "--epochs", "2", "--fraction", "0.2", "--judges", "60", "--workers", "0"]
    words += [word for change in changes for word in ("--set", change)]
    broken = tmp_path / "broken"
    assert killed_at_random([*words, "-o", str(broken)], broken, 2, 0.5)
    found = search(asked, broken)
    assert history(broken) == history(tmp_path / "whole")
    assert found.final == whole_.final
    assert [t.curve for t in found.trials] == [t.curve for t in whole_.trials]
    assert (broken / "best.json").read_bytes() == (tmp_path / "whole" / "best.json").read_bytes()
