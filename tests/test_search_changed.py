"""A search goes on only with what it was begun with: a network that was never evaluated is never delivered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import netlathe

from netlathe.arch.document import from_json
from netlathe.cost.totals import totals
from netlathe.errors import NetlatheError
from netlathe.runfolder.folder import open_run
from netlathe.search import finals, identity
from netlathe.search.config import SearchConfig, build_problem
from netlathe.search.executor import ProcessExecutor
from netlathe.search.objective import TableSpec
from netlathe.search.run import search, winner_network
from netlathe.search.store import SEARCH, TrialStore
from netlathe.search.study import apply_result
from netlathe.search.trial import Evaluation, TaskResult, Trial, TrialTask

SPACE = """
from netlathe.arch.build import conv, head, seq
from netlathe.arch.combinators import Choice
from netlathe.arch.network import Network
from netlathe.search.space import SearchSpace
def space():
    widths = {"narrow": 8, "middle": 16, "wide": 32}
    layers = {n: Choice(tuple(widths), tuple(conv(w, 3, 2) for w in widths.values()), n) for n in "ab"}
    return SearchSpace("mine", Network("mine", seq(**layers, head=head(10)), (3, 32, 32)))
"""
GOAL = """
from netlathe.cost.totals import totals
def score(network, seed=0, fraction=1.0):
    return totals(network.body, network.input).params / 1e5
"""


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with a space, an objective, and a search of three evaluations under 520k MACs."""
    (tmp_path / "space3.py").write_text(SPACE)
    (tmp_path / "goal.py").write_text(GOAL)
    goal = ["--objective", "goal.py:score", "--macs", "520k", "--final-seeds", "0"]
    netlathe("search", "run", "space3.py:space", *goal, "--evaluations", 3, "-o", "run", cwd=tmp_path)
    return tmp_path


def resume(folder: Path, code: int, *more: object) -> str:
    done = netlathe("search", "run", "--resume", "-o", "run", "--evaluations", 4, *more, cwd=folder, code=code)
    return done.stderr


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def config_in(folder: Path) -> SearchConfig:
    with TrialStore(folder / "run", write=False) as store:
        return SearchConfig(**store.facts()["config"])


def test_a_search_whose_space_has_changed_is_refused_by_name_and_goes_on_with_the_old_one(begun: Path) -> None:
    change(begun / "space3.py", '"wide": 32', '"wide": 48')
    before = (begun / "run" / "best.json").read_bytes()
    said = resume(begun, 2)
    assert "another search: other space" in said
    assert "space3.py:space (" in said
    assert (begun / "run" / "best.json").read_bytes() == before
    change(begun / "space3.py", '"wide": 48', '"wide": 32')
    resume(begun, 0)
    network = from_json((begun / "run" / "best.json").read_text())
    assert totals(network.body, network.input).macs <= 520_000


def test_a_search_whose_objective_has_changed_is_refused_by_name(begun: Path) -> None:
    change(begun / "goal.py", "/ 1e5", "/ -1e5")
    assert "other objective.function" in resume(begun, 2)


def test_a_space_counts_by_its_expression_too_which_may_change_through_what_the_file_imports(begun: Path) -> None:
    config = config_in(begun)
    problem = build_problem(config, begun / "run")
    wider = replace(problem.space, network=problem.space.network.at(16))
    assert identity.space_content(config.space, wider) != identity.space_content(config.space, problem.space)


def test_another_file_of_the_same_content_is_the_same_search(begun: Path) -> None:
    (begun / "run" / "best.json").unlink()
    config = config_in(begun)
    for name in ("space3.py", "goal.py"):
        (begun / f"moved_{name}").write_bytes((begun / name).read_bytes())
    moved = replace(
        config,
        space=f"{begun}/moved_space3.py:space",
        objective=config.objective | {"function": f"{begun}/moved_goal.py:score"},
    )
    search(moved, begun / "run")
    assert (begun / "run" / "best.json").exists()


@pytest.mark.parametrize("field", ["key", "arch", "macs", "params"])
def test_every_replayed_trial_is_compared_with_what_the_space_builds(begun: Path, field: str) -> None:
    with TrialStore(begun / "run", write=True) as store:
        last = next(t for t in reversed(store.trials()) if t.arch and t.same_as is None)
        changed = {field: "other"} if field in ("key", "arch") else {"costs": last.costs | {field: 7}}
        store.write(replace(last, **changed))  # type: ignore[arg-type]
    said = resume(begun, 2)
    assert f"trial {last.number} is no longer the network that it was" in said
    assert {"arch": "another network", "key": "another key"}.get(field, f"{field} 7 there, ") in said
    again = netlathe("search", "export", "run", "--trial", last.number, "-o", "x.json", cwd=begun, code=2)
    assert "is no longer the network" in again.stderr
    assert not (begun / "x.json").exists()


