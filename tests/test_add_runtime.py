"""A runtime is added in one file: `bench`, `choose` and `fit` take it by its name, and forecasts by its rules."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import netlathe

from netlathe import zoo
from netlathe.bench import calibrate as calibrating
from netlathe.bench.machine import this_machine
from netlathe.bench.own_card import own_card_path
from netlathe.device.card import save
from netlathe.device.features import fused
from netlathe.errors import NetlatheError
from netlathe.runtimes import registry

TOY = Path(__file__).parent / "toy_runtime.py"
SMALL = ("mobilenetv1_025", "mobilenetv2_035", "mobilenetv3_small", "lenet5_modern")


@pytest.fixture
def toy(monkeypatch):
    """The toy runtime, in this process and in every one that it starts."""
    monkeypatch.setattr(registry, "RUNTIMES", dict(registry.RUNTIMES))
    monkeypatch.setenv(registry.FILES, str(TOY))
    registry.load_file(TOY)


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("x = 1\nimport nowhere_at_all\n", 2, "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("x = 1\ny = (\n", 2, "SyntaxError: '(' was never closed"),
        ("def f():\n    return {}['a']\n\n\nf()\n", 2, "KeyError: 'a'"),
        ("from netlathe.runtimes.registry import runtime\n\nruntime('tory')\n", 3, "unknown runtime 'tory'"),
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_a_faulty_file_is_refused_with_the_variable_the_file_and_its_line(
    relative, text, line, fault, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    file = Path("mine.py") if relative else tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(NetlatheError) as error:
        registry.load_file(file)
    assert error.value.path == f"{file}:{line}"
    assert fault in error.value.message
    assert registry.FILES in error.value.hint


@pytest.fixture
def calibrated_toy(toy, tmp_path, monkeypatch):
    """A card of this machine that was calibrated under the toy by a few small networks."""
    monkeypatch.setenv("NETLATHE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibrating, "NETWORKS", SMALL)
    monkeypatch.setattr(calibrating, "probe_networks", lambda probes=calibrating.probe_networks: probes()[:4])
    monkeypatch.setattr(calibrating, "operator_networks", list)
    monkeypatch.setattr(calibrating, "BLOCKS", 2)
    card = calibrating.card_of(this_machine(), [calibrating.calibrate("toy", force=True)])
    own_card_path().parent.mkdir(parents=True)
    save(card, own_card_path())
    return card


def data(*words):
    """The data that a command prints."""
    return json.loads(netlathe(*words, "--json").stdout)["data"]


def test_bench_runs_it_in_a_process_that_knows_it_by_the_environment_alone(toy):
    words = ["bench", "lenet5_modern", "--runtime", "toy", "--seconds", "0.1", "--processes", "1", "--json"]
    done = subprocess.run([sys.executable, "-m", "netlathe", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)["data"]
    assert measured["failure"] is None
    assert measured["runtime"] == "toy"
    assert measured["runtime_version"] == registry.runtime_version("onnxruntime")


def test_forecasts_follow_its_rules_by_any_of_its_names(toy):
    graph = zoo.get("mobilenetv1_025").graph()
    assert len(fused(graph, "toy")) == len(fused(graph, "torch")) > len(fused(graph, "onnxruntime"))
    assert fused(graph, "plaything") == fused(graph, "toy")


def test_choose_takes_it(calibrated_toy, brief):
    assert [model.runtime for model in calibrated_toy.models] == ["toy"]
    words = ("--latency", "1s", "--runtime", "toy", "--networks", "mobilenetv1_025", "--seconds", "0.05")
    pick = data("choose", *words)["pick"]
    assert pick["runtime"] == pick["latency"]["runtime"] == "toy"
    assert pick["predicted"]["basis"].startswith("model of toy")


@pytest.mark.slow
def test_fit_takes_it(calibrated_toy, brief):
    plan = data("fit", "digits", "--latency", "1s", "--runtime", "toy", "--macs", "2M", "--time", "10m", "--dry-run")
    assert plan["candidates"]
    assert {candidate["runtime"] for candidate in plan["candidates"]} == {"toy"}


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(NetlatheError, match="register no runtime"):
        registry.load_file("no/such/file.py")
