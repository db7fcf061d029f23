"""What goes wrong outside of Netlathe is named, in one screen and with an exit code of its own; only bugs are bugs."""

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from command import NETLATHE, PATIENCE_S, command, netlathe

from netlathe.cli.failures import describe_failure
from netlathe.errors import Exit, NetlatheError

CODE = 'open("ran", "w").close()\nfrom netlathe.arch.build import conv\n\ndef net():\n    return conv(8)\n'


def shell(line, **options):
    """A line of a shell, in which $N is netlathe."""
    env = os.environ | {"N": NETLATHE} | options.pop("env", {})
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S, env=env, **options
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("words", ["cost lenet5", "cost lenet5 --json", "arch lenet5", "cost lenet5x --json", "--help"])
def test_a_result_that_cannot_be_written_is_one_line_and_exit_code_2(words, buffered):
    done = shell(f'"$N" {words} > /dev/full', env={"PYTHONUNBUFFERED": buffered})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: the result cannot be written: No space left on device"
    assert "Traceback" not in done.stderr


def test_a_closed_output_is_refused_before_anything_is_computed():
    done = shell('"$N" cost lenet5 >&-')
    assert done.returncode == 2
    assert done.stderr == "error: the result cannot be written: standard output is closed\n"
    assert shell('"$N" cost lenet5 >&- 2>&-').returncode == 2


def test_closed_input_and_closed_messages_stop_nothing():
    done = shell('"$N" cost lenet5 <&- 2>&-')
    assert done.returncode == 0
    assert "60,000 trainable" in done.stdout
    assert shell('"$N" cost lenet5x 2> /dev/full').returncode == 2


def test_a_reader_that_has_enough_ends_the_command_quietly():
    done = shell('"$N" cost resnet152 resnet101 --by op --json | head -n 1')
    assert done.returncode in (0, 141)  # 0: all of it was in the pipe already
    assert done.stderr == ""
    done = shell('"$N" cost lenet5 | { exec <&-; sleep 3; }')
    assert (done.returncode, done.stderr) == (141, "")


def test_a_working_folder_that_is_gone_stops_only_what_needs_it(tmp_path):
    line = 'mkdir gone && cd gone && rmdir ../gone && "$N" cost lenet5 && "$N" cost x.json'
    done = shell(line, cwd=tmp_path)
    assert "60,000 trainable" in done.stdout
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_names_that_the_encoding_lacks_are_written_with_escapes(tmp_path, encoding):
    (tmp_path / "n\u20actz.json").write_text(netlathe("arch", "lenet5", "--json").stdout.replace("lenet5", "n\u20actz"))
    env = {"PYTHONIOENCODING": encoding}
    done = shell('"$N" cost n*.json && "$N" cost x\u20ac.json', cwd=tmp_path, env=env)
    assert "n\\u20actz" in done.stdout
    assert "x\\u20ac.json" in done.stderr


@pytest.mark.parametrize(
    ("raised", "message", "code"),
    [
        (MemoryError(), "not enough memory", Exit.USAGE),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory", Exit.USAGE),
        (RuntimeError("std::bad_alloc"), "not enough memory", Exit.USAGE),
        (RecursionError("maximum recursion depth"), "nested too deeply", Exit.USAGE),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.bin"), "no space left on device", Exit.USAGE),
        (OSError(errno.EACCES, os.strerror(errno.EACCES), "a.bin"), "permission denied", Exit.USAGE),
        (OSError(errno.EIO, os.strerror(errno.EIO), "a.bin"), "input/output error", Exit.USAGE),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many open files", Exit.USAGE),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), "started in is gone", Exit.USAGE),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), "this text cannot be", Exit.USAGE),
        (sqlite3.OperationalError("database or disk is full"), "database or disk is full", Exit.USAGE),
        (ValueError("this is ours"), "ValueError: this is ours", Exit.BUG),
        (KeyError("x"), "KeyError: 'x'", Exit.BUG),
        (RuntimeError("this is ours too"), "RuntimeError: this is ours too", Exit.BUG),
    ],
)
def test_what_the_machine_refuses_is_no_bug(monkeypatch, raised, message, code):
    from netlathe.cli import cost

    def fails(*_):
        raise raised

    monkeypatch.setattr(cost, "show", fails)
    done = command("cost", "lenet5")
    assert done.returncode == code
    assert message in done.stderr
    assert ("this is a bug" in done.stderr) == (code == Exit.BUG)
    assert "Traceback" not in done.stderr