def test_what_is_exported_is_what_was_evaluated(begun: Path) -> None:
    change(begun / "space3.py", '"narrow": 8, "middle": 16, "wide": 32', '"narrow": 9, "middle": 17, "wide": 33')
    done = netlathe("search", "export", "run", "-o", "x.json", cwd=begun, code=2)
    assert "is no longer the network that it was" in done.stderr


def test_a_worker_that_is_started_after_a_file_has_changed_ends_the_search(begun: Path) -> None:
    executor = ProcessExecutor(1, {"folder": str(begun), "files": identity.code_files(config_in(begun))})
    change(begun / "goal.py", "/ 1e5", "/ -1e5")
    with pytest.raises(NetlatheError, match=r"goal\.py: this file has changed since the search began"):
        executor.submit(TrialTask(0, (0, 0), 1.0, 0, "trial"))
    executor.close()


def test_a_worker_that_builds_another_network_ends_the_search(begun: Path) -> None:
    problem = build_problem(config_in(begun), begun / "run")
    with TrialStore(begun / "run", write=False) as store:
        trial = next(t for t in store.trials() if t.arch)
    apply_result(trial, TaskResult(trial.number, Evaluation(1.0, {}, "another")))
    with pytest.raises(NetlatheError, match="another network"):
        winner_network(problem, trial, begun)


def test_a_final_training_of_another_network_is_none(begun: Path) -> None:
    task = TrialTask(0, (0, 0), 1.0, 10**9, "final")
    with TrialStore(begun / "run", write=True) as store:
        for arch, score in (("other", None), ("same", 3.0)):
            finals.store_final(store, task, TaskResult(0, Evaluation(3.0, {}, arch)), {0: "same"})
            assert store.finals()[0]["score"] == score


def test_a_function_cannot_replace_what_is_counted() -> None:
    trial = Trial(0, (0,), None, 0, "k", 0, 0, costs={"macs": 5, "params": 6, "latency": 3.0})
    apply_result(trial, TaskResult(0, Evaluation(1.0, {"macs": 1, "latency": 2.0, "mine": 4.0})))
    assert trial.costs == {"macs": 5, "params": 6, "latency": 2.0, "mine": 4.0}


def test_tables_count_by_their_bytes(begun: Path) -> None:
    space, files = build_problem(config_in(begun), begun).space, (begun / "scores.npz", begun / "latencies.csv")
    spec = TableSpec(path=str(files[0]), latencies=str(files[1]), device="phone")
    for file in files:
        file.write_text("a")
    before = spec.contents(space)
    for file, field in zip(files, ("path", "latencies"), strict=True):
        file.write_text("b")
        assert spec.contents(space)[field]["key"] != before[field]["key"]


def test_two_searches_at_once_the_second_ends_and_the_first_loses_nothing(begun: Path) -> None:
    with open_run(begun / "run", SEARCH):
        before = {path: path.read_bytes() for path in (begun / "run").rglob("*") if path.is_file()}
        said = resume(begun, 2)
        assert "is at work in this folder" in said
        assert "netlathe search show may look" in said
        assert before == {path: path.read_bytes() for path in (begun / "run").rglob("*") if path.is_file()}


def test_images_that_have_changed_are_another_search(tmp_path: Path) -> None:
    rng, labels = np.random.default_rng(0), np.arange(60) % 2
    pixels = rng.integers(0, 255, (60, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "photos.npz", images=pixels, labels=labels)
    (tmp_path / "space3.py").write_text(SPACE)
    words = ["--data", "photos.npz", "--recipe", "digits", "--resolution", 8, "--epochs", 1, "--final-seeds", 0]
    words += ["--workers", 0, "--set", "batch=8", "--strategy", "random"]
    netlathe("search", "run", "space3.py:space", *words, "--evaluations", 1, "-o", "run", cwd=tmp_path)
    pixels[0] = 255 - pixels[0]
    np.savez(tmp_path / "photos.npz", images=pixels, labels=labels)
    said = resume(tmp_path, 2, "--workers", 0)
    assert "other objective.data" in said


def test_a_search_that_never_began_says_so(tmp_path: Path) -> None:
    TrialStore(tmp_path, write=True).close()
    done = netlathe("search", "show", tmp_path, code=2)
    assert "this search was never begun" in done.stderr
    with TrialStore(tmp_path, write=True) as store:
        store.write_facts(config={"sp": 1})
    assert "the configuration of the search: 5 faults" in netlathe("search", "show", tmp_path, code=2).stderr


def test_the_record_names_space_objective_and_machine_by_content(begun: Path) -> None:
    record = json.loads((begun / "run" / "run.json").read_text())
    assert (record["kind"], record["state"]) == ("search", "finished")
    assert record["identity"]["space"]["name"].endswith("space3.py:space")
    assert len(record["identity"]["objective"]["function"]["key"]) > 64
