"""The catalogue of published weights: a table of the present code; forecasts need neither torch nor timm."""

import csv
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.resources import files
from types import ModuleType

import pytest
from chosen import measured
from command import netlathe

from netlathe import zoo
from netlathe.arch.net import GraphNet
from netlathe.bench.measure import measure
from netlathe.catalogue import licences
from netlathe.catalogue.definition import fingerprint, rules
from netlathe.catalogue.networks import header, networks
from netlathe.catalogue.weights import TIMM, by_architecture, weights, weights_named
from netlathe.choose import run as choosing
from netlathe.cost.count import BYTES, count
from netlathe.cost.memory import memory
from netlathe.device.card import load
from netlathe.device.latency import feature_row, predict
from netlathe.errors import Exit, MissingExtra, NetlatheError
from netlathe.lab.catalogue import Catalogue
from netlathe.read.timm import load_timm
from netlathe.runtimes.registry import RUNTIMES
from netlathe.sources.registry import open_source
from netlathe.sources.source import SourceFilter, rated_entries

ZOO_LIBRARY = "zoo"
AGAIN = "python benchmarks/derive_catalogue.py makes the table anew"
# Networks of the zoo with other operators, on cards whose forecasts rest on a model, on figures and on a rate.
ZOO = [("efficientnet_b0", 224), ("swin_tiny", 224), ("convnext_atto", 224)]
CARDS = {"rpi-5": {}, "rtx-3090": {"precision": "fp16", "batch": 8}, "stm32f746": {"runtime": "x-cube-ai"}}


def test_the_table_is_of_the_present_features_and_rules():
    assert header()["definition"] == fingerprint(), AGAIN
    assert set(header()["rules"]) == set(rules()), AGAIN


def test_every_network_of_the_zoo_is_the_one_that_was_counted():
    keys = {(name, side): row.key for (library, name, side), row in networks().items() if library == ZOO_LIBRARY}
    assert all(zoo.get(name, resolution=side).key == key for (name, side), key in keys.items()), AGAIN


@pytest.mark.parametrize(("name", "side"), ZOO)
def test_a_row_of_the_table_says_exactly_what_the_graph_says(name, side):
    network, row = zoo.get(name, resolution=side), networks()["zoo", name, side]
    graph = network.graph()
    assert row.key == network.key, AGAIN
    assert (row.cost, row.memories[4]) == (count(graph), replace(memory(graph, BYTES["fp32"]), at={}))
    for runtime in RUNTIMES:
        assert row.under(runtime).row(3) == feature_row(graph, runtime, 3)
    for card, way in CARDS.items():
        ours, theirs = predict(row, load(card), **way), predict(graph, load(card), **way)
        assert (ours.total_ms, ours.low_ms, ours.high_ms) == (theirs.total_ms, theirs.low_ms, theirs.high_ms)


@pytest.mark.parametrize("name", ["mobilenetv4_conv_small_050", "edgenext_xx_small", "levit_128s"])
def test_a_row_of_timm_says_what_its_module_says_today(name, timm: ModuleType):
    (net,) = load_timm(f"timm:{name}")
    graph, row = net.graph(), net.workload
    assert row.cost == count(graph), AGAIN
    for runtime in RUNTIMES:
        assert row.under(runtime).row(1) == feature_row(graph, runtime), AGAIN


def test_every_weights_has_a_network_with_its_params_or_a_reason():
    rows, missing = networks(), []
    for one in weights():
        row = rows.get((TIMM, one.architecture, one.side))
        if row is None:
            missing.append(one.name)
        else:
            assert row.cost.params == pytest.approx(1e6 * one.params_M, abs=0.011e6), one.name
    assert len(weights()) == 1556
    assert len(by_architecture()) == 900
    with (files("netlathe.catalogue") / "skipped.csv").open() as file:
        reasons = {row["network"]: row["why"] for row in csv.DictReader(file)}
    assert all(reasons.get(name.partition(".")[0]) for name in missing), missing


