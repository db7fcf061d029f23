"""Latency is measured in a process of its own, with an interval, and nothing that a runtime does ends the measuring."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import comb, inf
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from netlathe import zoo
from netlathe.arch.build import conv, head, seq
from netlathe.arch.network import Network
from netlathe.bench import contender as contenders
from netlathe.bench import ledger
from netlathe.bench.contender import Contender, death
from netlathe.bench.machine import ForeignLoad, this_machine
from netlathe.bench.measure import FULL, HEADLINE, ROUGH, SHARED, Interrupted, measure, turns
from netlathe.bench.measurement import Measurement, from_json
from netlathe.bench.onnx_file import onnx_file
from netlathe.bench.statistics import Sample, median_interval, quantile, summarise, summarise_processes
from netlathe.bench.worker import example, smooth_input
from netlathe.cli.bench import same
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.lower.onnx import save_onnx


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


# Several processes


def test_every_process_is_a_fresh_one_and_contenders_take_turns_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, int]] = []
    block = Contender.block

    def noted(self: Contender, seconds: float, *, timeout: float) -> None:
        order.append((self.network.name, self.process.pid))
        block(self, seconds, timeout=timeout)

    monkeypatch.setattr(Contender, "block", noted)
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
    processes = [blocks_of(lambda i, ms=ms: Sample(ms, ms, 0), 4) for ms in (10, 11, 14, 10.5, 10, 12)]
    clean, latency = summarise_processes(processes, threads=1)
    assert clean
    assert (latency.low_ms, latency.median_ms, latency.high_ms) == (10, 10.75, 14)
    assert (latency.runs, latency.blocks, latency.min_ms) == (48, 24, 10)
    assert summarise_processes(processes[:1], 1) == summarise(processes[0], 1)


def test_one_process_that_others_disturbed_makes_the_whole_contended() -> None:
    quiet = blocks_of(lambda i: Sample(10, 10, 0), 4)
    disturbed = blocks_of(lambda i: Sample(20, 10, 5), 4)
    assert not summarise_processes([quiet, disturbed], threads=1)[0]


def test_a_headline_has_the_processes_that_an_interval_of_95_percent_needs() -> None:
    values = [float(i) for i in range(HEADLINE)]
    assert median_interval(values) == (0, HEADLINE - 1)
    assert 1 - 2 / 2**HEADLINE >= 0.95 > 1 - 2 / 2 ** (HEADLINE - 1)


def test_a_crash_in_any_process_is_the_result_and_no_further_one_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Contender] = []
    start = Contender.__init__

    def crashing(self: Contender, network: Network, threads: int) -> None:
        if started:
            monkeypatch.setattr(contenders, "WORKER", (sys.executable, "-c", CRASH))
        start(self, network, threads)
        started.append(self)

    monkeypatch.setattr(Contender, "__init__", crashing)
    (m,) = measure([tiny()], processes=4, seconds=0.05)
    assert m.failure == "the worker was killed by SIGSEGV"
    assert len(started) == m.processes == 2


def test_ctrl_c_between_processes_leaves_no_half_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    start, count = Contender.__init__, [0]

    def interrupted(self: Contender, network: Network, threads: int) -> None:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        start(self, network, threads)

    monkeypatch.setattr(Contender, "__init__", interrupted)
    with pytest.raises(Interrupted) as caught:
        measure([tiny()], processes=3, seconds=0.05)
    assert caught.value.measurements == []


# ONNX files that somebody else wrote


def add_file(path: Path, *, batch: int | str, kind: int = TensorProto.FLOAT, side: int | str = 8, **how: str) -> Path:
    """y = x + w, with w of the input's type, as an operator that nobody has counted where `domain` says so."""
    shape = [batch, 3, side, side]
    x, y = (helper.make_tensor_value_info(name, kind, shape) for name in "xy")
    w = helper.make_tensor("w", kind, [1], [1])
    node = helper.make_node("Add", ["x", "w"], ["y"], **how)
    graph = helper.make_graph([node], "other", [x], [y], [w])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("batch", ["N", 2])
