"""Every runtime runs the same network and gives the same answer, in the precision that is asked for."""

import os
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from netlathe import zoo
from netlathe.arch.build import relu
from netlathe.arch.network import Network
from netlathe.bench import calibrate as calibrating
from netlathe.bench.measure import measure, write_model
from netlathe.bench.operators import operator_networks
from netlathe.bench.probes import probe_networks
from netlathe.bench.worker import torch_module
from netlathe.cli.main import run
from netlathe.device.card import load, save
from netlathe.device.latency import predict
from netlathe.errors import Exit, NetlatheError
from netlathe.process.call import call
from netlathe.process.limits import Limits
from netlathe.runtimes.base import TOLERANCES, SessionOptions
from netlathe.runtimes.registry import (
    DEFAULT,
    RUNTIMES,
    forecast_name,
    fusion_of,
    on_gpu,
    opener,
    precision_of,
    runnable,
    runtime_version,
)

HANGING_S = 1800.0  # no answer by then is none
NETWORK, SMALL = zoo.get("mobilenetv2", resolution=64), zoo.get("lenet5_modern")
RUNNABLE = runnable()  # those of NETLATHE_RUNTIMES too: whoever adds a runtime runs these tests on it
ON_CPU = [name for name, found in RUNNABLE.items() if found.processor == "cpu"]
COMPILED = "torch-compiled"  # Inductor takes its time for every precision: bench runs the others, fp32 runs here
PRECISIONS = [(name, ("fp32",) if name == COMPILED else RUNNABLE[name].precisions) for name in ON_CPU]
PRECISIONS += [pytest.param(COMPILED, RUNNABLE[COMPILED].precisions[1:], marks=pytest.mark.slow)]
MEASURED = [pytest.param(name, marks=pytest.mark.slow if name == COMPILED else ()) for name in ON_CPU]


def network_for(name):
    """What a runtime runs here: Inductor takes half a minute for the larger one."""
    return SMALL if name == COMPILED else NETWORK


def answers(network, name, precisions, folder):
    """The outputs of a runtime in each precision, for the same image and the same weights."""
    model, (feed,) = write_model(network, folder, name, batch=1, seed=0)
    image = np.random.default_rng(0).standard_normal((1, *network.input), np.float32)
    if feed.shape != image.shape:  # channels last
        image = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    outputs = {}
    for precision in precisions:
        module = torch_module(str(model), 0) if RUNNABLE[name].takes == "torch" else str(model)
        outputs[precision] = np.array(opener(name)(module, SessionOptions(1, precision))([image]))
    return outputs


@pytest.mark.parametrize(("name", "precisions"), PRECISIONS)
def test_a_runtime_agrees_with_the_default_to_the_digits_of_its_precision(name, precisions, tmp_path):
    network = network_for(name)
    expected = answers(network, DEFAULT, ("fp32",), tmp_path)["fp32"]
    # Every runtime runs in a process of its own, as in the product: what other tests did to torch does not reach it.
    here = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    outputs = call(answers, here, HANGING_S, "test", Limits(), network, name, precisions, tmp_path)
    assert tuple(outputs) == precisions
    for precision, output in outputs.items():
        error = np.linalg.norm(output - expected) / np.linalg.norm(expected)
        assert error <= TOLERANCES[precision], precision
        assert precision == "fp32" or error > TOLERANCES["fp32"], "bf16 that is as exact as fp32 was not bf16"


@pytest.mark.parametrize("name", MEASURED)
def test_a_measurement_names_its_runtime_and_keeps_to_one_thread(name):
    precision = RUNNABLE[name].precisions[-1]
    (m,) = measure([network_for(name)], runtime=name, precision=precision, threads=1, seconds=0.2)
    assert m.failure is None
    assert (m.runtime, m.precision) == (name, precision)
    assert m.runtime_version == runtime_version(name)
    assert m.cpu_ms <= 1.3 * m.median_ms, "several threads spend more processor time than time passes"


@pytest.mark.parametrize("name", [name for name in RUNNABLE if RUNNABLE[name].extra and name != "tflm"])
def test_a_runtime_that_is_not_installed_ends_with_its_extra_in_one_line(name, monkeypatch, capsys):
    def version(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", version)
    assert run(["bench", "lenet5_modern", "--runtime", name]) == Exit.MISSING
    message, hint = capsys.readouterr().err.strip().splitlines()
    assert RUNNABLE[name].package in message
    assert f"netlathe[{RUNNABLE[name].extra}]" in hint


def test_names_and_aliases_of_runtimes_mean_one_each():
    names = [name for found in RUNTIMES.values() for name in (found.name, *found.aliases)]
    assert len(names) == len(set(names))
    assert {fusion_of(name) for name in names} == {found.fusion for found in RUNTIMES.values()}
    assert [forecast_name(name) for name in ("ort", "eager", "compiled", "litert", "torch-compiled", "torch-cuda")] == [
        *("onnxruntime", "torch", "torch-compile", "tflite", "torch-compile", "torch")
    ]


def test_token_ids_can_be_measured():
    (m,) = measure([zoo.get("text_encoder")], seconds=0.1)
    assert m.failure is None


def test_a_precision_that_a_runtime_has_not_is_refused():
    assert precision_of("onnxruntime", None) == "fp32"
    with pytest.raises(NetlatheError, match="unknown precision of onnxruntime 'bf16'"):
        measure([NETWORK], precision="bf16")


@pytest.mark.parametrize("name", sorted(on_gpu()))
def test_without_a_gpu_a_cuda_runtime_fails_by_name_and_never_falls_back(name):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    (m,) = measure([zoo.get("lenet5_modern")], runtime=name, seconds=0.1)
    assert "CUDA" in m.failure


def test_a_module_without_weights_runs_under_torch():
    (m,) = measure([Network("relu", relu, (3, 8, 8))], runtime="torch", seconds=0.1)
    assert m.failure is None


def test_a_calibration_makes_a_card_that_can_be_read_back(monkeypatch, tmp_path):
    names = ("mobilenetv1_025", "mobilenetv2_035", "mobilenetv3_small", "lenet5_modern")
    monkeypatch.setattr(calibrating, "NETWORKS", names)
    monkeypatch.setattr(calibrating, "probe_networks", lambda: probe_networks()[:4])
    monkeypatch.setattr(calibrating, "operator_networks", lambda: operator_networks()[:2])
    found = calibrating.calibrate(force=True)
    assert [t.network.name for t in found.networks] == list(names)
    assert found.model.error.low <= found.model.error.high
    assert [o.of for o in found.model.operators] == ["stem", "dense3"]
    card = calibrating.card_of(calibrating.this_machine(), [found])
    save(card, tmp_path / "card.toml")
    assert load(tmp_path / "card.toml") == card
    assert predict(zoo.get("mobilenetv1_050").graph(), card).total_ms > 0
