"""The store of a search: complete after a kill, one driver at a time, and clear about files that are not its own."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlathe.errors import NetlatheError
from netlathe.search import store as stores
from netlathe.search.store import TrialStore
from netlathe.search.trial import Trial, TrialState


def trial(number: int, **values: object) -> Trial:
    return Trial(number, (number, 1), None, 0, f"key{number}", number, 2 * number, **values)  # type: ignore[arg-type]


numbers = st.integers(0, 10**6)
figures = st.floats(allow_nan=False, allow_infinity=False, width=32)
trials = st.builds(
    Trial,
    number=numbers,
    genotype=st.lists(st.integers(0, 9)).map(tuple),
    rung=st.none() | st.integers(0, 5),
    tag=numbers,
    key=st.text(),
    seed=numbers,
    asked=numbers,
    state=st.sampled_from(TrialState),
    told=st.none() | numbers,
    same_as=st.none() | numbers,
    attempts=st.integers(0, 2),
    score=figures | st.just(-inf),
    costs=st.dictionaries(st.sampled_from(["macs", "latency"]), figures | st.just(inf)),
    curve=st.lists(st.dictionaries(st.just("accuracy"), figures), max_size=2),
    error=st.text(st.characters(exclude_categories=["Cs"])),
    seconds=figures,
)


@given(trials)
def test_a_trial_comes_back_as_it_was_written(written: Trial) -> None:
    assert stores.trial_from_row(stores.trial_to_row(written)) == written


def test_what_is_written_is_read_by_others_while_the_driver_goes_on(tmp_path: Path) -> None:
    with TrialStore(tmp_path, write=True) as driver:
        driver.write_facts(config={"space": "macro"})
        driver.write(trial(0, score=1.5), waits=[7])
        with TrialStore(tmp_path, write=False) as reader:
            assert [found.score for found in reader.trials()] == [1.5]
            assert reader.waits() == [7]
            driver.write(trial(1), trial(0, score=2.5))
            assert [found.score for found in reader.trials()] == [2.5, -inf]
            assert reader.facts() == {"config": {"space": "macro"}}


def test_a_full_disk_is_said_and_what_was_written_before_is_whole(tmp_path: Path) -> None:
    with TrialStore(tmp_path, write=True) as store:
        store.write(trial(0, score=1.5))
        store.db.execute("PRAGMA max_page_count=1")  # as SQLite answers where there is no room
        with pytest.raises(NetlatheError, match="database or disk is full") as raised:
            store.write(*(trial(number, error="x" * 1000) for number in range(1, 100)))
        assert raised.value.path == str(tmp_path / stores.FILE)
    with TrialStore(tmp_path, write=True) as store:
        written = store.trials()
        assert [t.number for t in written] == list(range(len(written)))
        store.write(trial(len(written)))


@pytest.mark.parametrize(
    "damage",
    ["UPDATE trials SET genotype = '['", "UPDATE trials SET state = 'asleep'", "UPDATE facts SET value = '{'",
     "DROP TABLE trials"],
)  # fmt: skip
def test_a_damaged_store_is_named(tmp_path: Path, damage: str) -> None:
    with TrialStore(tmp_path, write=True) as store:
        store.write(trial(0))
        store.write_facts(config={})
        store.db.execute(damage)
    with TrialStore(tmp_path, write=False) as store, pytest.raises(NetlatheError) as raised:
        (store.facts(), store.trials())
    assert raised.value.path == str(tmp_path / stores.FILE)


def test_a_store_that_was_cut_short_is_named(tmp_path: Path) -> None:
    with TrialStore(tmp_path, write=True) as store:
        store.write(*[trial(number, error="x" * 100) for number in range(100)])
    path = tmp_path / stores.FILE
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(NetlatheError) as raised, TrialStore(tmp_path, write=False) as store:
        store.trials()
    assert raised.value.path == str(path)


WRITER = """
import sys
from pathlib import Path
from netlathe.search.store import TrialStore
from netlathe.search.trial import Trial
store = TrialStore(Path(sys.argv[1]), write=True)
number = len(store.trials())
print("ready", flush=True)
while True:
    a, b = (Trial(number + i, (1,), None, 0, "k", 0, 0, curve=[{"accuracy": 0.5}] * 200) for i in range(2))
    store.write(a, b)
    number += 2
"""


def test_a_killed_driver_leaves_whole_transactions(tmp_path: Path) -> None:
    dice, counts = random.Random(), [0]
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0.01, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with TrialStore(tmp_path, write=True) as store:
            found = store.trials()
        assert [t.number for t in found] == list(range(len(found)))
        assert len(found) % 2 == 0
        counts.append(len(found))
    assert counts == sorted(counts)
    assert counts[-1] > 0


def test_a_store_of_another_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    TrialStore(tmp_path, write=True).close()
    path = tmp_path / stores.FILE
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={stores.VERSION + 1}")
    db.close()
    before = path.read_bytes()
    for write in (True, False):
        with pytest.raises(NetlatheError, match=f"version {stores.VERSION + 1}, .* reads version {stores.VERSION}"):
            TrialStore(tmp_path, write=write)
    assert path.read_bytes() == before


def test_foreign_files_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / stores.FILE
    path.write_text("a diary, not a database, and long enough for a header of a hundred bytes" * 3)
    for write in (True, False):
        with pytest.raises(NetlatheError, match="no search of Netlathe"):
            TrialStore(tmp_path, write=write)
    assert path.read_text().startswith("a diary")
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    db.close()
    with pytest.raises(NetlatheError, match="another program made it"):
        TrialStore(tmp_path, write=True)


def test_a_folder_without_a_search_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NetlatheError, match="there is no search in this folder"):
        TrialStore(tmp_path, write=False)
    assert list(tmp_path.iterdir()) == []
