"""netlathe search as people use it: run, look, export, go on; and what it says of mistakes."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from command import netlathe
from searchable import FILE

CLI = [sys.executable, "-m", "netlathe"]
TABLE = Path(__file__).parent.parent / "../shared/data/nas_bench_macro/nas_bench_macro.npz"


def run(*words: str | Path, code: int = 0) -> CompletedProcess[str]:
    return netlathe(*words, code=code)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search."""
    out = tmp_path_factory.mktemp("search") / "out"
    goal = ["--objective", f"{FILE}:moody", "--strategy", "random", "--macs", "100k", "--evaluations", "20"]
    done = run("search", f"{FILE}:space", *goal, "-o", out)  # the short form of `search run`
    assert "may keep the budget" in done.stderr
    assert "winner" in done.stdout
    return out


def test_show_tells_the_front_the_winner_and_what_went_wrong(searched: Path) -> None:
    said = run("search", "show", searched).stdout
    for words in ("front of", "macs", "winner       trial", "infeasible", "failed", "x ZeroDivisionError: a crash"):
        assert words in said
    found = json.loads(run("search", "show", searched, "--json").stdout)
    assert found["schema"] == "netlathe.search.show/1"
    data = found["data"]
    assert data["counts"]["done"] + data["counts"]["failed"] == 20
    scores = [trial["score"] for trial in data["trials"] if trial["state"] == "done"]
    assert data["best"]["score"] == max(scores)
    assert all(trial["costs"]["macs"] <= 100_000 for trial in data["front"])
    assert data["front"][0] == data["best"]
    assert sum(data["failures"].values()) == data["counts"]["failed"]
    assert data["reasons"] == {"macs": data["counts"]["infeasible"]}


def test_what_was_chosen_has_its_names_and_what_it_matters(searched: Path) -> None:
    data = json.loads(run("search", "show", searched, "--json").stdout)["data"]
    decisions = list(data["winner"]["choices"])
    assert len(decisions) == len(data["winner"]["genotype"]) > 1
    assert set(data["importance"]) <= set(decisions)
    assert all(0 <= share <= 1 for share in data["importance"].values())
    said = run("search", "show", searched).stdout
    first, option = next(iter(data["winner"]["choices"].items()))
    assert f"{first} {option}" in said
    assert "decisions    explain of the scores: " in said


def test_every_trial_is_a_row_of_the_csv(searched: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("search", "show", searched, "--csv").stdout)))
    data = json.loads(run("search", "show", searched, "--json").stdout)["data"]
    assert len(rows) == len(data["trials"])
    for row, trial in zip(rows, data["trials"], strict=True):
        assert (int(row["number"]), row["state"]) == (trial["number"], trial["state"])
        assert row["genotype"] == "".join(map(str, trial["genotype"]))
        assert row["score"] == ("" if trial["score"] is None else str(trial["score"]))


def test_the_winner_is_a_network_like_any_other(searched: Path, tmp_path: Path) -> None:
    best = tmp_path / "best.json"
    run("search", "export", searched, "-o", best)
    assert best.read_text() == (searched / "best.json").read_text()
    winner = json.loads(run("search", "show", searched, "--json").stdout)["data"]["winner"]
    counted = json.loads(run("cost", best, "--json").stdout)["data"]
    assert counted["macs"] == winner["costs"]["macs"]
    assert counted["params"] == winner["costs"]["params"]
    other = run("search", "export", searched, "--trial", 0, "-o", tmp_path / "first.json").stdout
    assert "trial 0" in other
    assert "no trial 999" in run("search", "export", searched, "--trial", 999, code=2).stderr


def test_a_finished_search_says_the_same_again(searched: Path) -> None:
    first = run("search", "show", searched).stdout
    assert run("search", "run", "--resume", "-o", searched).stdout == first


def test_mistakes_get_one_screen(searched: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    goal = ["--objective", f"{FILE}:score"]
    space = f"{FILE}:space"
    mistakes = [
        (["search", "run", "-o", new], "SPACE is missing"),
        (["search", "run", "macroo", "-o", new], "unknown space 'macroo'"),
        (["search", "shwo", "-o", new], "did you mean show?"),
        (["search", space, *goal, "--strategy", "evolutoin", "-o", new], "did you mean evolution or"),
        (["search", space, *goal, "--option", "population", "-o", new], "--option population=10"),
        (["search", space, *goal, "--option", "population=1", "-o", new], "population=1 is not legal"),
        (["search", space, *goal, "--macs", "20", "-o", new], "has no unit"),
        (["search", space, "--objective", "tran", "-o", new], "legal: train"),
        (["search", space, "--objective", f"{FILE}:scor", "-o", new], "did you mean score?"),
        (["search", space, *goal, "-o", searched], "this folder holds another search"),
        (["search", "run", space, "--resume", "-o", searched], "leave SPACE out"),
        (["search", "run", "--resume", "-o", new], "there is no search in this folder"),
        (["search", "show", tmp_path], "there is no search in this folder"),
    ]
    for words, said in mistakes:
        done = run(*words, code=2)
        assert said in done.stderr, words
        assert "Traceback" not in done.stderr
    assert not new.exists()


def test_limits_that_nothing_keeps_end_with_code_3(tmp_path: Path) -> None:
    words = ["search", f"{FILE}:space", "--objective", f"{FILE}:score", "--macs", "1k", "-o", tmp_path]
    done = run(*words, code=3)
    assert "toy has no network that keeps this budget: macs needs" in done.stderr
    assert "nearest that works: --macs" in done.stderr


def test_spaces_and_strategies_are_listed_with_what_they_are() -> None:
    spaces = json.loads(run("search", "spaces", "--json").stdout)["data"]
    assert {"name": "macro", "size": 6561}.items() <= next(s for s in spaces if s["name"] == "macro").items()
    assert "6,561 networks" in run("search", "spaces").stdout
    strategies = {s["name"]: s for s in json.loads(run("search", "strategies", "--json").stdout)["data"]}
    assert strategies["evolution"]["options"]["population"]["default"] == 20
    assert "evolution" in run("search", "strategies").stdout


@pytest.mark.data
def test_a_table_is_searched_in_a_moment_and_its_other_trainings_tell_the_curse(tmp_path: Path) -> None:
    if not TABLE.exists():
        pytest.skip("needs ../shared/data")
    words = ["search", "macro", "--objective", f"table:{TABLE},noisy=true", "--evaluations", "200", "--macs", "50M"]
    data = json.loads(run(*words, "-o", tmp_path, "--json").stdout)["data"]
    assert data["counts"]["done"] == 200
    assert len(data["final"]["scores"]) == 2
    assert data["final"]["gap"] == pytest.approx(data["best"]["score"] - sum(data["final"]["scores"]) / 2)
    assert all(t["costs"]["macs"] <= 50e6 for t in data["trials"] if t["state"] == "done")
