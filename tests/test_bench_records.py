"""A record of a measurement carries its statistics and its machine, and the ledger loses none."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import comb, inf
from pathlib import Path

import pytest
from benched import blocks_of, record, tiny
from command import command

from netlathe import zoo
from netlathe.bench import ledger, own_card
from netlathe.bench.machine import ForeignLoad, this_machine
from netlathe.bench.measurement import Measurement, measurement_from_json
from netlathe.bench.statistics import Sample, summarise
from netlathe.bench.worker import smooth_input
from netlathe.device.card import save
from netlathe.errors import NetlatheError
from netlathe.stats.intervals import median_interval
from netlathe.stats.quantiles import quantile
from netlathe.target import here

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


@pytest.mark.parametrize("m", [record(), record(failure="crash", median_ms=inf), record(rss_bytes=12, rough=True)])
def test_a_measurement_survives_json(m: Measurement) -> None:
    text = json.dumps(m.to_json(), allow_nan=False)
    assert measurement_from_json(json.loads(text)) == m
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
    with pytest.warns(ledger.LedgerWarning, match="line 2"):
        assert [m.batch for m in ledger.read()] == [1]
    ledger.append(record(batch=2))  # which mends it
    assert [m.batch for m in ledger.read()] == [1, 2]
    book.write_bytes(book.read_bytes()[:-1])  # only the newline is missing: the record is whole
    ledger.append(record(batch=3))
    assert [m.batch for m in ledger.read()] == [1, 2, 3]


def fill_disk() -> None:
    """Append records until that fails, in a process whose files may have 5000 bytes, and print how many succeeded."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    for number in range(1000):
        try:
            ledger.append(record(batch=number + 1))
        except NetlatheError as error:
            print(number, error)
            return


def test_on_a_full_disk_an_append_fails_and_what_was_appended_before_is_whole(book: Path) -> None:
    words = "import sys; sys.path[:0] = sys.argv[1:]; import test_bench_records; test_bench_records.fill_disk()"
    environment = os.environ | {"NETLATHE_CACHE": str(book.parent)}
    done = subprocess.run(
        [sys.executable, "-c", words, str(Path(__file__).parent)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    number, said = done.stdout.split(" ", 1)
    assert 0 < int(number) < 1000
    assert f"cannot write {book}: File too large" in said
    assert [m.batch for m in ledger.read()] == list(range(1, int(number) + 1))
    ledger.append(record(batch=7))
    assert len(list(ledger.read())) == int(number) + 1


def test_a_device_that_is_always_full_is_said(book: Path) -> None:
    book.parent.mkdir()
    book.symlink_to("/dev/full")
    with pytest.raises(NetlatheError, match="No space left on device"):
        ledger.append(record())


@pytest.mark.parametrize("line", ["null", "{}", "[1]", "\\x00\\xff", '{"network": 1}'])
def test_a_line_that_is_no_record_is_left_out(book: Path, line: str) -> None:
    book.parent.mkdir()
    book.write_text(line + "\n")
    with pytest.warns(ledger.LedgerWarning):
        assert list(ledger.read()) == []


def test_this_machine_is_calibrated_by_one_process_at_a_time(book: Path) -> None:
    with own_card.calibrating(wait=False):
        said = command("device", "calibrate")
    assert said.returncode == 2
    assert f"process {os.getpid()} on " in said.stderr
    assert "calibrates this machine" in said.stderr


def test_who_waited_for_a_calibration_takes_its_card(calibrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = own_card.read_calibrated_card()
    own_card.own_card_path().unlink()

    @contextmanager
    def while_another_calibrates(*, wait: bool) -> Iterator[None]:
        assert wait
        save(card, own_card.own_card_path())
        yield

    monkeypatch.setattr(here, "calibrating", while_another_calibrates)
    monkeypatch.setattr(here, "calibrate", lambda *_, **__: pytest.fail("it was calibrated twice"))
    assert here.targets_here(["onnxruntime"])[0].device.id == card.id


def test_an_unknown_id_gets_the_nearest(book: Path) -> None:
    m = record()
    ledger.append(m)
    with pytest.raises(NetlatheError, match=f"did you mean {m.id}"):
        ledger.find(m.id[:-1] + "x")


def test_a_ledger_that_cannot_be_written_says_where_it_may(book: Path) -> None:
    book.parent.parent.joinpath("cache").write_text("a file")
    with pytest.raises(NetlatheError, match="NETLATHE_CACHE"):
        ledger.append(record())