def test_an_onnx_file_runs_as_it_is(tmp_path: Path, runtime: str, batch: int | str) -> None:
    file = onnx_file(add_file(tmp_path / "other.onnx", batch=batch))
    (m,) = measure([file], runtime=runtime, batch=2, seconds=0.05)
    assert m.failure is None
    assert (m.network, m.key, m.input) == (str(tmp_path / "other.onnx"), file.key, (3, 8, 8))
    assert (m.batch, m.precision, m.runtime) == (2, "fp32", runtime)


def test_a_file_with_weights_beside_it_and_several_inputs_runs_where_it_lies(tmp_path: Path) -> None:
    network = zoo.get("text_encoder")
    save_onnx(network, tmp_path / "text.onnx")
    model = onnx.load(tmp_path / "text.onnx")
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin")
    file = onnx_file(tmp_path / "split.onnx")
    (m,) = measure([file], seconds=0.05)
    assert m.failure is None
    assert m.input == network.input


def test_another_batch_than_the_file_is_fixed_to_is_refused_with_both(tmp_path: Path) -> None:
    file = onnx_file(add_file(tmp_path / "four.onnx", batch=4))
    with pytest.raises(NetlatheError, match=r"fixed to a batch of 4, not 1\n  --batch 4"):
        measure([file])


def test_a_free_axis_needs_a_shape_and_the_shape_is_part_of_the_key(tmp_path: Path) -> None:
    path = add_file(tmp_path / "free.onnx", batch="N", side="S")
    with pytest.raises(NetlatheError, match="axis 2 of the input x is free"):
        onnx_file(path)
    with pytest.raises(NetlatheError, match=r"the input x is 3x\?x\? without its batch, not 1x8x8"):
        onnx_file(path, (1, 8, 8))
    small, large = onnx_file(path, (3, 8, 8)), onnx_file(path, (3, 16, 16))
    assert small.key != large.key
    assert large.given(5)[0].shape == (5, 3, 16, 16)


@pytest.mark.parametrize("runtime", ["torch", "torch-compiled"])
def test_torch_refuses_an_onnx_file_with_the_runtimes_that_do_not(tmp_path: Path, runtime: str) -> None:
    file = onnx_file(add_file(tmp_path / "other.onnx", batch="N"))
    with pytest.raises(NetlatheError, match="give one of --runtime onnxruntime, openvino"):
        measure([file], runtime=runtime)


@pytest.mark.parametrize(
    ("kind", "precision", "values"),
    [
        (TensorProto.FLOAT, "fp32", "float32"),
        (TensorProto.FLOAT16, "fp16", "float16"),
        (TensorProto.DOUBLE, "fp64", "float64"),
    ],
)
def test_a_file_is_fed_and_named_by_its_own_type(tmp_path: Path, kind: int, precision: str, values: str) -> None:
    file = onnx_file(add_file(tmp_path / "typed.onnx", batch=1, kind=kind))
    (m,) = measure([file], seconds=0.05)
    assert (m.failure, m.precision) == (None, precision)
    assert example(file.given(1)[0]).dtype == values
    with pytest.raises(NetlatheError, match=f"computes in what is written, {precision}, not in bf16"):
        file.precisions("onnxruntime", "bf16")
    assert file.precisions("openvino", "bf16") == ("bf16", "bf16")


def test_a_quantised_file_says_so_and_what_the_rest_of_it_is_pinned_to(tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    save_onnx(tiny(), tmp_path / "net.onnx")
    logging.getLogger().setLevel(logging.ERROR)
    quantize_dynamic(tmp_path / "net.onnx", tmp_path / "small.onnx", weight_type=QuantType.QUInt8)
    file = onnx_file(tmp_path / "small.onnx")
    assert file.precision == "int8+fp32"
    assert file.precisions("openvino", "bf16") == file.precisions("openvino", "int8+bf16") == ("int8+bf16", "bf16")
    (m,) = measure([file], seconds=0.05)
    assert (m.failure, m.precision) == (None, "int8+fp32")


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "not.onnx").write_bytes(b"hello")
    with pytest.raises(NetlatheError, match="not an ONNX file"):
        onnx_file(tmp_path / "not.onnx")
    with pytest.raises(NetlatheError, match="unknown type of the input x 'bfloat16'"):
        onnx_file(add_file(tmp_path / "words.onnx", batch=1, kind=TensorProto.BFLOAT16))


