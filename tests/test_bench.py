"""Latency is measured in a process of its own, with an interval, and nothing that a runtime does ends the measuring."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from benched import blocks_of, tiny

from netlathe.arch.build import head, seq
from netlathe.arch.network import Network
from netlathe.bench import worker_client as clients
from netlathe.bench.machine import this_machine
from netlathe.bench.measure import FULL, HEADLINE, ROUGH, SHARED, Interrupted, measure, round_order
from netlathe.bench.measurement import Measurement
from netlathe.bench.statistics import Process, Sample, summarise, summarise_processes
from netlathe.bench.worker_client import WorkerClient
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.lower.onnx import save_onnx
from netlathe.process.child import describe_death
from netlathe.runtimes.registry import RUNTIMES
from netlathe.stats.intervals import median_interval

CRASH = "import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)"


GIVE_UP = "import sys; input(); print('out of memory', file=sys.stderr); sys.exit(3)"


HANG = "import time; time.sleep(60)"


def worker_that_runs(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Every worker from now on is this program."""
    (folder / "stand_in.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setattr(clients, "WORKER", "stand_in")


# Measuring


@pytest.fixture(scope="module")
def measured() -> list[Measurement]:
    return measure([tiny(8, "small"), tiny(64, "large")], seconds=0.1, seed=5)


def test_a_measurement_carries_what_is_needed_to_repeat_it(measured: list[Measurement]) -> None:
    import onnxruntime

    small, large = measured
    assert [m.network for m in measured] == ["small", "large"]
    assert small.failure is None
    assert 0 < small.min_ms <= small.low_ms <= small.median_ms <= small.high_ms < inf
    assert small.key == tiny().key != large.key
    assert (small.runtime, small.runtime_version) == ("onnxruntime", onnxruntime.__version__)
    assert (small.threads, small.batch, small.precision, small.seed) == (1, 1, "fp32", 5)
    assert (small.input, small.resolution) == ((3, 16, 16), 16)
    assert (small.device, small.cores) == (this_machine().id, this_machine().cores)
    assert small.interleaved
    assert small.blocks <= FULL.rounds <= small.runs
    assert small.warmups >= FULL.warmups
    assert datetime.now(UTC) - datetime.fromisoformat(small.date) < timedelta(minutes=5)


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is read from /proc")
def test_memory_is_what_the_model_adds() -> None:
    def linear_bytes(width: int) -> int:
        network = Network("wide", seq(head=head(width)), (256, 1, 1))
        (m,) = measure([network], rough=True, seconds=0.05)
        assert m.rss_bytes is not None
        return m.rss_bytes

    weights = 4 * 256 * 40_000
    assert linear_bytes(40_000) - linear_bytes(10) > weights


def test_a_rough_measurement_says_so_and_is_short() -> None:
    (m,) = measure([tiny()], rough=True, seconds=0.1)
    assert m.rough
    assert not m.interleaved
    assert m.blocks <= ROUGH.rounds


def test_a_network_that_is_too_slow_gets_no_further_block() -> None:
    (m,) = measure([tiny()], rough=True, seconds=0.1, stop_above_ms=1e-6)
    assert m.blocks == 1
    assert m.failure is None


def test_what_is_too_slow_is_a_result_of_a_full_measurement_too() -> None:
    slow, _ = measure([tiny(), tiny(9)], seconds=0.1, stop_above_ms=1e-6)
    assert slow.blocks == 1
    assert slow.failure is None


def test_measuring_nothing_gives_nothing() -> None:
    assert measure([]) == measure([], interleave=False) == []


@pytest.mark.parametrize("interleave", [True, False])
def test_contenders_take_turns_in_reversed_order(interleave: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("netlathe.bench.measure.ROUGH", ROUGH._replace(patience=inf))
    block = WorkerClient.block
    monkeypatch.setattr(
        WorkerClient, "block", lambda self, *a, **k: (order.append(self.network.name), block(self, *a, **k))
    )
    measure([tiny(name=name) for name in "abc"], rough=True, seconds=0.03, interleave=interleave)
    assert "".join(order) == ("abccbaabc" if interleave else "aaabbbccc")


def test_turns_are_reversed_every_other_round() -> None:
    assert [round_order("abc", i) for i in range(3)] == ["abc", "cba", "abc"]


def test_progress_counts_blocks_and_finished_networks_are_handed_over() -> None:
    heard: list[tuple[int, int, str]] = []
    kept: list[Measurement] = []
    networks = [tiny(name="a"), tiny(name="b")]
    results = measure(
        networks, rough=True, seconds=0.05, interleave=False, progress=lambda *x: heard.append(x), keep=kept.append
    )
    counts = [done for done, _, _ in heard]
    assert all(a <= b for a, b in pairwise(counts))
    assert (counts[0], heard[-1]) == (0, (2 * ROUGH.rounds, 2 * ROUGH.rounds, "b"))
    assert kept == results


# Several processes


def test_every_process_is_a_fresh_one_and_contenders_take_turns_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, int]] = []
    block = WorkerClient.block

    def noted(self: WorkerClient, seconds: float, *, timeout: float) -> None:
        order.append((self.network.name, self.child.process.pid))
        block(self, seconds, timeout=timeout)

    monkeypatch.setattr(WorkerClient, "block", noted)
    monkeypatch.setattr("netlathe.bench.measure.SHARED", SHARED._replace(rounds=2, least=2))
    heard: list[int] = []
    a, b = measure(
        [tiny(name="a"), tiny(name="b")], processes=3, seconds=0.05, progress=lambda *said: heard.append(said[0])
    )
    assert "".join(name for name, _ in order) == "abba" * 3
    assert len({process for _, process in order}) == 6
    assert a.processes == b.processes == 3
    assert a.blocks == 3 * 2
    assert heard == sorted(heard)
    assert heard[-1] == 3 * 2 * 2


