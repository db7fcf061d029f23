"""Folders of long jobs: whose they are, their lock, their steps, their result."""

import os
import subprocess
import sys

import pytest

from netlathe.errors import NetlatheError
from netlathe.runfolder.identity import RunKind, content_hash, differing_names, refuse_other
from netlathe.runfolder.lock import locked, one_at_a_time
from netlathe.runfolder.result import read_result, write_result
from netlathe.runfolder.steps import cached_step

KIND = RunKind("walk", "walk.other_run")


def test_another_run_is_refused_with_what_differs(tmp_path):
    old = {"seed": 0, "limits": {"macs": "3M", "size": "1MB"}, "longer": 1, "gone": 2}
    refuse_other(KIND, old, {**old, "longer": 9}, tmp_path, changeable=("longer",))
    new = {"seed": 1, "limits": {"macs": "3M", "size": "2MB"}, "longer": 1}
    with pytest.raises(NetlatheError) as caught:
        refuse_other(KIND, old, new, tmp_path)
    assert caught.value.message == (
        "this folder holds another walk: other seed (0 there, 1 now), limits (size: 1MB there, 2MB now), "
        "gone (2 there, None now)"
    )
    assert (caught.value.code, caught.value.path) == ("walk.other_run", str(tmp_path))


def test_a_hash_is_of_the_content():
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash(1, 2) != content_hash([1, 2]) != content_hash(2, 1)
    assert differing_names({"a": 1, "b": 2}, {"a": 1, "c": None}) == ["b"]


def test_a_lock_names_its_owner_and_ends_with_him(tmp_path):
    folder = tmp_path / "new" / "run"
    owner = rf"process {os.getpid()} on .* is at work"
    with locked(folder, KIND), pytest.raises(NetlatheError, match=owner) as caught, locked(folder, KIND):
        raise AssertionError("two have the lock")
    assert caught.value.code == "folder.locked"
    program = (
        "import os, pathlib, sys; from netlathe.runfolder.lock import locked;"
        "from netlathe.runfolder.identity import RunKind;"
        "locked(pathlib.Path(sys.argv[1]), RunKind('walk', 'x')).__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run((sys.executable, "-c", program, str(folder))).returncode == -9
    with locked(folder, KIND):
        pass


def test_one_at_a_time_waits(tmp_path):
    with one_at_a_time(tmp_path / "lock"), one_at_a_time(None):
        assert (tmp_path / "lock").exists()


def test_a_step_is_done_once(tmp_path):
    assert [cached_step(tmp_path, "x", lambda n=n: {"n": (n,)}) for n in range(3)] == [{"n": [0]}] * 3


def test_a_result_is_of_its_run(tmp_path):
    assert read_result(tmp_path, KIND, {"seed": 0}) is None
    write_result(tmp_path, "netlathe.walk/1", {"seed": 0}, {"miles": 3})
    assert read_result(tmp_path, KIND, {"seed": 0}) == {"miles": 3}
    with pytest.raises(NetlatheError, match="another walk"):
        read_result(tmp_path, KIND, {"seed": 1})


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NetlatheError, match="cannot make this folder"), locked(tmp_path / "file" / "run", KIND):
        pass
