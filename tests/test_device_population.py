"""Cards from published measurements: what they forecast, what other devices make expect, and what is refused."""

import json
import math
import random

import pytest

from netlathe import zoo
from netlathe.cli.main import run
from netlathe.device import card
from netlathe.device.cores import expected_model, expected_ways, known_cores
from netlathe.device.evidence import evidence
from netlathe.device.features import total
from netlathe.device.fit_measured import fit_measured, grows
from netlathe.device.latency import feature_row, predict
from netlathe.device.measurements import MeasuredNetwork, fit_models
from netlathe.device.population import PARTS, START, coefficients, populations, priors_for
from netlathe.errors import NetlatheError
from netlathe.target.device import targets_on

# Rows of Tencent/ncnn @a4d2ea1 benchmark/README.md and of quic/ai-hub-models @52c080d2 perf.yaml (BSD-3-Clause).
PUBLISHED = [
    ("rpi-5", "ncnn", "fp16", 4, "resnet50_v1", 45.94),
    ("rpi-5", "ncnn", "fp16", 1, "mobilenetv1", 16.65),
    ("rpi-3b-plus", "ncnn", "fp32", 4, "resnet50_v1", 583.57),
    ("jetson-nano", "ncnn", "fp32", 1, "resnet50_v1", 624.43),
    ("jetson-nano", "ncnn-vulkan", "fp16", 1, "resnet50_v1", 93.05),
    ("sd-8-gen-2", "ncnn", "fp16", 1, "resnet50_v1", 53.59),
    ("galaxy-s25", "qnn", "fp16", 1, "resnet50", 1.325),
    ("galaxy-s25", "qnn", "int8", 1, "resnet50", 0.532),
    ("sd-8-gen-2", "qnn", "fp16", 1, "vit_base_patch16", 11.114),
    ("phone-2016-core", "tflite", "fp32", 1, "mobilenetv2", 73.8),
]
FITTED = [name for name in card.names() if any(model.parts for model in card.load(name).models)]


@pytest.mark.parametrize(("device", "runtime", "precision", "threads", "net", "ms"), PUBLISHED)
def test_a_published_row_lies_in_the_interval_of_its_card(device, runtime, precision, threads, net, ms):
    graph = zoo.get(net).graph()
    found = predict(graph, card.load(device), runtime=runtime, precision=precision, threads=threads)
    assert found.low_ms < ms < found.high_ms
    assert found.high_ms / found.low_ms < 4


def test_most_devices_of_the_tables_have_a_card_that_says_where_it_comes_from():
    assert len(FITTED) > 50
    for name in FITTED:
        for model in card.load(name).models:
            assert "BSD-3-Clause" in model.source or "Apache-2.0" in model.source
            assert model.networks >= 8
            assert model.error.mape <= 0.25


def test_parts_are_the_coefficients_of_every_feature():
    table = coefficients([float(i) for i in range(1, len(PARTS) + 1)])
    assert table["dense.macs"] == table["patches.macs"] == 1.0
    assert table["depthwise3.macs"] == table["depthwise5.macs"]
    assert table[f"{START}.calls"] == len(PARTS)
    row = feature_row(zoo.get("mobilenetv3_small").graph(), "ncnn")
    assert all(table.get(name, 0.0) > 0 for name in row)


def test_an_unmeasured_device_is_expected_from_others_with_its_cores():
    graph = zoo.get("resnet50").graph()
    times = [predict(graph, card.load("rpi-4-1800"), threads=threads).total_ms for threads in (1, 2, 4)]
    assert times[0] > 1.5 * times[1] > 1.5 * times[2]
    found = predict(graph, card.load("rpi-4-1800"), threads=4)
    assert "2 measured devices with cortex-a72 cores" in found.basis
    assert 1.5 < found.high_ms / found.low_ms < 5
    slower = predict(graph, card.load("rpi-4-1500"), threads=4)
    assert slower.total_ms > found.total_ms


def test_cores_that_many_devices_have_are_known_better_than_those_of_one():
    cores = known_cores().cores
    assert cores["cortex-a53"].devices > 5
    lone = [core.spread for core in cores.values() if core.devices == 1]
    assert cores["cortex-a53"].spread < min(lone)
    assert cores["cortex-a53"].spread ** 2 < 3  # high / low


def test_more_threads_than_cores_are_refused():
    with pytest.raises(NetlatheError, match="--threads 5") as caught:
        targets_on("rpi-4-1800", (), None, 5)
    assert "--threads 1 or 2 or 3 or 4" in caught.value.hint
    with pytest.raises(NetlatheError, match="5 threads would take turns"):
        expected_model(card.load("rpi-4-1800"), "ncnn", "fp32", 5)


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_change_the_forecast_of_a_card(threads, capsys):
    words = ["device", "why", "resnet18", "--device", "rpi-5", "--runtime", "ncnn", "--threads", str(threads), "--json"]
    assert run(words) == 0
    ms = json.loads(capsys.readouterr().out)["data"]["ms"]
    forecasts = [predict(zoo.get("resnet18").graph(), card.load("rpi-5"), threads=n).total_ms for n in (1, 4)]
    assert ms == pytest.approx(forecasts[threads == 4])
    assert forecasts[0] > 1.3 * forecasts[1]


def test_threads_that_a_datasheet_does_not_know_are_refused():
    with pytest.raises(NetlatheError, match="--threads 4 changes nothing"):
        targets_on("i9-10940x", (), None, 4)


