"""Every runtime runs the same network and gives the same answer, in the precision that is asked for."""

import numpy as np
import pytest

from netlathe import zoo
from netlathe.arch.build import relu
from netlathe.arch.document import to_json
from netlathe.arch.network import Network
from netlathe.bench import calibrate as calibrating
from netlathe.bench.measure import measure
from netlathe.bench.operators import operator_networks
from netlathe.bench.probes import probe_networks
from netlathe.bench.worker import torch_module
from netlathe.device.card import load, save
from netlathe.device.latency import predict
from netlathe.errors import NetlatheError
from netlathe.lower.onnx import save_onnx
from netlathe.runtimes.base import SessionOptions
from netlathe.runtimes.registry import on_gpu, opener, precision_of, runnable

NETWORK = zoo.get("mobilenetv2", resolution=64)
PAIRS = [(name, precision) for name, found in runnable().items() for precision in found.precisions]


def answer(name, precision, folder):
    path = folder / "model"
    if runnable()[name].takes == "onnx":
        save_onnx(NETWORK, path)
    else:
        path.write_text(to_json(NETWORK))
    model = str(path) if runnable()[name].takes == "onnx" else torch_module(str(path), 0)
    call = opener(name)(model, SessionOptions(1, precision))
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64), np.float32)
    return np.array(call([image]))


@pytest.mark.parametrize(
    ("name", "precision"), [pair for pair in PAIRS if pair[0] != "torch-compiled" and pair[0] not in on_gpu()]
)
def test_runtimes_agree_to_the_digits_of_their_precision(name, precision, tmp_path):
    expected = answer("onnxruntime", "fp32", tmp_path)
    found = answer(name, precision, tmp_path)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error <= 1e-4 if precision == "fp32" else 1e-4 < error < 0.2, "bf16 that is as exact as fp32 was not bf16"


@pytest.mark.parametrize(("name", "precision"), [("openvino", "bf16"), ("torch", "fp32"), ("torch-compiled", "fp32")])
def test_a_measurement_names_runtime_and_precision(name, precision):
    (m,) = measure([zoo.get("lenet5_modern")], runtime=name, precision=precision, seconds=0.1)
    assert m.failure is None
    assert (m.runtime, m.precision) == (name, precision)


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
