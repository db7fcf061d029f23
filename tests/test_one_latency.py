"""One latency: every verb, page and panel answers the same question with the same figure and interval."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from chosen import measured

from netlathe import zoo
from netlathe.audit import advise
from netlathe.choose import run as choosing
from netlathe.cli.main import run
from netlathe.device.card import names
from netlathe.errors import NetlatheError
from netlathe.lab.catalogue import Catalogue
from netlathe.lab.facts import read_facts
from netlathe.lab.state import read_state
from netlathe.lab.view import view
from netlathe.sources.source import SourceFilter
from netlathe.sources.zoo import Zoo
from netlathe.target.device import all_targets, load_device, targets_on
from netlathe.units import show_ms

DEVICES = {
    "rpi-5": "efficientnet_b0",
    "phone-2016-core": "mobilenetv2",
    "rtx-3090": "resnet50",
    "stm32f746": "mobilenetv1_025",
    "this": "mobilenetv3_small",
}


class OneNetwork(Zoo):
    """The published figures of one network at 224 pixels."""

    def __init__(self, name):
        self.name = name

    def entries(self, wanted=None):
        return [entry for entry in super().entries(SourceFilter(self.name)) if entry.net.input[-1] == 224]


def printed(capsys, *words):
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["data"]


def by_choose(capsys, net, device, way):
    on = [] if device == "this" else ["--device", device, "--runtime", way[0], "--precision", way[1]]
    data = printed(capsys, "choose", *on, "--networks", net, "--top1", "1")
    (one,) = [c for c in [data["pick"], *data["front"]] if c["resolution"] == 224][:1]
    return tuple(one["predicted"][name] for name in ("low_ms", "ms", "high_ms"))


def by_advise(capsys, net, device, way):
    networks = printed(capsys, "advise", "--task", "mobile", "--device", device)["networks"]
    (one,) = [found for found in networks if (found["runtime"], found["precision"]) == way]
    low, high = one["forecast_interval_ms"]
    return low, one["forecast_ms"], high


@pytest.mark.parametrize(("device", "net"), DEVICES.items())
def test_every_verb_page_and_panel_says_the_same(device, net, calibrated, capsys, monkeypatch, tmp_path):
    def measure(networks, **how):
        return [
            replace(measured(5.0, processes=6), key=network.key, precision=how["precision"]) for network in networks
        ]

    monkeypatch.setattr(choosing, "measure", measure)
    monkeypatch.setattr(advise, "Zoo", lambda: OneNetwork(net))
    page = tmp_path / "page.html"
    why = printed(capsys, "device", "why", net, "--device", device, "--html", str(tmp_path / "why.html"))
    cost = printed(capsys, "cost", net, "--device", device, "--html", str(page))["latency"]
    state, shelf = read_state(f"net={net}&device={device}"), Catalogue()
    facts = read_facts(state, shelf.net(net), shelf.card(device))
    asked = tuple(why[name] for name in ("low_ms", "ms", "high_ms"))
    assert asked[0] < asked[1] < asked[2]
    way = why["runtime"], why["precision"]
    panel, limit = facts.prediction, facts.estimate.forecast
    answers = {
        "cost": tuple(cost[name] for name in ("low_ms", "ms", "high_ms")),
        "choose": by_choose(capsys, net, device, way),
        "advise": by_advise(capsys, net, device, way),
        "lab": (panel.low_ms, panel.total_ms, panel.high_ms),
        "limits of the lab": (limit.low_ms, limit.ms, limit.high_ms),
    }
    assert answers == dict.fromkeys(answers, asked)
    totals = {row["key"]: row["text"] for row in view(state, shelf.net(net), shelf.card(device))["totals"]}
    for text in (page.read_text(), (tmp_path / "why.html").read_text()):
        assert totals["latency_ms"].removeprefix("~") in text


def test_the_steps_of_the_roads_take_it_too(capsys):
    (first, *_) = printed(capsys, "modernise", "resnet50", "--device", "rpi-5")["steps"]
    why = printed(capsys, "device", "why", "resnet50", "--device", "rpi-5")
    assert first["predicted_ms"] == why["ms"]
    assert first["predicted_interval_ms"] == [why["low_ms"], why["high_ms"]]
    data = printed(capsys, "regnets", "-n", "1", "--device", "rpi-5")["samples"]["RegNetX"]
    assert data[0]["interval_ms"][0] < data[0]["ms"] < data[0]["interval_ms"][1]


def test_a_bound_is_called_a_bound_and_stands_beside_the_forecast(capsys):
    roof = printed(capsys, "device", "roofline", "efficientnet_b0", "--device", "rpi-5")
    why = printed(capsys, "device", "why", "efficientnet_b0", "--device", "rpi-5")
    assert why["least_ms"] == pytest.approx(roof["ms"])
    assert why["ms"] > why["least_ms"]
    assert run(["device", "why", "efficientnet_b0", "--device", "rpi-5"]) == 0
    assert f"at least {show_ms(roof['ms'])}, by the roofline" in capsys.readouterr().out


@pytest.mark.parametrize("device", names())
def test_the_usual_way_to_run_networks_is_one_for_all(device):
    first = all_targets(load_device(device))[0]
    try:
        default = targets_on(device)[0]
    except NetlatheError as refusal:  # nobody measured anything: all refuse alike
        with pytest.raises(NetlatheError, match=str(refusal.message)):
            first.predict(zoo.get("lenet5"))
        return
    assert (first.runtime, first.precision, first.threads) == (default.runtime, default.precision, default.threads)


def test_another_basis_is_no_gain(capsys, tmp_path):
    """A card with a model of fp32 alone and a bf16 peak: a forecast of one is not compared with one of the other."""
    from netlathe.device.card import CardFigure, DeviceCard, ErrorBar, Model, save

    model = Model("onnxruntime", "2026-11-01", 30, {"*.macs": 100.0}, ErrorBar(0.1, 1.0, 0.8, 1.3))
    figures = (
        CardFigure("peak", "fp32", 250.0, "GFLOP/s", "measured", "x"),
        CardFigure("peak", "bf16", 2500.0, "GFLOP/s", "measured", "x"),
        CardFigure("bandwidth", "dram", 20.0, "GB/s", "measured", "x"),
    )
    path = Path(tmp_path / "mine.toml")
    save(DeviceCard("mine", "Mine", "server cpu", "2026-11-01", figures, (model,)), path)
    changes = printed(capsys, "device", "why", "resnet18", "--device", str(path))["changes"]
    assert "run in bf16" not in {change["name"] for change in changes}


def test_several_networks_have_their_latencies_beside_their_costs(capsys):
    words = ("cost", "resnet18", "resnet34", "--device", "rpi-5")
    networks = printed(capsys, *words)["networks"]
    assert run(list(words)) == 0
    table = capsys.readouterr().out
    for network in networks:
        assert network["latency"]["ms"] == printed(capsys, "device", "why", network["name"], "--device", "rpi-5")["ms"]
        assert f"~{show_ms(network['latency']['ms'])}" in table