def test_the_interval_of_several_processes_covers_how_they_differ() -> None:
    processes = [Process(blocks_of(lambda i, ms=ms: Sample(ms, ms, 0), 4)) for ms in (10, 11, 14, 10.5, 10, 12)]
    clean, latency = summarise_processes(processes, threads=1)
    assert clean
    assert (latency.low_ms, latency.median_ms, latency.high_ms) == (10, 10.75, 14)
    assert (latency.runs, latency.blocks, latency.min_ms) == (48, 24, 10)
    assert summarise_processes(processes[:1], 1) == summarise(processes[0].blocks, 1)


def test_one_process_that_others_disturbed_makes_the_whole_contended() -> None:
    quiet = blocks_of(lambda i: Sample(10, 10, 0), 4)
    disturbed = blocks_of(lambda i: Sample(20, 10, 5), 4)
    assert not summarise_processes([Process(quiet), Process(disturbed)], threads=1)[0]


def test_a_headline_has_the_processes_that_an_interval_of_95_percent_needs() -> None:
    values = [float(i) for i in range(HEADLINE)]
    assert median_interval(values) == (0, HEADLINE - 1)
    assert 1 - 2 / 2**HEADLINE >= 0.95 > 1 - 2 / 2 ** (HEADLINE - 1)


def test_a_crash_in_any_process_is_the_result_and_no_further_one_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[WorkerClient] = []
    start = WorkerClient.__init__

    def crashing(self: WorkerClient, network: Network, threads: int) -> None:
        if started:
            worker_that_runs(monkeypatch, tmp_path, CRASH)
        start(self, network, threads)
        started.append(self)

    monkeypatch.setattr(WorkerClient, "__init__", crashing)
    (m,) = measure([tiny()], processes=4, seconds=0.05)
    assert m.failure == "the worker was killed by SIGSEGV"
    assert len(started) == m.processes == 2


