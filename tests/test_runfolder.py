"""Folders of long jobs: whose they are, their lock, their states, their steps, their result."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netlathe.errors import NetlatheError
from netlathe.files import write_json
from netlathe.runfolder import folder as folders
from netlathe.runfolder import lock as locks
from netlathe.runfolder.folder import RunKind, RunState, RunWarning, open_run
from netlathe.runfolder.identity import content, content_hash, describe_value, file_content, find_differences
from netlathe.runfolder.lock import locked, one_at_a_time
from netlathe.runfolder.result import read_result, write_result
from netlathe.runfolder.steps import cached_step

WALK = RunKind("walk", ("result.json", "map"), meanwhile="others may look at the map")
SWIM = RunKind("swim")
OLD = {"seed": 0, "shoes": content("old.shoes", "sha256 ab12"), "limits": {"macs": "3M", "size": "1MB"}, "longer": 1}


def walk(folder, identity=OLD, **more):
    """A walk that finishes."""
    with open_run(folder, WALK) as run:
        run.begin(identity, **more)


def refused(folder, identity=OLD, kind=WALK, **more):
    """The error that a walk gets."""
    with pytest.raises(NetlatheError) as caught, open_run(folder, kind) as run:
        run.begin(identity, **more)
    assert not caught.value.path or caught.value.path.startswith(str(folder))
    return caught.value


def leave(folder, error, before=lambda: None):
    """A walk that ends with an error."""
    with open_run(folder, WALK) as run:
        run.begin(OLD)
        before()
        raise error


def record(folder):
    return json.loads((folder / "run.json").read_text())


def test_another_run_is_refused_with_every_field_that_differs(tmp_path):
    walk(tmp_path)
    new = {"seed": 1, "shoes": content("new.shoes", "sha256 cd34"), "limits": {"macs": "3M", "size": "2MB"}}
    error = refused(tmp_path, new)
    assert error.message == "this folder holds another walk: other seed, shoes, limits.size, longer"
    assert error.hint.splitlines() == [
        "seed: finished with 0, asked for 1",
        "shoes: finished with old.shoes (sha256 ab12), asked for new.shoes (sha256 cd34)",
        "limits.size: finished with 1MB, asked for 2MB",
        "longer: finished with 1, asked for none",
        "give another folder with -o, or remove this one",
    ]
    assert (error.code, record(tmp_path)["identity"], record(tmp_path)["state"]) == (
        "folder.other_run", OLD, RunState.FINISHED
    )  # fmt: skip


def test_what_comes_from_outside_is_known_by_its_content_not_by_its_name(tmp_path):
    (tmp_path / "a").write_bytes(b"boots")
    (tmp_path / "b").write_bytes(b"boots")
    same = [{"shoes": [file_content(tmp_path / name)]} for name in "ab"]
    assert find_differences(*same) == []
    (tmp_path / "b").write_bytes(b"clogs")
    [difference] = find_differences(same[0], {"shoes": [file_content(tmp_path / "b", "b")]})
    assert describe_value(difference.new) == "b (sha256 7bc0c0de233d)"
    with pytest.raises(NetlatheError, match="cannot read this file"):
        file_content(tmp_path / "absent")


def test_some_fields_may_change_always_and_some_until_the_run_has_finished(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        leave(tmp_path, KeyboardInterrupt(), (tmp_path / "map").touch)
    assert "other seed" in refused(tmp_path, OLD | {"seed": 5}).message
    walk(tmp_path, OLD | {"longer": 2, "seed": 5}, changeable=("longer",), until_finished=("seed",))
    walk(tmp_path, OLD | {"longer": 3, "seed": 5}, changeable=("longer",), until_finished=("seed",))
    assert "other seed" in refused(tmp_path, OLD | {"longer": 3}, until_finished=("seed",)).message


def test_the_state_says_how_the_run_was_left(tmp_path):
    with open_run(tmp_path, WALK) as run:
        assert run.state is None
        run.begin(OLD)
        assert record(tmp_path)["state"] == "running"
        run.stop()
    assert record(tmp_path)["state"] == "stopped"
    with pytest.raises(KeyboardInterrupt):
        leave(tmp_path, KeyboardInterrupt())
    assert record(tmp_path)["state"] == "stopped"
    with pytest.raises(NetlatheError):
        leave(tmp_path, NetlatheError("it rains"))
    assert (record(tmp_path)["state"], record(tmp_path)["error"]) == ("failed", "it rains")
    walk(tmp_path)
    assert (record(tmp_path)["state"], record(tmp_path)["error"]) == ("finished", "")


def test_two_at_once_the_second_is_told_who_the_first_is_and_changes_nothing(tmp_path):
    folder = tmp_path / "new" / "run"
    with open_run(folder, WALK) as run:
        run.begin(OLD)
        before = {path: path.read_bytes() for path in folder.iterdir()}
        error = refused(folder, OLD | {"seed": 1})
        assert error.code == "folder.locked"
        assert f"process {os.getpid()} on " in error.message
        assert ", since 20" in error.message
        assert error.message.endswith("is at work in this folder")
        assert "others may look" in error.hint
        assert before == {path: path.read_bytes() for path in folder.iterdir()}
        with open_run(run, WALK) as same:  # the folder that is open is handed on
            assert same is run


def test_a_run_that_ended_before_it_wrote_anything_leaves_the_folder_free(tmp_path):
    with pytest.raises(NetlatheError):
        leave(tmp_path, NetlatheError("it rains"))
    walk(tmp_path, OLD | {"seed": 1})
    assert "other seed" in refused(tmp_path).message


def test_the_lock_of_a_dead_process_is_taken_over_and_its_half_written_files_go(tmp_path):
    program = (
        "import os, pathlib, sys; from netlathe.runfolder.folder import RunKind, open_run;"
        "folder = pathlib.Path(sys.argv[1]); opened = open_run(folder, RunKind('walk'));"
        "run = opened.__enter__(); run.begin({'seed': 0}); (folder / 'steps').mkdir(); (folder / 'map').touch();"
        "[(folder / name).write_text('{') for name in ('.x.json.17.part', 'steps/.y.json.17.part')];"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run((sys.executable, "-c", program, str(tmp_path))).returncode == -9
    assert record(tmp_path)["state"] == "running"
    error = refused(tmp_path, {"seed": 1})
    assert "seed: begun with 0, asked for 1" in error.hint
    walk(tmp_path, {"seed": 0})
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        ".lock",
        "map",
        "run.json",
        "steps",
    ]


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path):
    with pytest.raises(NetlatheError, match="no shoes"), open_run(tmp_path / "a" / "b", WALK):
        raise NetlatheError("no shoes")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_kind_is_refused(tmp_path):
    walk(tmp_path)
    error = refused(tmp_path, kind=SWIM)
    assert (error.code, error.message) == ("folder.other_kind", "this folder holds a walk (finished), not a swim")


def test_files_of_somebody_else_are_refused_and_left_alone(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "map").mkdir()
    error = refused(tmp_path)
    assert error.code == "folder.foreign"
    assert "no run.json, but result.json, map: an older Netlathe or another program wrote it" in error.message
    (tmp_path / "result.json").unlink()
    (tmp_path / "map").rmdir()
    (tmp_path / "notes.txt").write_text("mine")
    walk(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_newer_format_is_refused(tmp_path):
    walk(tmp_path)
    write_json(tmp_path / "run.json", record(tmp_path) | {"schema": "netlathe.folder/2"})
    error = refused(tmp_path)
    assert (error.code, error.message) == (
        "folder.version", "this folder has format 2, and this Netlathe knows format 1"
    )  # fmt: skip


OURS = '{"schema": "netlathe.folder/1", "state": '


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"schema": "netl', "[]", "null", "{}", '{"schema": 3}', "\udc80", "[" * 10**5,
     '{"schema": "netlathe.folder/x"}', OURS + '"asleep"}', OURS + '"running"}',
     OURS + '"running", "identity": 3, "versions": {}, "begun": "x", "kind": "walk"}'],
)  # fmt: skip
def test_a_damaged_record_is_named_with_what_to_do(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text.encode(errors="surrogateescape"))
    error = refused(tmp_path)
    assert (error.code, error.path) == ("folder.damaged", str(tmp_path / "run.json"))
    assert "remove this one" in error.hint


def test_a_file_in_place_of_the_folder_and_names_that_cannot_be_are_said(tmp_path):
    (tmp_path / "file").write_text("")
    assert "this is a file, and the run needs a folder" in refused(tmp_path / "file").message
    assert refused(tmp_path / "file" / "run").code == "folder.unusable"
    assert refused(Path("/proc/nowhere")).code == "folder.unusable"
    assert refused(tmp_path / ("x" * 300)).code == "folder.unusable"
    (tmp_path / ".lock").mkdir()
    assert "cannot write in this folder: .lock: Is a directory" in refused(tmp_path).message
    with pytest.raises(NetlatheError, match="cannot write in this folder"), one_at_a_time(tmp_path / "no" / "lock"):
        pass


@pytest.mark.parametrize(
    ("where", "number", "said"),
    [("open", errno.EROFS, "Read-only file system"), ("open", errno.EACCES, "Permission denied"),
     ("iterdir", errno.EACCES, "Permission denied"), ("read_text", errno.EACCES, "Permission denied")],
)  # fmt: skip
def test_a_folder_that_may_not_be_read_or_written_is_said_in_one_line(tmp_path, monkeypatch, where, number, said):
    walk(tmp_path)

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, where, refuse)
    assert said in refused(tmp_path).message


def test_a_file_system_without_locks_is_not_taken_for_another_process(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    assert "No locks available" in refused(tmp_path).message


def test_a_full_disk_at_the_end_hides_no_error(tmp_path, monkeypatch):
    def full(*_):
        raise NetlatheError("cannot write run.json: No space left on device")

    with pytest.raises(NetlatheError, match="it rains"):
        leave(tmp_path, NetlatheError("it rains"), lambda: monkeypatch.setattr(folders, "write_json", full))


def test_other_versions_are_said_where_a_run_goes_on_and_not_where_it_has_finished(tmp_path, monkeypatch):
    with open_run(tmp_path, WALK) as run:
        run.begin(OLD)
        (tmp_path / "map").touch()
        run.stop()
    monkeypatch.setattr(folders, "read_versions", lambda: {"python": "4.0", "netlathe": "9"})
    with pytest.warns(RunWarning, match="this walk was begun with python 3.*, now 4.0"):
        walk(tmp_path)
    walk(tmp_path)


def test_a_process_beside_the_first_reads_and_never_writes(tmp_path):
    with open_run(tmp_path, WALK) as first, open_run(tmp_path, WALK, writes=False) as second:
        second.begin(OLD)
        assert not (tmp_path / "run.json").exists()
        first.begin(OLD)
    with open_run(tmp_path, WALK, writes=False) as second, pytest.raises(NetlatheError, match="other seed"):
        second.begin(OLD | {"seed": 1})


def test_a_hash_is_of_the_content():
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash(1, 2) != content_hash([1, 2]) != content_hash(2, 1)


def test_a_lock_of_a_file_ends_with_its_owner(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(NetlatheError, match=f"process {os.getpid()}"):
        locked(tmp_path / "lock").__enter__()
    with locked(tmp_path / "lock"), one_at_a_time(None):
        pass


def test_a_step_is_done_once_and_a_damaged_one_is_named(tmp_path):
    assert [cached_step(tmp_path, "x", lambda n=n: {"n": (n,)}) for n in range(3)] == [{"n": [0]}] * 3
    for text in ("", '{"step"', "{}", "[]", '{"result": 3}'):
        (tmp_path / "steps" / "x.json").write_text(text)
        with pytest.raises(NetlatheError, match="damaged") as caught:
            cached_step(tmp_path, "x", dict)
        assert "remove x.json" in caught.value.hint


def test_a_result_is_read_as_it_was_written_and_a_damaged_one_is_named(tmp_path):
    assert read_result(tmp_path, "netlathe.walk/1", dict) is None
    write_result(tmp_path, "netlathe.walk/1", {"miles": 3})
    assert read_result(tmp_path, "netlathe.walk/1", lambda fields: fields["miles"]) == 3
    with pytest.raises(NetlatheError, match=r"a netlathe\.walk/1, and this Netlathe reads netlathe\.walk/2"):
        read_result(tmp_path, "netlathe.walk/2", dict)
    with pytest.raises(NetlatheError, match="this file is damaged: no field 'hours'") as caught:
        read_result(tmp_path, "netlathe.walk/1", lambda fields: fields["hours"])
    assert "remove result.json" in caught.value.hint
    (tmp_path / "result.json").write_text('{"schema": "netlathe.walk/1", "mi')
    with pytest.raises(NetlatheError, match="this file is damaged"):
        read_result(tmp_path, "netlathe.walk/1", dict)
