"""Processes of our own: a worker that answers message by message, and one call with limits."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from netlathe.errors import NetlatheError
from netlathe.process.call import CallFailed, Limits, call, call_json
from netlathe.process.child import Child, ChildDied, ChildTimeout, child_environment, describe_death

ECHO = """
from netlathe.process.channel import open_channel
messages, reply = open_channel(leave_at_once=True)
print("this goes to the error stream")
for message in messages:
    reply(eval(message))
"""


def echo(log=None):
    return Child((sys.executable, "-c", ECHO), child_environment(1), log)


def test_a_worker_answers_and_what_it_prints_does_not_mix_with_its_answers(tmp_path):
    log = tmp_path / "log"
    log.write_text("of an earlier worker\n")
    with echo(log) as child:
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
def test_a_death_is_told_in_a_sentence(message, sentence):
    with echo() as child:
        with pytest.raises(ChildDied, match=sentence):
            child.ask(message, 60)
        child.send("1")  # nobody is there, and the next answer says so
        with pytest.raises(ChildDied, match=sentence):
            child.receive()


def test_a_worker_that_gives_no_answer_in_time_is_killed():
    with echo() as child:
        with pytest.raises(ChildTimeout, match=r"no answer within 0\.2 s"):
            child.ask("__import__('time').sleep(600)", 0.2)
        assert child.process.wait() == -signal.SIGKILL


def test_a_worker_ends_with_its_parent_whatever_it_is_at():
    parent = f"""
import subprocess, sys
from netlathe.process.child import Child, child_environment
child = Child((sys.executable, "-c", {ECHO!r}), child_environment(1))
print(child.ask("__import__('os').getpid()", 60), flush=True)
child.send("__import__('time').sleep(600)")
sys.stdin.read()
"""
    with subprocess.Popen(
        (sys.executable, "-c", parent), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        worker = psutil.Process(int(process.stdout.readline()))
        process.kill()
    worker.wait(60)


def test_the_signal_is_named():
    assert describe_death(-9) == "the worker was killed by SIGKILL"


def test_a_call_gives_what_the_function_returns_or_raises(tmp_path):
    assert call(shlex.join, child_environment(1), 60, "room", ["a", "b c"]) == "a 'b c'"
    with pytest.raises(CallFailed, match=r"FileNotFoundError: .*no_such") as caught:
        call(os.listdir, child_environment(1), 60, "room", str(tmp_path / "no_such"))
    assert caught.value.code == "room.failed"
    with pytest.raises(CallFailed, match="the worker was killed by SIGABRT") as caught:
        call(os.abort, child_environment(1), 60, "room")
    assert caught.value.code == "room.crash"
    with pytest.raises(CallFailed, match=r"longer than 0\.5 s") as caught:
        call(time.sleep, child_environment(1), 0.5, "room", 600)
    assert caught.value.code == "room.timeout"


def test_an_error_for_the_user_arrives_whole():
    from netlathe.units import byte_count

    with pytest.raises(NetlatheError) as here:
        byte_count("4 parsecs")
    with pytest.raises(NetlatheError) as there:
        call(byte_count, child_environment(1), 60, "room", "4 parsecs")
    assert vars(here.value) == vars(there.value)


def test_a_call_in_json_has_limits():
    def run(limits, function, *args):
        answer = call_json(function, child_environment(1), 60, "room", limits, *args)
        with ThreadPoolExecutor(1) as thread:  # a browser test before this one leaves a loop running in this thread
            return thread.submit(asyncio.run, answer).result()

    assert run(Limits(), shlex.join, ["a", "b c"]) == "a 'b c'"
    with pytest.raises(CallFailed, match="MemoryError"):
        run(Limits(memory=1 << 20), os.urandom, 2**24)