def test_a_package_that_does_not_load_is_no_bug():
    assert describe_failure(ImportError("numpy.so: failed to map segment")).code == "package.broken"
    assert describe_failure(ModuleNotFoundError("No module named 'netlathe.x'")).code == "bug"


def test_the_reason_behind_an_error_is_what_is_named():
    error = RuntimeError("the library gave up")
    error.__cause__ = MemoryError()
    assert describe_failure(error).code == "memory.exhausted"
    named = NetlatheError("ours", code="x")
    assert describe_failure(named) is named


def test_ctrl_c_is_130_wherever_it_strikes(monkeypatch):
    from netlathe.cli import cost

    def struck(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cost, "show", struck)
    assert command("cost", "lenet5").returncode == 130
    # While the command line is imported, and after a verb has ended.
    program = "import sys; sys.modules['click'] = None; import netlathe.__main__ as door; door.main()"
    interrupt = program.replace("sys.modules['click'] = None", "sys.meta_path.insert(0, Struck())")
    finder = "class Struck:\n    def find_spec(self, name, *_):\n        if name == 'click': raise KeyboardInterrupt\n"
    done = subprocess.run([sys.executable, "-c", finder + interrupt], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


def test_ctrl_c_at_a_process_is_130():
    job = subprocess.Popen(
        [NETLATHE, "report", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert job.stdin is not None
    job.stdin.write("{")
    job.stdin.flush()
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=PATIENCE_S)
    assert job.returncode in (130, -signal.SIGINT)  # the signal may come before Python
    assert job.returncode != 130 or "Traceback" not in err


@pytest.mark.parametrize("verb", [("cost",), ("arch",), ("bench",), ("device", "why", "--device", "rpi-5")])
def test_no_code_refuses_to_run_a_file(tmp_path, verb):
    (tmp_path / "mine.py").write_text(CODE)
    done = netlathe("--no-code", *verb, "mine.py:net", cwd=tmp_path, code=2)
    assert "this file would be run, and no code is wanted" in done.stderr
    assert not (tmp_path / "ran").exists()
    assert netlathe(*verb, "mine.py:net", cwd=tmp_path, code=2, NETLATHE_NO_CODE="1")
    assert "NETLATHE_NO_CODE" not in os.environ
    assert not (tmp_path / "ran").exists()
    netlathe("arch", "mine.py:net", cwd=tmp_path)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("option", ["--space", "--objective"])
def test_no_code_refuses_the_files_of_a_search(tmp_path, option):
    (tmp_path / "mine.py").write_text(CODE)
    words = {"--space": "resnet18", "--objective": "table:x"} | {option: "mine.py:net"}
    line = [word for pair in words.items() for word in pair]
    done = command("search", "run", *line, "--no-code", "-o", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / "ran").exists()


def test_no_code_reaches_the_children_and_the_runtimes(tmp_path):
    from netlathe.process.start import Leash
    from netlathe.runtimes.registry import load_file
    from netlathe.trust import without_code

    (tmp_path / "mine.py").write_text(CODE)
    with without_code(), Leash() as leash:
        assert leash.options({})["env"]["NETLATHE_NO_CODE"] == "1"
        with pytest.raises(NetlatheError, match="no code is wanted"):
            load_file(tmp_path / "mine.py")


def test_help_says_that_a_file_is_run():
    assert "runs that file" in netlathe("--help").stdout
    for words in (("cost",), ("train",), ("device", "why")):
        assert "runs that file" in " ".join(netlathe(*words, "--help").stdout.split())


def test_a_file_that_exits_is_an_error(tmp_path):
    (tmp_path / "mine.py").write_text("def net():\n    raise SystemExit(0)\n")
    assert "net() fails: SystemExit" in netlathe("cost", f"{tmp_path}/mine.py:net", code=2).stderr
    as_json = netlathe("cost", f"{tmp_path}/mine.py:net", "--json", code=2).stdout
    assert json.loads(as_json)["error"]["code"] == "load.broken_function"