def test_licences_and_pretraining_are_those_that_timm_says():
    of_weights = {one.name: one for one in weights()}
    kinds = Counter(licences.kind_of(one.licence) for one in of_weights.values())
    assert kinds == {"open": 1171, "non-commercial": 45, "vendor": 39, "unknown": 11}
    data = {name: one.data for name, one in of_weights.items()}
    assert data["resnet50.a1_in1k"] == ""
    assert data["convnext_tiny.in12k_ft_in1k_384"] == "ImageNet-12k"
    assert data["vit_base_patch16_clip_224.laion2b_ft_in12k_in1k"] == "LAION-2B + ImageNet-12k"
    assert data["tf_efficientnet_b7.ns_jft_in1k"] == "JFT-300M"
    assert data["eva_giant_patch14_336.clip_ft_in1k"] == "LAION-400M"


WRONG = {
    "resnet5": "resnet50",
    "ResNet-50": "resnet50",
    "resnet50_a1": "resnet50.a1_in1k",
    "resnet50.a1": "resnet50.a1_in1k",
    "mobilnetv3": "mobilenetv3_rw",
    "mobilenetv4": "mobilenetv4_conv_small",
    "efficientnet_bo": "efficientnet_b",
    "convnext_tny": "convnext_tiny",
    "deit_small": "deit_small_patch16_224",
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "eva02": "eva02_tiny_patch14_336",
    "tf_efficientnet_b0_ns": "tf_efficientnet_b0.ns_jft_in1k",
}


@pytest.mark.parametrize(("typed", "meant"), WRONG.items())
def test_a_wrong_name_is_answered_with_the_nearest(typed, meant):
    with pytest.raises(NetlatheError) as caught:
        weights_named(typed)
    assert f"timm:{meant}" in caught.value.hint


