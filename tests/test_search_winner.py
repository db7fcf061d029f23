"""What a search finds keeps the limits, is the best of what was paid for, and is told with its winner's curse."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import searchable
from searchable import FILE, paid, wish

from netlathe.choose.budget import Budget
from netlathe.errors import Infeasible, NetlatheError
from netlathe.search.config import build_problem, load_space
from netlathe.search.feasibility import feasible_share
from netlathe.search.finals import claim_winners
from netlathe.search.objective import FunctionSpec, spec_from_json, spec_to_json
from netlathe.search.run import require_best, search
from netlathe.search.store import TrialStore
from netlathe.search.summary import best_trial, finished_trials, trial_front
from netlathe.search.trial import Trial, TrialState


def test_the_winner_is_evaluated_on_fresh_seeds_and_the_curse_is_told(tmp_path: Path) -> None:
    found = search(wish("seeded", final_seeds=5, evaluations=30), tmp_path)
    assert found.final is not None
    assert found.best is not None
    assert len(found.final.scores) == 5
    assert found.final.searched == max(t.score for t in found.trials)
    clean = searchable.score(load_space(f"{FILE}:space").decode(found.best.genotype))
    assert clean <= found.final.score <= clean + 2
    assert found.final.gap == pytest.approx(found.final.searched - np.mean(found.final.scores))
    again = search(wish("seeded", final_seeds=5, evaluations=30), tmp_path)
    assert again.final == found.final


def test_a_claim_is_measured_again_once_so_that_a_search_that_goes_on_keeps_its_winner() -> None:
    trials = [Trial(i, (i,), None, 0, str(i), 0, i, TrialState.DONE, score=float(3 - i)) for i in range(3)]
    latency, asked, rows = {(0,): 3.0, (1,): 1.0, (2,): 1.0}, [], []

    def remeasured(genotype: tuple[int, ...]) -> dict[str, float]:
        asked.append(genotype)
        return {"latency": latency[genotype]}

    what = SimpleNamespace(objective=SimpleNamespace(remeasured=remeasured, hopeful=True), budget=Budget(latency=2.0))
    store = SimpleNamespace(finals=lambda: rows, write=lambda trial: None)
    first = claim_winners(SimpleNamespace(final_top=1), what, store, trials, print)
    assert [trial.number for trial in first] == [1]  # the best breaks the budget
    rows.append({"number": 1})
    latency.update({(0,): 1.0, (1,): 9.0})  # as a busy machine would have it
    assert claim_winners(SimpleNamespace(final_top=1), what, store, trials, print) == first
    assert asked == [(0,), (1,)]


def test_the_best_few_may_get_fresh_seeds_and_their_mean_decides(tmp_path: Path) -> None:
    found = search(wish("seeded", final_seeds=3, final_top=4, evaluations=30), tmp_path)
    with TrialStore(tmp_path, write=False) as store:
        rows = store.finals()
    means = {n: np.mean([row["score"] for row in rows if row["number"] == n]) for n in {r["number"] for r in rows}}
    assert len(means) == 4
    assert found.best is not None
    assert means[found.best.number] == max(means.values())


def test_limits_are_kept_and_what_breaks_them_is_never_evaluated(tmp_path: Path) -> None:
    found = search(wish("slow", limits={"macs": "100k"}), tmp_path)
    states = {state: [t for t in found.trials if t.state is state] for state in TrialState}
    assert states[TrialState.DONE]
    assert states[TrialState.INFEASIBLE]
    assert all(t.costs["macs"] <= 100_000 for t in states[TrialState.DONE])
    assert all("macs" in t.error for t in states[TrialState.INFEASIBLE])
    assert len(paid(tmp_path)) == len(states[TrialState.DONE])


def test_limits_that_no_network_keeps_are_refused_with_the_smallest_one_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(Infeasible, match=r"macs needs 5\.23k at least; the nearest is 000 with macs") as raised:
        search(wish("slow", limits={"macs": "1k", "size": "1MB"}), tmp_path)
    assert raised.value.exit == 3
    needed = raised.value.hint.rpartition(" ")[2]
    assert not (tmp_path / "evaluated.txt").exists()
    found = search(wish("slow", limits={"macs": needed, "size": "1MB"}), tmp_path)  # what it says really works
    assert require_best(found).genotype == (0, 0, 0)


def test_objectives_are_data_that_makes_them_again() -> None:
    description = FunctionSpec(f"{FILE}:score")
    assert spec_from_json(spec_to_json(description)) == description
    with pytest.raises(NetlatheError, match="unknown kind of objective 'trian'"):
        spec_from_json({"kind": "trian"})
    with pytest.raises(NetlatheError, match=r"funtion: unknown field \(did you mean function\?\)"):
        spec_from_json({"kind": "call", "funtion": "x.py:f"})


def test_costs_are_those_of_the_network_itself(tmp_path: Path) -> None:
    what = build_problem(wish(), tmp_path)
    graph = what.space.decode((1, 2, 3)).graph()
    assert what.objective.costs((1, 2, 3))["macs"] == sum(op.macs for op in graph.ops)


def trial(
    number: int, score: float, state: TrialState = TrialState.DONE, rung: int | None = None, **costs: float
) -> Trial:
    return Trial(number, (number,), rung, 0, str(number), 0, 0, state, score=score, costs=costs)


def test_the_best_is_of_the_highest_rung_and_the_front_is_of_those_that_nothing_beats() -> None:
    some = [trial(0, 9.0, rung=0), trial(1, 5.0, rung=1), trial(2, 6.0, rung=1), trial(3, 7.0, TrialState.FAILED, 1)]
    assert [t.number for t in finished_trials(some)] == [2, 1]
    top = best_trial(some)
    assert top is not None
    assert top.number == 2
    costly = [trial(0, 9.0, macs=5), trial(1, 8.0, macs=5), trial(2, 7.0, macs=3), trial(3, 6.0, macs=4)]
    assert [t.number for t in trial_front(costly)] == [0, 2]


def test_limits_that_only_clash_together_are_told_as_that() -> None:
    class Clash:
        """Small files cost many MACs here."""

        hopeful, fresh = False, 0

        def costs(self, genotype: tuple[int, ...]) -> dict[str, float]:
            return {"macs": 10e6 + 1e6 * sum(genotype), "size": 19e6 - 1e6 * sum(genotype)}

    space = load_space(f"{FILE}:space")
    budget = Budget(macs=13_000_000, size=13_000_000)
    with pytest.raises(Infeasible, match="each limit alone can be met, together they cannot: macs needs 10M"):
        feasible_share(space, Clash(), budget, np.random.default_rng(0))  # type: ignore[arg-type]
    assert feasible_share(space, Clash(), Budget(macs=15_000_000, size=15_000_000), np.random.default_rng(0)) > 0  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["macs", "jacob_cov"])
def test_a_proxy_is_an_objective(name: str, tmp_path: Path) -> None:
    found = search(wish(objective={"kind": "proxy", "name": name}, evaluations=3), tmp_path)
    assert found.best is not None
    if name == "macs":
        assert found.best.score == found.best.costs["macs"]
    with pytest.raises(NetlatheError, match="unknown proxy"):
        search(wish(objective={"kind": "proxy", "name": "zico"}), tmp_path / "other")


def test_a_latency_is_forecast_first_and_measured_before_anything_is_paid(tmp_path: Path, calibrated: Path) -> None:
    found = search(wish("slow", evaluations=2, limits={"latency": "50ms"}), tmp_path / "out")
    done = [t for t in found.trials if t.state is TrialState.DONE]
    assert len(done) == 2
    assert all(0 < t.costs["latency"] < 50 and "latency_low" not in t.costs for t in done)
    assert "median_ms" in (calibrated / "measurements.jsonl").read_text()  # they are in the ledger
    with pytest.raises(Infeasible, match="latency needs"):
        search(wish("slow", limits={"latency": "1us"}), tmp_path / "none")
    assert not (tmp_path / "none" / "evaluated.txt").exists()