def test_ctrl_c_between_processes_leaves_no_half_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    start, count = WorkerClient.__init__, [0]

    def interrupted(self: WorkerClient, network: Network, threads: int) -> None:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        start(self, network, threads)

    monkeypatch.setattr(WorkerClient, "__init__", interrupted)
    with pytest.raises(Interrupted) as caught:
        measure([tiny()], processes=3, seconds=0.05)
    assert caught.value.measurements == []


# Failures


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (CRASH, "the worker was killed by SIGSEGV"),
        (GIVE_UP, "the worker ended with code 3: out of memory"),
        ("", "the worker ended with code 0"),
    ],
)
def test_a_dead_worker_is_a_result(code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_that_runs(monkeypatch, tmp_path, code)
    first, second = measure([tiny(name="a"), tiny(name="b")], interleave=False)
    assert first.failure == second.failure == said
    assert first.median_ms == inf
    assert (first.network, first.runs, first.rss_bytes) == ("a", 0, None)


def test_a_worker_that_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_that_runs(monkeypatch, tmp_path, HANG)
    monkeypatch.setattr("netlathe.bench.measure.LOAD_TIMEOUT", 0.2)
    (m,) = measure([tiny()])
    assert m.failure == "no answer to 'load' within 0.2 s"


def test_an_error_of_the_runtime_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netlathe.lower.onnx.save_onnx", lambda network, path, **_: path.write_bytes(b"no model"))
    (m,) = measure([tiny()])
    assert m.failure is not None
    assert "INVALID_PROTOBUF" in m.failure


def test_one_failure_does_not_touch_the_other_contender(monkeypatch: pytest.MonkeyPatch) -> None:

    def spoil(network: Network, path: Path, **how: int) -> None:
        if network.name == "bad":
            path.write_bytes(b"no model")
        else:
            save_onnx(network, path, **how)

    monkeypatch.setattr("netlathe.lower.onnx.save_onnx", spoil)
    good, bad = measure([tiny(name="good"), tiny(name="bad")], rough=True, seconds=0.03)
    assert good.failure is None
    assert good.median_ms < inf
    assert bad.failure


def test_ctrl_c_keeps_what_is_complete_and_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    workers: list[WorkerClient] = []
    start = WorkerClient.__init__
    block = WorkerClient.block

    def started(self: WorkerClient, network: Network, threads: int) -> None:
        start(self, network, threads)
        workers.append(self)

    def interrupted(self: WorkerClient, seconds: float, *, timeout: float) -> None:
        if self.network.name == "second":
            raise KeyboardInterrupt
        block(self, seconds, timeout=timeout)

    monkeypatch.setattr(WorkerClient, "__init__", started)
    monkeypatch.setattr(WorkerClient, "block", interrupted)
    kept: list[Measurement] = []
    with pytest.raises(Interrupted) as caught:
        measure(
            [tiny(name="first"), tiny(name="second"), tiny(name="third")],
            rough=True,
            seconds=0.03,
            interleave=False,
            keep=kept.append,
        )
    assert [m.network for m in caught.value.measurements] == ["first"]
    assert kept == caught.value.measurements
    assert [w.network.name for w in workers] == ["first", "second"]
    assert all(w.child.process.poll() is not None for w in workers)


def test_the_signal_is_named() -> None:
    assert describe_death(-9, "") == "the worker was killed by SIGKILL"


@pytest.mark.parametrize("bad", [{"threads": 0}, {"batch": -1}, {"seconds": 0.0}, {"seconds": inf}])
def test_values_without_meaning_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(NetlatheError, match=rf"{next(iter(bad))} must be"):
        measure([tiny()], **bad)


def test_an_unknown_runtime_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(NetlatheError, match=r"legal: .*onnxruntime"):
        measure([tiny()], runtime="onnxruntim")


def test_a_runtime_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = replace(RUNTIMES["onnxruntime"], package="no-such-package", extra="fast")
    monkeypatch.setitem(RUNTIMES, "fast", absent)
    with pytest.raises(MissingExtra, match=r"netlathe\[fast\]"):
        measure([tiny()], runtime="fast")
