"""Operators alone, warm and cold: measured by a real worker, kept in the card, shown, and set beside a network."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from command import PATIENCE_S, netlathe

from netlathe import zoo
from netlathe.bench import worker
from netlathe.bench.calibrate import measure_all, time_cold
from netlathe.bench.measure import write_model
from netlathe.bench.operators import COLD_RUNS, operator_networks, operator_record
from netlathe.bench.worker_client import WorkerClient
from netlathe.device.card import CardFigure, DeviceCard, ErrorBar, Model, Operator, load, parse, save, to_toml
from netlathe.device.features import class_of
from netlathe.errors import NetlatheError
from netlathe.runtimes.base import SessionOptions
from netlathe.target.bottlenecks import explain, find_ceilings
from netlathe.target.device import default_target

ROWS = (
    Operator("dense3", "3x3, 64 to 64, 64x56x56", 115_605_504, 1_753_088, 1.0, 2.0),
    Operator("pointwise", "1x1, 64 to 256, 64x56x56", 51_380_224, 4_079_616, 0.5, 0.8),
    Operator("pool", "max 3x3/2, 64x112x112", 0, 4_014_080, 0.1, 0.4),
)
COEFFICIENTS = {"dense3.macs": 10.0, "pointwise.macs": 20.0, "pool.read": 0.05, "*.macs": 15.0, "*.read": 0.1}


@pytest.fixture
def card():
    model = Model("onnxruntime", "2026-11-01", 30, COEFFICIENTS, ErrorBar(0.1, 1.0, 0.8, 1.3), operators=ROWS)
    figures = (
        CardFigure("peak", "fp32", 250.0, "GFLOP/s", "measured", "x"),
        CardFigure("bandwidth", "dram", 20.0, "GB/s", "measured", "x"),
    )
    return DeviceCard("mine", "Mine", "server cpu", "2026-11-01", figures, (model,))


def test_every_row_is_one_operator_and_they_hold_the_classes_of_the_zoo():
    found = operator_networks()
    assert len({network.name for network in found}) == len(found) >= 20
    assert all(len([op for op in network.graph().ops if not op.view]) == 1 for network in found)
    classes = {class_of(op) for network in found for op in network.graph().ops if not op.view}
    for name in ("resnet50", "mobilenetv3_large", "efficientnet_b0", "regnety_400mf", "vit_tiny_patch16", "vgg16"):
        seen = {class_of(op) for op in zoo.get(name).graph().ops if not op.view}
        assert seen <= classes | {"batchnorm"}, name  # a batch norm after a convolution is folded


def test_amounts_are_those_of_the_closed_forms():
    by_name = {network.name: network for network in operator_networks()}
    conv = operator_record(by_name["3x3, 64 to 64, 64x56x56"], "onnxruntime", 4, 1.0, 2.0)
    assert (conv.of, conv.macs) == ("dense3", 56 * 56 * 64 * 64 * 9)
    assert conv.bytes == 4 * (2 * 64 * 56 * 56 + 64 * 64 * 9)
    add = operator_record(by_name["sum of two, 256x56x56"], "openvino", 2, 1.0, 2.0)
    assert (add.of, add.macs, add.bytes) == ("elementwise", 0, 2 * 3 * 256 * 56 * 56)


def test_a_worker_measures_with_empty_caches():
    network = next(network for network in operator_networks() if network.name.startswith("1x1, 256"))
    with WorkerClient(network, 1) as client, tempfile.TemporaryDirectory() as folder:
        path, inputs = write_model(network, Path(folder), "onnxruntime", batch=1, seed=0)
        options = SessionOptions(1, "fp32")
        client.load(
            runtime="onnxruntime",
            path=str(path),
            options=options,
            seed=0,
            inputs=inputs,
            warmups=1,
            warm_seconds=0.0,
            timeout=PATIENCE_S,
        )
        assert len(client.ask({"do": "cold", "runs": 3}, 60.0)["samples"]) == 3
        assert time_cold(client, 1) > 0
        assert client.failure is None


def test_the_sweep_is_larger_than_every_cache():
    sizes = [int(p.read_text()[:-2]) for p in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    assert worker.sweep_bytes() >= 2**26
    assert worker.sweep_bytes() >= 2 * 1024 * max(sizes, default=0)


def test_the_first_of_a_calibration_are_measured_cold_too():
    found, _, _ = measure_all(
        [*operator_networks()[:2], zoo.get("lenet5_modern")], "onnxruntime", "fp32", 1, None, cold=2
    )
    assert [t.cold_ms > 0 for t in found] == [True, True, False]
    assert COLD_RUNS >= 3  # a median


def test_a_card_with_operators_comes_back_and_one_without_is_still_read(card, tmp_path):
    save(card, tmp_path / "mine.toml")
    assert load(tmp_path / "mine.toml") == card
    text = to_toml(card)
    assert parse(text[: text.index("[[model.operators]]")]).models == (replace(card.models[0], operators=()),)


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("macs = 115605504", "macs = -1", "operators[0].macs: must be at least 0"),
        ("warm_ms = 0.5", "warm_ms = 0", "operators[1].warm_ms: a time of 0 ms cannot be"),
        ("cold_ms = 0.4", "cold_sm = 0.4", "operators[2].cold_sm: unknown field (did you mean cold_ms"),
        ("bytes = 1753088", "bytes = 0.5", "operators[0].bytes: must be a whole number"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_place(card, good, bad, said):
    text = to_toml(card)
    assert good in text
    with pytest.raises(NetlatheError) as caught:
        parse(text.replace(good, bad, 1))
    assert f"model[0].{said}" in caught.value.message


def test_a_network_stands_beside_the_ceilings_of_its_operators(card):
    graph = zoo.get("resnet18").graph()
    latency = default_target(card).predict(zoo.get("resnet18"))
    found = {c.kind: c for c in find_ceilings(graph, latency, card.models[0])}
    assert set(found) == {"dense3", "pointwise", "pool"}
    assert (found["dense3"].unit, found["pool"].unit) == ("GFLOP/s", "GB/s")
    assert found["dense3"].here == pytest.approx(200)  # 10 ms a GMAC, 2 FLOPs a MAC
    assert found["dense3"].warm == pytest.approx(2 * 0.115605504 / 1e-3)
    assert found["pool"].cold == pytest.approx(4_014_080 / 0.4e-3 / 1e9)


def test_a_predicted_reason_is_that_of_the_model(card):
    answer = explain(zoo.get("resnet18"), default_target(card))
    assert "30 networks" in answer.latency.basis
    assert next(iter(answer.by_kind)) == "dense3"
    assert {change.name for change in answer.changes} >= {"widths x 3/4", "images of 192 pixels"}


def test_the_command_line_shows_the_table_and_the_ceilings(card, tmp_path):
    path = str(tmp_path / "mine.toml")
    save(card, path)
    shown = netlathe("device", "show", path).stdout
    row = next(line for line in shown.splitlines() if "3x3, 64 to 64" in line)
    assert all(word in row for word in ("2.000", "1.000", "116 GFLOP/s", "231 GFLOP/s", "46 %"))
    pool = next(line for line in shown.splitlines() if "max 3x3/2" in line)
    assert all(word in pool for word in ("10 GB/s", "40.1 GB/s", "50 %"))
    asked = ("device", "why", "resnet18", "--device", path, "--runtime", "onnxruntime")
    assert "best alone, cold" in netlathe(*asked).stdout
    said = json.loads(netlathe(*asked, "--json").stdout)["data"]["ceilings"]
    assert said[0]["kind"] == "dense3"


def test_this_is_the_card_of_this_machine(calibrated, tmp_path, monkeypatch):
    assert "a test" in netlathe("device", "show", "this").stdout
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path / "empty"))
    assert "netlathe device calibrate" in netlathe("device", "show", "this", code=2).stderr