def test_the_whole_of_it_is_forecast_without_torch_and_timm():
    program = (
        "import sys; from netlathe.cli.main import run;"
        "code = run(['choose', '--from', 'timm', '--device', 'rpi-5', '--latency', '60ms', '--json']);"
        "assert not {'torch', 'timm'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    data = json.loads(done.stdout)["data"]
    # One runtime and precision or several of the card: each network once in each.
    legal = {(one.architecture, one.side) for one in weights() if not one.data}
    assert data["candidates"] % sum((TIMM, *key) in networks() for key in legal) == 0
    assert data["pick"]["name"].startswith("timm:")
    assert data["pick"]["licence"]


def entries(**wanted):
    return {
        (e.net.name, e.net.input[-1]): e.accuracy for e in rated_entries(open_source("all"), SourceFilter(**wanted))
    }


def test_a_network_of_the_zoo_and_its_twin_are_one_with_the_best_weights_of_both():
    own = entries(pattern="efficientnet_b0")
    assert {name for name, _ in own} == {"efficientnet_b0"}
    assert own["efficientnet_b0", 224].weights.startswith("timm:")
    more = entries(pattern="convnext_tiny", extra_data=True)
    assert more["convnext_tiny", 224].top1 > entries(pattern="convnext_tiny")["convnext_tiny", 224].top1
    assert more["convnext_tiny", 224].data


def test_licences_extra_data_and_other_images_decide_what_counts():
    usual = entries()
    assert not any(a.data for a in usual.values())
    assert any(a.data for a in entries(extra_data=True).values())
    mit = entries(licences=licences.allowed(["mit"]))
    assert {a.licence for a in mit.values()} == {"mit"}
    real, v2 = entries(accuracy="real"), entries(accuracy="v2")
    key = "mobilenetv4_conv_small", 224
    assert v2[key].top1 < usual[key].top1 < real[key].top1
    assert (v2[key].images, real[key].images) == (10_000, 46_837)


def test_what_is_no_licence_is_answered_with_those_that_there_are():
    said = netlathe("choose", "--latency", "15ms", "--licence", "mti", code=Exit.USAGE).stderr
    assert "unknown licence 'mti'" in said
    assert "mit" in said


@pytest.fixture
def without_timm(monkeypatch):
    """As where neither torch nor timm is installed."""
    monkeypatch.setattr("netlathe.read.timm.find_spec", lambda name: None)


def test_costs_come_from_the_table_where_timm_is_missing(without_timm, monkeypatch):
    def missing(name):
        try:
            raise ModuleNotFoundError(name)
        except ModuleNotFoundError:
            raise MissingExtra(name, "hub") from None

    monkeypatch.setattr("netlathe.read.timm.import_library", missing)
    said = netlathe("cost", "timm:resnet50", "--device", "rpi-5").stdout
    assert "25,557,032 trainable" in said
    assert "pip install 'netlathe[hub,train]'" in said
    assert "~" in said.partition("latency")[2]
    rows = json.loads(netlathe("compare", "timm:resnet50.a1_in1k", "resnet50", "--no-latency", "--json").stdout)["data"]
    ours, theirs = rows["networks"]
    assert (ours["macs"], ours["top1"]) == (theirs["macs"], 80.382)
    why = json.loads(netlathe("device", "why", "timm:resnet50", "--device", "rpi-5", "--json").stdout)["data"]
    assert why["ms"] > 0
    assert "hub" in netlathe("bench", "timm:resnet50", code=Exit.MISSING).stderr


def fake_measure(networks, **how):
    return [replace(measured(5.0, processes=6), key=network.key, precision=how["precision"]) for network in networks]


def test_without_the_extra_the_measured_answer_stays_and_what_more_there_is_is_said(
    calibrated, without_timm, monkeypatch
):
    monkeypatch.setattr(choosing, "measure", fake_measure)
    words = ("choose", "--latency", "20ms", "--networks", "mobilenet*")
    own = json.loads(netlathe(*words, "--from", "zoo", "--json").stdout)["data"]
    both = json.loads(netlathe(*words, "--json").stdout)["data"]
    assert both["pick"]["top1"] >= own["pick"]["top1"]
    assert not both["pick"]["name"].startswith("timm:")
    assert both["unbuilt"]["candidates"] > 0
    assert "pip install 'netlathe[hub,train]'" in " ".join(both["reasons"])
    alone = netlathe(*words, "--from", "timm").stdout
    assert "nothing was measured: timm is not installed; pip install 'netlathe[hub,train]'" in alone


def test_a_finalist_is_built_by_timm_and_measured(calibrated, brief, timm: ModuleType):
    words = ("choose", "--from", "timm", "--networks", "lcnet_050", "--latency", "10s", "--seconds", "0.05")
    data = json.loads(netlathe(*words, "--json").stdout)["data"]
    assert [c["name"] for c in data["measured"]] == ["timm:lcnet_050.ra2_in1k"]
    assert data["measured"][0]["latency"]["failure"] is None


class Unexported(GraphNet):
    """A network that does not become a file."""

    def feeds(self, batch):
        return ()

    def onnx(self, folder, *, batch=1, seed=0):
        raise NetlatheError("torch cannot export this one")


def test_a_finalist_that_cannot_be_exported_is_a_failure_of_its_own():
    net = Unexported("odd", zoo.get("lenet5").graph())
    (measurement,) = measure([net], seconds=0.01, fail_export=True)
    assert measurement.failure == "torch cannot export this one"
    with pytest.raises(NetlatheError, match="cannot export"):
        measure([net], seconds=0.01)


def test_the_lab_has_a_network_of_timm_by_its_operators(timm: ModuleType):
    graph = Catalogue().net("timm:lcnet_050").graph()
    assert count(graph) == networks()[TIMM, "lcnet_050", 224].cost


def test_a_pattern_names_architectures_and_a_dot_their_weights():
    assert len(load_timm("timm:lcnet_*")) > 1
    assert {net.name.partition(".")[0] for net in load_timm("timm:resnet50.a*")} == {"timm:resnet50"}
    assert load_timm("timm:resnet50", resolution=160)[0].workload is not None
    assert load_timm("timm:resnet50", resolution=168)[0].workload is None


def test_fusion_rules_that_the_table_lacks_leave_timm_out_and_say_so(monkeypatch):
    words = ("choose", "--device", "rpi-5", "--networks", "mobilenetv3*", "--latency", "60ms", "--json")
    usual = json.loads(netlathe(*words).stdout)
    monkeypatch.setattr("netlathe.sources.source.has_rules", lambda runtime: False)
    lacking = json.loads(netlathe(*words).stdout)
    assert not any(c["name"].startswith("timm:") for c in lacking["data"]["front"])
    assert any("lacks its fusion rules" in said for said in lacking["warnings"])
    (ours,) = [c for c in usual["data"]["front"] if c["name"] == "mobilenetv3_small" and c["resolution"] == 224][:1]
    assert ours in lacking["data"]["front"]