@pytest.mark.parametrize(
    ("device", "runtimes", "precision", "legal"),
    [
        ("rpi-5", ("onnxruntime",), None, "--runtime ncnn --precision fp16 --threads 1"),
        ("rpi-5", (), "int8", "--runtime ncnn --precision fp16"),
        ("rpi-4-1800", ("tflite",), "fp32", "--runtime ncnn --precision fp32 --threads 1 or 2 or 3 or 4"),
        ("galaxy-s25", ("ncnn",), None, "--runtime qnn --precision fp16"),
        ("sd-8-gen-3", (), "int8", "device fit"),
        ("rtx-4090", (), "int8", "device fit"),
    ],
)
def test_what_nobody_measured_is_refused_with_what_was(device, runtimes, precision, legal):
    with pytest.raises(NetlatheError, match="nobody measured") as caught:
        targets_on(device, runtimes, precision, 1)
    assert legal in caught.value.hint
    assert "measure" in caught.value.hint


def test_a_forecast_by_name_alone_is_that_of_the_way_that_was_measured():
    graph, pi = zoo.get("resnet18").graph(), card.load("rpi-5")
    assert evidence(pi)[0] == ("ncnn", "fp16", 1)
    assert predict(graph, pi) == predict(graph, pi, runtime="ncnn", precision="fp16", threads=1)


# A made-up device of a population: the mean of its hidden vector, three times as slow.
NETS = (
    "resnet18", "resnet50", "mobilenetv1", "mobilenetv2", "mobilenetv3_large", "efficientnet_b0", "regnety_400mf",
    "vgg16", "alexnet", "googlenet", "densenet121", "mobilenetv3_small", "efficientnet_b1", "regnetx_800mf",
    "resnext50_32x4d", "resnet34", "resnet101",
)  # fmt: skip


def made_up(population, noise, seed=0):
    rng = random.Random(seed)
    table = coefficients([3 * math.exp(value) for value in population.mean])
    rows = [feature_row(zoo.get(name).graph(), "ncnn") for name in NETS]
    return rows, [total(row | {f"{START}.calls": 1.0}, table) * rng.uniform(1 - noise, 1 + noise) for row in rows]


@pytest.mark.parametrize("population", populations(), ids=lambda population: population.name)
def test_five_networks_tell_the_speed_of_a_device_like_others(population):
    rows, ms = made_up(population, 0.05)
    model = fit_measured(rows[:5], ms[:5], [population])
    off = [
        abs(total(row | {f"{START}.calls": 1.0}, model.coefficients) / y - 1) for row, y in zip(rows, ms, strict=True)
    ]
    assert sum(off[5:]) / len(off[5:]) < 0.12
    assert model.prior == population.name


def test_a_runtime_brings_the_devices_that_were_measured_under_it():
    assert [population.name for population in priors_for("ncnn")] == ["cpu"]
    assert [population.name for population in priors_for("qnn")] == ["npu"]
    assert len(priors_for("tflite")) == len(populations())


def test_networks_of_one_resolution_do_not_make_resolution_free():
    """Seventeen networks whose time was all weights and calls, as a table of one resolution may look."""
    rows, _ = made_up(populations()[0], 0.0)
    ms = [sum(value for name, value in row.items() if name.endswith((".weights", ".calls"))) for row in rows]
    model = fit_measured(rows, ms, populations())
    assert grows(rows, model.coefficients) or model.parts
    small, large = (feature_row(zoo.get("resnet50", resolution=size).graph(), "ncnn") for size in (128, 384))
    assert total(large, model.coefficients) > 1.2 * total(small, model.coefficients)


def test_a_network_at_another_resolution_does_not_vouch_for_itself():
    """Each of six networks is off by a factor of its own, the same at both of its resolutions."""
    population = populations()[0]
    table = coefficients([math.exp(value) for value in population.mean])
    names = [f"{name}@{size}" for name in NETS[:6] for size in (128, 192)]
    graphs = [zoo.get(name.partition("@")[0], resolution=int(name.partition("@")[2])) for name in names]
    rows = [feature_row(network.graph(), "ncnn") for network in graphs]
    factors = (1.0, 1.5, 0.7, 1.3, 0.8, 1.1)
    ms = [factors[i // 2] * total(row | {f"{START}.calls": 1.0}, table) for i, row in enumerate(rows)]
    alone = fit_measured(rows, ms, [population]).error
    measured = [
        MeasuredNetwork(n, g.graph(), t, "ncnn", 1, "fp32", 1) for n, g, t in zip(names, graphs, ms, strict=True)
    ]
    (model,) = fit_models(measured, "2026-11-29")
    assert model.error.high / model.error.low > 1.1 * alone.high / alone.low


def test_expected_ways_end_at_the_number_of_cores():
    assert expected_ways(card.load("rpi-4-1800")) == [("ncnn", "fp32", threads) for threads in (1, 2, 3, 4)]


def test_what_no_measured_network_tells_widens_the_interval_and_is_said():
    """The table of int8 networks of a Galaxy S25 has convolutional ones only."""
    phone = card.load("galaxy-s25")
    seen, unseen = (
        predict(zoo.get(name).graph(), phone, runtime="qnn", precision="int8")
        for name in ("resnet50", "vit_tiny_patch16")
    )
    assert not seen.warnings
    assert any("linear" in warning for warning in unseen.warnings)
    assert unseen.high_ms / unseen.low_ms > 3 * seen.high_ms / seen.low_ms
