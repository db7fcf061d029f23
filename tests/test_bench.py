"""Latency is measured in a process of its own, with an interval, and nothing that a runtime does ends the measuring."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import comb, inf
from pathlib import Path

import pytest

from netlathe import zoo
from netlathe.arch.build import conv, head, seq
from netlathe.arch.network import Network
from netlathe.bench import contender as contenders
from netlathe.bench import ledger
from netlathe.bench.contender import Contender, death
from netlathe.bench.machine import ForeignLoad, this_machine
from netlathe.bench.measure import FULL, ROUGH, Interrupted, measure, turns
from netlathe.bench.measurement import Measurement, from_json
from netlathe.bench.statistics import Sample, median_interval, quantile, summarise
from netlathe.bench.worker import smooth_input
from netlathe.errors import MissingExtra, NetlatheError


def tiny(width: int = 8, name: str = "tiny") -> Network:
    return Network(name, seq(stem=conv(width, 3, 2), head=head(10)), (3, 16, 16))


CRASH = "import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)"
GIVE_UP = "import sys; input(); print('out of memory', file=sys.stderr); sys.exit(3)"
HANG = "import time; time.sleep(60)"


def worker_that_runs(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Every worker from now on is this program."""
    monkeypatch.setattr(contenders, "WORKER", (sys.executable, "-c", code))


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


def test_measuring_nothing_gives_nothing() -> None:
    assert measure([]) == measure([], interleave=False) == []