def test_an_operator_that_the_runtime_has_not_is_a_result(tmp_path: Path) -> None:
    file = onnx_file(add_file(tmp_path / "mine.onnx", batch=1, domain="mine"))
    (m,) = measure([file], seconds=0.05)
    assert m.failure
    assert "Add" in m.failure


# At the command line


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path / "cache"))
    return ledger.ledger_path()


NETLATHE = str(Path(sys.executable).with_name("netlathe"))


def netlathe(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([NETLATHE, *map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done


def test_one_network_is_a_headline_of_six_processes_and_several_say_that_they_are_of_one(book: Path) -> None:
    assert "of the median of 6 fresh processes" in netlathe("bench", "lenet5", "--seconds", "0.05").stdout
    several = netlathe("bench", "lenet5", "lenet5_modern", "--seconds", "0.05", "--batch", "4").stdout
    assert "of the median of one process; another one may differ by more (--processes)" in several
    assert "an image" in several
    assert [m.processes for m in ledger.read()] == [6, 1, 1]


def test_bench_times_a_file_and_repeats_it_by_id(book: Path, tmp_path: Path) -> None:
    file = add_file(tmp_path / "free.onnx", batch="N", side="S")
    words = ("--seconds", "0.05", "--processes", "2", "--batch", "3")
    netlathe("bench", file, "--resolution", "8", *words)
    (first,) = ledger.read()
    assert "before: " in netlathe("bench", "--from", first.id, "--seconds", "0.05").stdout
    _, second = ledger.read()
    assert (
        (first.key, first.batch, first.processes) == (second.key, second.batch, second.processes) == (first.key, 3, 2)
    )
    add_file(file, batch="N", side="S", doc_string="another one")
    assert "is not the network it was" in netlathe("bench", "--from", first.id, code=2).stderr


def test_a_mistake_with_a_file_is_one_screen(book: Path, tmp_path: Path) -> None:
    file = add_file(tmp_path / "four.onnx", batch=4)
    assert "--batch 4" in netlathe("bench", file, code=2).stderr
    assert "--runtime onnxruntime, openvino" in netlathe("bench", file, "--runtime", "torch", code=2).stderr
    assert (
        "computes in what is written" in netlathe("bench", file, "--batch", "4", "--precision", "bf16", code=2).stderr
    )
    assert "cannot read this file" in netlathe("bench", tmp_path / "none.onnx", code=2).stderr
    assert list(ledger.read()) == []


def test_compare_counts_and_times_a_file_beside_a_network(book: Path, tmp_path: Path) -> None:
    save_onnx(zoo.get("lenet5_modern"), tmp_path / "lenet.onnx", batch=None)
    said = netlathe("compare", "lenet5_modern", tmp_path / "lenet.onnx", "--seconds", "0.05", "--json").stdout
    ours, theirs = json.loads(said)["data"]["networks"]
    assert ours["macs"] == theirs["macs"]
    assert theirs["latency"]["failure"] is None
    assert theirs["latency"]["network"] == str(tmp_path / "lenet.onnx")


@pytest.mark.parametrize("network", [zoo.get("text_encoder"), zoo.get("mobilenetv1", resolution=160)])
def test_what_a_record_measured_is_found_again_by_its_name_and_input(network: Network) -> None:
    before = record(network=network.name, key=network.key, input=network.input)
    assert same(before) == network
    with pytest.raises(NetlatheError, match="is not the network it was"):
        same(replace(before, key="another"))


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
