"""What decides is the latency of the quiet machine, whatever else ran while it was measured."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from math import inf, log
from pathlib import Path

import pytest
from benched import record, tiny

from netlathe import zoo
from netlathe.bench import calibrate, raw, reference
from netlathe.bench.calibrate import Conditions, TimedNetwork, fit_calibration, is_hindered
from netlathe.bench.level import corrected, level_of, measured_ratios, model_id
from netlathe.bench.machine import this_machine
from netlathe.bench.measure import measure
from netlathe.bench.statistics import Process, Sample, quiet_ms, summarise_processes
from netlathe.device.card import ErrorBar, Model
from netlathe.errors import NetlatheError

TRUE_MS = 10.0


def process(share: float, slowdown: float = 1.0, seed: int = 0, runs: int = 60) -> Process:
    """A process whose runs of 10 ms keep the processor for `share` of the time: each is interrupted, and waits."""
    draw = random.Random(seed)
    blocks = []
    for _ in range(6):
        block = []
        for _ in range(runs // 6):
            own = TRUE_MS * slowdown * (1 + abs(draw.gauss(0, 0.02)))
            away = share < 1
            block.append(Sample(own / share * draw.uniform(0.8, 1.2) if away else own, own, int(away) * 3))
        blocks.append(block)
    return Process(blocks, slowdown)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_the_quiet_estimate_does_not_move_with_what_others_take(share: float) -> None:
    processes = [process(share, seed=seed) for seed in range(6)]
    clean, latency = summarise_processes(processes, threads=1, busy=share < 1)
    assert clean == (share == 1)
    assert latency.quiet_ms == pytest.approx(TRUE_MS, rel=0.02)
    assert latency.quiet_low_ms <= 1.01 * TRUE_MS <= 1.02 * latency.quiet_high_ms
    assert latency.quiet_high_ms < 1.05 * TRUE_MS
    assert latency.median_ms == pytest.approx(TRUE_MS / share, rel=0.1)


def test_what_slows_the_reference_kernel_is_divided_out_and_widens_the_interval() -> None:
    alone = summarise_processes([process(1, seed=seed) for seed in range(6)], 1)[1]
    beside = summarise_processes([process(0.5, slowdown=1.5, seed=seed) for seed in range(6)], 1, busy=True)[1]
    assert beside.quiet_ms == pytest.approx(alone.quiet_ms, rel=0.02)
    assert beside.slowdown == 1.5
    assert beside.quiet_high_ms > 1.2 * beside.quiet_ms
    assert beside.quiet_low_ms < beside.quiet_ms / 1.2


def test_contended_evidence_is_of_the_least_disturbed_process() -> None:
    processes = [process(0.5, seed=seed) for seed in range(5)]
    worse = Process([[s._replace(cpu_ms=2 * s.cpu_ms, wall_ms=2 * s.wall_ms) for s in b] for b in processes[0].blocks])
    latency = summarise_processes([*processes, worse], 1, busy=True)[1]
    assert latency.quiet_ms == pytest.approx(TRUE_MS, rel=0.02)
    assert latency.quiet_high_ms < 1.05 * TRUE_MS


def test_a_run_that_waits_for_a_device_is_not_taken_for_an_interrupted_one() -> None:
    waits = [Sample(10.0, 1.0, 0)] * 8 + [Sample(30.0, 1.0, 2)] * 4
    assert quiet_ms(waits, 1) == pytest.approx(10)
    assert quiet_ms([Sample(10.0, 20.0, 0)] * 5, 2) == pytest.approx(10), "two threads, both at work"


def test_the_reference_kernel_is_slow_beside_its_own_past(book: Path) -> None:
    fast, slow = [Sample(0.1, 0.1, 0)] * 9, [Sample(0.16, 0.16, 0)] * 9
    assert reference.slowdown([], 1) == 1
    assert [reference.slowdown(fast, 1) for _ in range(20)] == [1] * 20
    assert reference.slowdown(slow, 1) == pytest.approx(1.6, rel=0.05)
    assert reference.slowdown(slow, 2) == 1, "of another number of threads nothing is known yet"
    reference.history_path().write_text("{ damaged")
    assert reference.slowdown(slow, 1) == 1


def test_a_measurement_keeps_the_quiet_estimate_and_the_forecast_of_the_card(calibrated: Path) -> None:
    (m,) = measure([tiny()], seconds=0.05)
    assert 0 < m.quiet_low_ms <= m.quiet_ms <= m.quiet_high_ms < inf
    assert m.interval == (m.quiet_low_ms, m.quiet_ms, m.quiet_high_ms)
    assert 0 < m.forecast_ms < inf
    assert m.forecast_model
    assert record().interval == (1.25, 1.5, 2.0), "an older record decides by its median"
    assert replace(m, failure="crash").interval == (inf, inf, inf)


# The level of the forecasts

MODEL = Model("onnxruntime", "2026-01-01", 9, {"*.macs": 10.0}, ErrorBar(0.1, 1.0, 0.85, 1.2))


def ratios_of(count: int, ratio: float) -> list[float]:
    return [log(ratio)] * count


def test_measurements_set_the_level_of_the_forecasts() -> None:
    assert corrected(MODEL, []) == MODEL
    once, often = (corrected(MODEL, ratios_of(count, 1.4)).coefficients["*.macs"] for count in (1, 30))
    assert 10 < once < often == pytest.approx(14, rel=0.02)
    assert "corrected by 30 measurements made since" in corrected(MODEL, ratios_of(30, 1.4)).note
    assert corrected(MODEL, ratios_of(30, 1.02)).note == ""


def test_a_forecast_that_measurements_contradict_is_widened_and_said() -> None:
    contradicted = [log(r) for r in (0.5, 0.6, 1.0, 1.7, 2.2, 1.0)]
    bar, wide = corrected(MODEL, contradicted).error, level_of(MODEL, contradicted)
    assert wide.wider > 2
    assert bar.low < 0.6
    assert bar.high > 1.7
    assert "wider interval" in wide.note
    assert level_of(MODEL, [log(r) for r in (0.95, 1.0, 1.1, 0.9)]).wider == 1


def test_one_measurement_far_off_is_believed_half_and_stays_inside() -> None:
    """A forecast of 0.71 ms and a measurement of 0.172 ms: a limit between them is no longer ruled out."""
    model = corrected(MODEL, ratios_of(1, 0.172 / 0.71))
    assert 0.71 * model.coefficients["*.macs"] / 10 * model.error.low <= 0.172 * 1.01


def test_only_measurements_of_the_same_model_count_each_network_once() -> None:
    def made(**changes: object) -> object:
        return record(quiet_ms=2.0, quiet_low_ms=2.0, quiet_high_ms=2.0, forecast_ms=1.0, **changes)

    known = model_id(MODEL)
    found = measured_ratios(
        [made(forecast_model=known), made(forecast_model=known), made(forecast_model="old"), made(forecast_model="")]  # type: ignore[list-item]
    )
    assert found == {known: [log(2)], "old": [log(2)]}


def test_the_card_of_this_machine_comes_with_its_level(calibrated: Path) -> None:
    from netlathe.bench import ledger
    from netlathe.bench.own_card import read_calibrated_card, read_own_card

    before = read_calibrated_card()
    assert before is not None
    for i in range(20):
        ledger.append(record(key=str(i), quiet_ms=3.0, forecast_ms=1.0, forecast_model=model_id(before.models[0])))
    after = read_own_card()
    assert after is not None
    assert after.models[0].coefficients["*.macs"] == pytest.approx(3 * 10, rel=0.1)
    assert read_calibrated_card() == before, "the file stays as calibration left it"


# Calibration


def test_calibration_is_refused_only_where_no_quiet_moment_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = this_machine().cores
    assert not is_hindered(4.0 * cores, 1.0, threads=1)
    assert is_hindered(0.0, 1.4, threads=1)
    assert is_hindered(float(cores), 1.0, threads=cores)
    assert not is_hindered(0.0, 1.0, threads=cores)
    monkeypatch.setattr(calibrate, "watch_load", lambda: 0.0)
    monkeypatch.setattr(calibrate, "measure_all", lambda *a, **k: ([], 3.0, 1.5))
    with pytest.raises(NetlatheError, match="other processes use"):
        calibrate.calibrate()


@pytest.fixture
def calibration() -> calibrate.Calibration:
    nets = [zoo.get(name) for name in calibrate.NETWORKS[:8]]
    timed = [TimedNetwork(net, net.graph(), 1.0 + i) for i, net in enumerate(nets)]
    probes = [TimedNetwork(net, net.graph(), 0.1 + i / 100) for i, net in enumerate(raw.probe_networks()[:40])]
    conditions = Conditions("onnxruntime", "1.0", "fp32", 1, "id", "2026-01-01")
    return fit_calibration(conditions, [*probes, *timed], 0.1, 1.0)


def test_what_a_calibration_measured_lies_beside_the_card_and_fits_the_same_model_again(
    calibration: calibrate.Calibration, tmp_path: Path
) -> None:
    card = tmp_path / "mine.toml"
    raw.save_calibrations(card, [("onnxruntime", calibration)], None)
    ((runtime, again),) = raw.read_raw_files(card)
    assert runtime == "onnxruntime"
    assert again.model == calibration.model
    assert len(again.networks) == 8
    path = raw.raw_path(card, calibration.model)
    assert json.loads(path.read_text())["times"][-1]["ms"] == 8.0


def _spoil(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    "change", [lambda text: text[:50], lambda text: "[]", lambda text: text.replace('"ms"', '"s"')]
)
def test_a_damaged_record_of_a_calibration_is_named(
    calibration: calibrate.Calibration, tmp_path: Path, change: Callable[[str], str]
) -> None:
    path = raw.write_raw(tmp_path / "mine.toml", "onnxruntime", calibration)
    _spoil(path, change)
    with pytest.raises(NetlatheError, match="no measurements of a calibration"):
        raw.refit(path)
    with pytest.raises(NetlatheError, match="nothing that was measured"):
        raw.read_raw_files(tmp_path / "other.toml")
