"""The processes in which the lab computes: their limits, who waits for them, and what they are asked twice."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest

pytest.importorskip("starlette")


from netlathe.errors import NetlatheError
from netlathe.lab.app import LabServer
from netlathe.lab.catalogue import Catalogue
from netlathe.lab.pool import Admission, Worker
from netlathe.lab.questions import QUESTIONS
from netlathe.lab.uploads import Upload
from netlathe.lab.worker import answered


def test_a_worker_ends_when_its_processor_time_is_used_up_and_another_one_answers():
    worker = Worker(seconds=0.05, nice=0)
    try:
        with pytest.raises(NetlatheError, match=r"more than 0\.05 s of processor time") as caught:
            worker.ask("front", {"state": ""}, {})
        assert caught.value.code == "lab.limits"
        assert len(json.loads(worker.ask("claims", {}, {}))["claims"]) > 50
        worker.child.process.kill()
        worker.child.process.wait()
        assert json.loads(worker.ask("claims", {}, {}))
        with pytest.raises(NetlatheError, match="earlier"):
            worker.ask("road", {"state": "net=upload/0123456789ab"}, {})
    finally:
        worker.close()


def test_a_worker_that_is_stopped_says_so_to_whoever_waits():
    worker = Worker(seconds=60, nice=0)
    worker.start()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(worker.ask, "front", {"state": ""}, {})
        worker.stop()
        with pytest.raises(NetlatheError, match="stopping"):
            waiting.result()
    worker.close()


def test_numbers_without_an_answer_are_named_and_bugs_are_told_apart():
    catalogue = Catalogue()

    def answer(**fields):
        return answered(catalogue, {"uploads": {}, "question": "view", "about": {}} | fields)

    deep = Upload("arch", "deep", "deep", '{"x":' * 5000 + "1" + "}" * 5000)
    about = {"state": "net=upload/deep", "charts": [], "tables": False}
    assert answer(uploads={"upload/deep": deep}, about=about).keys() & {"error", "too_much"}
    assert answer(question="view", about={})["bug"].startswith("KeyError")
    for value, key in ((float("nan"), "too_much"), (1.0, "body")):
        with patch.dict(QUESTIONS, view=lambda catalogue, about, value=value: {"x": value}):
            assert key in answer()

    def fails(error):
        def question(catalogue, about):
            raise error

        return question

    with patch.dict(QUESTIONS, view=fails(OSError(28, "No space left on device", "/tmp/secret"))):
        assert "No space left" in answer()["error"]["message"]
        assert "secret" not in str(answer())
    for error, key in ((MemoryError(), "died"), (OverflowError(), "too_much"), (RecursionError(), "too_much")):
        with patch.dict(QUESTIONS, view=fails(error)):
            assert key in answer()


def test_an_admission_lets_some_in_lets_some_wait_and_refuses_the_rest():
    async def come():
        admission, go, log = Admission(2, 3, "guests"), asyncio.Event(), []

        async def guest(name):
            try:
                async with admission:
                    log.append(name)
                    await go.wait()
            except NetlatheError as error:
                log.append(error.code)

        guests = [asyncio.create_task(guest(name)) for name in "abcdef"]
        await asyncio.sleep(0)
        assert log == ["a", "b", "lab.busy"]
        guests[2].cancel()  # c leaves, and its place is free
        await asyncio.sleep(0)
        guests.append(asyncio.create_task(guest("g")))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*guests, return_exceptions=True)
        return log, admission.count

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, come()).result() == (["a", "b", "lab.busy", "d", "e", "g"], 0)


def test_what_is_asked_twice_is_answered_once():
    async def ask():
        server, asked = LabServer(), []

        async def answer():
            asked.append(1)
            await asyncio.sleep(0)
            if len(asked) == 1:
                raise NetlatheError("not this time")
            return b"{}"

        first = await asyncio.gather(*(server.remember("k", answer) for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in first] == ["not this time"] * 3
        assert await asyncio.gather(*(server.remember("k", answer) for _ in range(3))) == [b"{}"] * 3
        return len(asked)

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, ask()).result() == 2