@pytest.mark.parametrize("interleave", [True, False])
def test_contenders_take_turns_in_reversed_order(interleave: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("netlathe.bench.measure.ROUGH", ROUGH._replace(patience=inf))
    block = Contender.block
    monkeypatch.setattr(
        Contender, "block", lambda self, *a, **k: (order.append(self.network.name), block(self, *a, **k))
    )
    measure([tiny(name=name) for name in "abc"], rough=True, seconds=0.03, interleave=interleave)
    assert "".join(order) == ("abccbaabc" if interleave else "aaabbbccc")


def test_turns_are_reversed_every_other_round() -> None:
    assert [turns("abc", i) for i in range(3)] == ["abc", "cba", "abc"]


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


# Failures


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (CRASH, "the worker was killed by SIGSEGV"),
        (GIVE_UP, "the worker ended with code 3: out of memory"),
        ("", "the worker ended with code 0"),
    ],
)
def test_a_dead_worker_is_a_result(code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_that_runs(monkeypatch, code)
    first, second = measure([tiny(name="a"), tiny(name="b")], interleave=False)
    assert first.failure == second.failure == said
    assert first.median_ms == inf
    assert (first.network, first.runs, first.rss_bytes) == ("a", 0, None)


def test_a_worker_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    worker_that_runs(monkeypatch, HANG)
    monkeypatch.setattr("netlathe.bench.measure.LOAD_TIMEOUT", 0.2)
    (m,) = measure([tiny()])
    assert m.failure == "no answer to 'load' within 0.2 s"


def test_an_error_of_the_runtime_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netlathe.bench.measure.save_onnx", lambda network, path, **_: path.write_bytes(b"no model"))
    (m,) = measure([tiny()])
    assert m.failure is not None
    assert "INVALID_PROTOBUF" in m.failure


def test_one_failure_does_not_touch_the_other_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    from netlathe.lower.onnx import save_onnx

    def spoil(network: Network, path: Path, **how: int) -> None:
        if network.name == "bad":
            path.write_bytes(b"no model")
        else:
            save_onnx(network, path, **how)

    monkeypatch.setattr("netlathe.bench.measure.save_onnx", spoil)
    good, bad = measure([tiny(name="good"), tiny(name="bad")], rough=True, seconds=0.03)
    assert good.failure is None
    assert good.median_ms < inf
    assert bad.failure


def test_ctrl_c_keeps_what_is_complete_and_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    workers: list[Contender] = []
    start = Contender.__init__
    block = Contender.block

    def started(self: Contender, network: Network, threads: int) -> None:
        start(self, network, threads)
        workers.append(self)

    def interrupted(self: Contender, seconds: float, *, timeout: float) -> None:
        if self.network.name == "second":
            raise KeyboardInterrupt
        block(self, seconds, timeout=timeout)

    monkeypatch.setattr(Contender, "__init__", started)
    monkeypatch.setattr(Contender, "block", interrupted)
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
    assert all(w.process.poll() is not None for w in workers)


def test_the_signal_is_named() -> None:
    assert death(-9, "") == "the worker was killed by SIGKILL"


@pytest.mark.parametrize("bad", [{"threads": 0}, {"batch": -1}, {"seconds": 0.0}, {"seconds": inf}])
def test_values_without_meaning_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(NetlatheError, match=rf"{next(iter(bad))} must be"):
        measure([tiny()], **bad)


def test_an_unknown_runtime_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(NetlatheError, match=r"legal: .*onnxruntime"):
        measure([tiny()], runtime="onnxruntim")


def test_a_runtime_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from netlathe.bench.runtimes import RUNTIMES

    absent = RUNTIMES["onnxruntime"]._replace(package="no-such-package", extra="fast")
    monkeypatch.setitem(RUNTIMES, "fast", absent)
    with pytest.raises(MissingExtra, match=r"netlathe\[fast\]"):
        measure([tiny()], runtime="fast")


# Statistics


def test_the_interval_of_the_median_is_the_narrowest_that_holds_95_percent() -> None:
    for n in range(6, 40):
        low, high = median_interval([float(i) for i in range(n)])
        k = int(low)
        assert high == n - 1 - k

        def coverage(k: int, n: int = n) -> float:
            return 1 - 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n

        assert coverage(k) >= 0.95 > coverage(k + 1)


def test_few_blocks_give_their_range() -> None:
    assert median_interval([3.0]) == (3, 3)
    assert median_interval([5.0, 1.0, 3.0, 2.0, 9.0]) == (1, 9)


def test_twelve_blocks_ignore_two_outliers_on_either_side() -> None:
    assert median_interval([1.0, 2, *range(10, 18), 1e3, 1e4]) == (10, 17)


def test_a_quantile_interpolates() -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert quantile([1.0], 0.9) == 1.0


def blocks_of(sample: Callable[[int], Sample], count: int = 12) -> list[list[Sample]]:
    return [[sample(i), sample(i)] for i in range(count)]


def test_interrupted_runs_do_not_count_where_enough_others_do() -> None:
    blocks = [[Sample(1, 1, 0), Sample(50, 1, 3)] for _ in range(12)]
    clean, latency = summarise(blocks, threads=1)
    assert clean
    assert (latency.median_ms, latency.high_ms, latency.runs) == (1, 1, 12)


def test_all_runs_count_and_say_so_where_too_few_are_undisturbed() -> None:
    blocks = blocks_of(lambda i: Sample(10, 10, 0) if i < 5 else Sample(20, 10, 1))
    clean, latency = summarise(blocks, threads=1)
    assert not clean
    assert (latency.median_ms, latency.cpu_ms, latency.runs) == (20, 10, 24)


def test_an_interruption_that_costs_less_than_a_hundredth_is_none() -> None:
    assert Sample(500, 499, 4).undisturbed(threads=1)
    assert not Sample(500, 480, 1).undisturbed(threads=1)
    assert Sample(500, 998, 4).undisturbed(threads=2)
    assert not Sample(500, 600, 4).undisturbed(threads=2)


def test_slow_networks_with_few_blocks_can_be_clean() -> None:
    assert summarise(blocks_of(lambda i: Sample(10, 10, 0), 3), 1)[0]
    assert not summarise(blocks_of(lambda i: Sample(20, 10, i), 3), 1)[0]


# Machine and record


def test_the_machine_has_a_stable_identity() -> None:
    machine = this_machine()
    assert machine.cpu
    assert machine.cores >= machine.physical_cores >= 1
    assert replace(machine, memory_bytes=machine.memory_bytes + 4096).id == machine.id
    assert replace(machine, cores=machine.cores + 1).id != machine.id


def test_foreign_load_is_what_others_use(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, busy, own = iter([0.0, 10.0]), iter([100.0, 109.0]), iter([1.0, 1.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("time.process_time", lambda: next(own))
    monkeypatch.setattr("netlathe.bench.machine.busy_seconds", lambda: next(busy))
    load = ForeignLoad()
    load.watch(lambda: 4.5)
    assert load.cores == pytest.approx((9 - 0.5 - 4.5) / 10)


def test_the_input_is_fixed_and_smooth() -> None:
    x = smooth_input((2, 3, 64, 64))
    assert x.shape == (2, 3, 64, 64)
    assert (x == smooth_input((2, 3, 64, 64))).all()
    assert abs(x[..., 1:] - x[..., :-1]).max() < 0.5 * x.std() < 2


def record(**changes: object) -> Measurement:
    m = Measurement(
        network="tiny",
        key=tiny().key,
        input=(3, 16, 16),
        device="d",
        cpu="a processor",
        cores=2,
        flags=("avx2",),
        runtime="onnxruntime",
        runtime_version="1.0",
        threads=1,
        precision="fp32",
        batch=1,
        seed=0,
        date="2026-01-02T03:04:05.000+00:00",
        median_ms=1.5,
        low_ms=1.25,
        high_ms=2.0,
        min_ms=1.0,
        p90_ms=2.5,
        cpu_ms=1.5,
    )
    return replace(m, **changes)


@pytest.mark.parametrize("m", [record(), record(failure="crash", median_ms=inf), record(rss_bytes=12, rough=True)])
def test_a_measurement_survives_json(m: Measurement) -> None:
    text = json.dumps(m.to_json(), allow_nan=False)
    assert from_json(json.loads(text)) == m
    assert json.loads(text)["id"] == m.id


def test_ids_differ_where_records_do() -> None:
    assert record().id == record().id != record(date="2026-01-02T03:04:06.000+00:00").id


def test_a_contended_measurement_warns() -> None:
    assert "0.80 cores" in record(contended=True, foreign_load=0.8).warning
    assert record().warning == record(contended=True, failure="crash").warning == ""


def test_the_key_of_a_network_is_its_expression_and_input_not_its_name() -> None:
    assert tiny(name="other").key == tiny().key
    assert tiny().at(32).key != tiny().key != tiny(9).key
    assert zoo.get("resnet50").key == zoo.get("resnet50").key != zoo.get("resnet50", classes=10).key


# Ledger


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path / "cache"))
    return ledger.ledger_path()


def test_the_ledger_gives_back_what_was_appended(book: Path) -> None:
    assert list(ledger.read()) == []
    first, second = record(), record(median_ms=1.75)
    ledger.append(first)
    ledger.append(second)
    assert list(ledger.read()) == [first, second]
    assert ledger.find(second.id) == second


def test_the_ledger_survives_a_truncated_line(book: Path) -> None:
    ledger.append(record())
    with book.open("ab") as file:
        file.write(book.read_bytes()[:40])
    ledger.append(record(batch=2))
    with pytest.warns(ledger.LedgerWarning, match="line 2"):
        assert [m.batch for m in ledger.read()] == [1, 2]


@pytest.mark.parametrize("line", ["null", "{}", "[1]", "\\x00\\xff", '{"network": 1}'])
def test_a_line_that_is_no_record_is_left_out(book: Path, line: str) -> None:
    book.parent.mkdir()
    book.write_text(line + "\n")
    with pytest.warns(ledger.LedgerWarning):
        assert list(ledger.read()) == []


def test_an_unknown_id_gets_the_nearest(book: Path) -> None:
    m = record()
    ledger.append(m)
    with pytest.raises(NetlatheError, match=f"did you mean {m.id}"):
        ledger.find(m.id[:-1] + "x")


def test_the_newest_record_under_the_same_conditions_is_found(book: Path) -> None:
    now = datetime.now(UTC)
    young, old = ((now - timedelta(days=days)).isoformat() for days in (1, 10))
    wanted = record(date=young, median_ms=7.0)
    others = (
        record(date=old),
        record(threads=2, date=young),
        record(batch=8, date=young),
        record(rough=True, date=now.isoformat()),
        record(contended=True, date=now.isoformat()),
        record(failure="crash", date=now.isoformat()),
        record(runtime_version="2.0", date=now.isoformat()),
    )
    for m in (wanted, *others):
        ledger.append(m)
    same = {
        "key": wanted.key,
        "device": "d",
        "runtime": "onnxruntime",
        "runtime_version": "1.0",
        "threads": 1,
        "precision": "fp32",
        "batch": 1,
    }
    assert ledger.latest(**same) == wanted
    assert ledger.latest(**same, max_age=timedelta(days=2)) == wanted
    assert ledger.latest(**same, max_age=timedelta(hours=1)) is None
    assert ledger.latest(**same | {"key": "other"}) is None
    assert ledger.latest(**same, rough=True) == others[3]
    assert ledger.latest(**same, contended=True) == others[4]


def test_a_ledger_that_cannot_be_written_says_where_it_may(book: Path) -> None:
    book.parent.parent.joinpath("cache").write_text("a file")
    with pytest.raises(NetlatheError, match="NETLATHE_CACHE"):
        ledger.append(record())
