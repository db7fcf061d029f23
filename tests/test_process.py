"""Processes of our own: a worker that answers message by message, one call with limits; they end with their parent."""

import ast
import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from command import PATIENCE_S

import netlathe
from netlathe.errors import NetlatheError
from netlathe.process import temporary
from netlathe.process.call import CallFailed, call, call_json
from netlathe.process.child import Child, ChildDied, ChildTimeout, describe_death
from netlathe.process.limits import Limits
from netlathe.process.start import ask_tool, child_environment
from netlathe.process.temporary import MARK, sweep, temporary_file, temporary_folder

ECHO = """
from netlathe.process.channel import open_channel
messages, reply = open_channel()
print("this goes to the error stream")
for message in messages:
    reply(eval(message))
"""


@pytest.fixture(scope="session")
def echoing(tmp_path_factory):
    """The environment of a child that finds the module `echo`."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "echo.py").write_text(ECHO)
    paths = filter(None, (str(folder), os.environ.get("PYTHONPATH")))
    return child_environment(1) | {"PYTHONPATH": os.pathsep.join(paths)}


def test_a_worker_answers_and_what_it_prints_does_not_mix_with_its_answers(tmp_path, echoing):
    log = tmp_path / "log"
    log.write_text("of an earlier worker\n")
    with Child("echo", echoing, log) as child:
        assert [child.ask(f"[{i}, 'two']", 60) for i in range(3)] == [[i, "two"] for i in range(3)]
        assert child.ask("__import__('os').environ['OMP_NUM_THREADS']", 60) == "1"
    assert log.read_text() == "of an earlier worker\nthis goes to the error stream\n"


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("__import__('os').kill(__import__('os').getpid(), 11)", "the worker was killed by SIGSEGV"),
        ("__import__('sys').exit('no more memory')", "the worker ended with code 1: no more memory"),
    ],
)
def test_a_death_is_told_in_a_sentence(message, sentence, echoing):
    with Child("echo", echoing) as child:
        with pytest.raises(ChildDied, match=sentence):
            child.ask(message, 60)
        child.send("1")  # nobody is there, and the next answer says so
        with pytest.raises(ChildDied, match=sentence):
            child.receive()


def test_a_worker_that_gives_no_answer_in_time_is_killed(echoing):
    with Child("echo", echoing) as child:
        with pytest.raises(ChildTimeout, match=r"no answer within 0\.2 s"):
            child.ask("__import__('time').sleep(600)", 0.2)
        assert child.process.wait() == -signal.SIGKILL


PARENT = """
import os, sys, threading
from netlathe.process.call import call
from netlathe.process.child import Child
from netlathe.process.limits import Limits

def work():
    global child
    child = Child("echo", dict(os.environ))
    print(child.ask("__import__('os').getpid()", 60), flush=True)
    child.send({message!r})
    sys.stdin.read()

{run}
"""
BUSY = "__import__('time').sleep(600)"
HOLDS_THE_INTERPRETER = "len(str(10 ** 10 ** 9))"  # one operation of hours: no other thread of the child runs
RUNS = {"main thread": "work()", "another thread": "t = threading.Thread(target=work); t.start(); t.join()"}


@pytest.mark.parametrize(
    ("message", "run"), [(BUSY, "main thread"), (BUSY, "another thread"), (HOLDS_THE_INTERPRETER, "main thread")]
)
def test_a_worker_ends_with_its_parent_whatever_it_is_at(message, run, echoing):
    if message == HOLDS_THE_INTERPRETER and sys.platform != "linux":
        pytest.skip("only Linux ends a process that holds its interpreter")
    words = (sys.executable, "-c", PARENT.format(message=message, run=RUNS[run]))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=echoing) as process:
        worker = psutil.Process(int(process.stdout.readline()))
        process.kill()
    worker.wait(PATIENCE_S)


def test_a_call_ends_with_its_parent_too(echoing):
    parent = (
        "import os, time; from netlathe.process.call import call; from netlathe.process.limits import Limits\n"
        "print(flush=True); call(time.sleep, dict(os.environ), 600, 'room', Limits(), 600)"
    )
    with subprocess.Popen((sys.executable, "-c", parent), stdout=subprocess.PIPE, text=True, env=echoing) as process:
        process.stdout.readline()
        while not (children := psutil.Process(process.pid).children()):
            time.sleep(0.01)
        process.kill()
    psutil.wait_procs(children, PATIENCE_S)
    assert not any(child.is_running() for child in children)


def test_what_a_worker_has_started_is_killed_with_it(echoing):
    with Child("echo", echoing) as child:
        start = "__import__('subprocess').Popen(['sleep', '600']).pid"
        grandchild = psutil.Process(child.ask(start, 60))
    grandchild.wait(PATIENCE_S)


def test_a_thread_that_ends_leaves_its_worker_alive(echoing):
    with ThreadPoolExecutor(1) as pool:
        child = pool.submit(Child, "echo", echoing).result()
    with child:
        assert child.ask("1", 60) == 1


def test_the_signal_is_named():
    assert describe_death(-9) == "the worker was killed by SIGKILL"


def test_a_call_gives_what_the_function_returns_or_raises(tmp_path):
    assert call(shlex.join, child_environment(1), 60, "room", Limits(), ["a", "b c"]) == "a 'b c'"
    with pytest.raises(CallFailed, match=r"FileNotFoundError: .*no_such") as caught:
        call(os.listdir, child_environment(1), 60, "room", Limits(), str(tmp_path / "no_such"))
    assert caught.value.code == "room.failed"
    with pytest.raises(CallFailed, match="the worker was killed by SIGABRT") as caught:
        call(os.abort, child_environment(1), 60, "room", Limits())
    assert caught.value.code == "room.crash"
    with pytest.raises(CallFailed, match=r"longer than 0\.5 s") as caught:
        call(time.sleep, child_environment(1), 0.5, "room", Limits(), 600)
    assert caught.value.code == "room.timeout"


def test_an_error_for_the_user_arrives_whole():
    from netlathe.units import byte_count

    with pytest.raises(NetlatheError) as here:
        byte_count("4 parsecs")
    with pytest.raises(NetlatheError) as there:
        call(byte_count, child_environment(1), 60, "room", Limits(), "4 parsecs")
    assert vars(here.value) == vars(there.value)


def test_a_call_in_json_has_limits():
    def run(limits, function, *args):
        answer = call_json(function, child_environment(1), 60, "room", limits, *args)
        with ThreadPoolExecutor(1) as thread:  # a browser test before this one leaves a loop running in this thread
            return thread.submit(asyncio.run, answer).result()

    assert run(Limits(), shlex.join, ["a", "b c"]) == "a 'b c'"
    with pytest.raises(CallFailed, match="MemoryError"):
        run(Limits(memory=1 << 20), os.urandom, 2**24)


def test_a_program_of_the_system_answers_or_is_not_there():
    assert ask_tool(sys.executable, "-c", "print('yes')", timeout=60) == "yes"
    assert ask_tool("no-such-program", timeout=60) == ""
    assert ask_tool(sys.executable, "-c", "print('no'); exit(1)", timeout=60) == ""
    assert ask_tool(sys.executable, "-c", "import time; time.sleep(600)", timeout=0.1) == ""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The system's folder for temporary ones, as this process sees it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    temporary.sweep_once.cache_clear()
    return tmp_path


def test_a_temporary_folder_is_there_until_the_end(place):
    with temporary_folder() as folder, temporary_file(".onnx") as file:
        assert folder.parent == place
        assert file.name.endswith(".onnx")
        sweep(place)
        assert folder.exists()
    assert not [*place.iterdir()]


HOLDER = """
import sys, time
from netlathe.process.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "model.onnx").write_text("large")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_goes_when_the_next_one_makes_a_folder(place):
    env = os.environ | {"TMPDIR": str(place)}
    with subprocess.Popen((sys.executable, "-c", HOLDER), stdout=subprocess.PIPE, text=True, env=env) as process:
        left = Path(process.stdout.readline().strip())
        with temporary_folder():
            assert left.exists()  # its owner lives
        process.kill()
    temporary.sweep_once.cache_clear()
    with temporary_folder():
        assert not left.exists()


def test_a_sweep_removes_nothing_that_is_not_a_temporary_folder_of_ours(place):
    (place / "netlathe-results").mkdir()
    (place / "netlathe-results" / "precious").touch()
    (place / "netlathe-notes").write_text("precious")
    (place / "netlathe-link").symlink_to(place / "elsewhere")
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / MARK).touch()
    before = sorted(place.rglob("*"))
    sweep(place)
    assert sorted(place.rglob("*")) == before


# What starts a process or makes a temporary file, by the names that it has in modules.
STARTS = {"subprocess", "multiprocessing", "tempfile", "pty", "concurrent.futures.process", "torch.multiprocessing"}
CALLS = {"create_subprocess_exec", "create_subprocess_shell", "ProcessPoolExecutor", "mkdtemp", "mkstemp"}
OF_OS = {"fork", "forkpty", "system", "popen", "posix_spawn", "posix_spawnp", *(f"exec{e}" for e in ("l", "v", "ve"))}


def test_nothing_but_the_room_of_processes_starts_one_or_makes_a_temporary_folder():
    package = Path(netlathe.__file__).parent
    found = []
    for file in package.rglob("*.py"):
        if file.relative_to(package).parts[0] == "process":
            continue
        if file.relative_to(package) == Path("bench/kit/measure.py"):  # runs where there is no such room
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names=names) if {name.name for name in names} & STARTS:
                    found.append((file.name, node.lineno))
                case ast.ImportFrom(module=module) if module in STARTS:
                    found.append((file.name, node.lineno))
                case ast.Attribute(value=ast.Name(id="os"), attr=attr) if attr in OF_OS or attr.startswith("spawn"):
                    found.append((file.name, node.lineno))
                case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name) if name in CALLS:
                    found.append((file.name, node.lineno))
    assert not found
