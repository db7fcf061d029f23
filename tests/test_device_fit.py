"""Few measurements become an honest model; the file that carries them is checked whole."""

import json
import random

import numpy as np
import onnx
import onnxruntime
import pytest

from netlathe import zoo
from netlathe.bench.machine import this_machine
from netlathe.cli.main import run
from netlathe.device import card
from netlathe.device.features import coefficient, features, fused, total
from netlathe.device.fit import error, fit, fit_few, held_out, nnls
from netlathe.device.measurements import probe_networks, read
from netlathe.device.probe import design
from netlathe.errors import NetlatheError
from netlathe.lower.onnx import save_onnx
from netlathe.stats.student import t_quantile

# A made-up device, in ms a GMAC, a million elements and a call: depthwise and pointwise differ from dense convolutions.
TRUTH = {"macs": 9.0, "read": 0.1, "write": 0.15, "weights": 0.3, "calls": 0.03}
SLOWER = {"depthwise3": 3.0, "depthwise5": 3.0, "pointwise": 1.4, "grouped": 2.0, "linear": 0.8, "vector": 0.5}


def device_ms(row, noise=0.0, rng=None):
    """What the made-up device takes."""
    ms = sum(v * TRUTH[n.rpartition(".")[2]] * SLOWER.get(n.rpartition(".")[0], 1.0) for n, v in row.items())
    return ms * (1 + noise * rng.uniform(-1, 1)) if rng else ms


@pytest.fixture(scope="module")
def nets():
    return [
        net for pattern in ("resnet*", "mobilenet*", "efficientnet_b[01]", "vgg1*", "densenet*", "regnet?_[48]*")
        for net in probe_networks(pattern, 1, 20 * 10**9, "onnxruntime")
    ]  # fmt: skip


def test_active_sets_find_the_least_squares_of_non_negative_coefficients():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.normal(size=(30, 8)), rng.normal(size=30)
        x = nnls(a.T @ a, a.T @ b)
        slope = a.T @ (b - a @ x)
        assert (x >= 0).all()
        assert slope.max() < 1e-8  # no coefficient at zero wants to rise
        assert abs(slope[x > 0]).max() < 1e-8  # none above zero wants to move


def test_a_warm_start_changes_nothing():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(40, 9)), rng.normal(size=40)
    x = nnls(a.T @ a, a.T @ b)
    assert nnls(a.T @ a, a.T @ b, start=x + rng.uniform(0, 1, 9)) == pytest.approx(x)


def test_exact_measurements_give_the_coefficients_back():
    rng = random.Random(0)
    rows = [{f"{c}.{q}": rng.uniform(0, 5) for c in ("a", "b") for q in ("macs", "calls")} for _ in range(30)]
    truth = {"a.macs": 2.0, "b.macs": 5.0, "a.calls": 0.1, "b.calls": 0.4}
    assert fit(rows, [total(row, truth) for row in rows], ridge=0) == pytest.approx(truth, rel=1e-3)


def test_one_wild_measurement_does_not_move_the_fit():
    rng = random.Random(0)
    rows = [{"a.macs": rng.uniform(1, 5), "b.calls": rng.uniform(1, 5)} for _ in range(100)]
    ms = [2 * row["a.macs"] + row["b.calls"] for row in rows]
    assert fit([*rows, rows[0]], [*ms, 100 * ms[0]], ridge=0)["a.macs"] == pytest.approx(2, rel=0.02)


def test_ten_measured_networks_predict_the_others_and_the_interval_holds_nine_of_ten(nets):
    rng = random.Random(1)
    chosen = [nets[i] for i in design([net.row for net in nets], 10)]
    model, bar = fit_few([net.row for net in chosen], [device_ms(net.row, 0.05, rng) for net in chosen])
    others = [net for net in nets if net not in chosen]
    ratios = [device_ms(net.row, 0.05, rng) / total(net.row, model) for net in others]
    inside = sum(bar.low <= ratio <= bar.high for ratio in ratios) / len(ratios)
    assert inside >= 0.85
    assert error(ratios).mape < 0.15
    assert bar.high / bar.low < 4  # an interval that says something


def test_fewer_measurements_give_a_wider_interval():
    ratios = [0.9, 1.1, 1.05, 0.95, 1.0, 1.02]
    few, more = error(ratios[:4]), error(ratios * 8)
    assert few.high / few.low > more.high / more.low


def test_the_t_quantiles_are_those_of_the_tables():
    for freedom, value in ((4, 2.132), (9, 1.833), (30, 1.697)):
        assert t_quantile(0.95, freedom) == pytest.approx(value, abs=0.01)


def test_a_held_out_family_is_predicted_without_itself(nets):
    rows = [net.row for net in nets[:12]]
    ms = [device_ms(row) for row in rows]
    families = [i % 3 for i in range(12)]
    spoiled = [y * 10 if f == 0 else y for y, f in zip(ms, families, strict=True)]
    clean, dirty = held_out(rows, ms, families), held_out(rows, spoiled, families)
    for i, family in enumerate(families):
        if family == 0:
            assert clean[i] == pytest.approx(dirty[i])


def test_a_class_that_no_network_had_gets_the_common_coefficient(nets):
    model = fit([net.row for net in nets[:10]], [device_ms(net.row) for net in nets[:10]])
    assert coefficient("depthwise7.macs", model) == model["*.macs"] > 0


def test_a_design_tells_more_than_the_first_networks(nets):
    rows = [net.row for net in nets]
    names = sorted({name for row in rows for name in row})
    x = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    x = x / x.mean(0)
    x = x / x.sum(1, keepdims=True)

    def information(chosen):
        return np.linalg.slogdet(x[chosen].T @ x[chosen] + 1e-6 * np.eye(len(names)))[1]

    assert information(design(rows, 12)) > information(list(range(12)))
    assert design(rows, 12) == design(rows, 12)
    assert len(set(design(rows, 12))) == 12


def test_quantities_of_a_network_are_kept_whatever_is_fused():
    graph = zoo.get("mobilenetv2").graph()
    macs = sum(op.macs for op in graph.ops)
    calls = {}
    for runtime in ("torch", "onnxruntime", "openvino", "tflite"):
        row = features(fused(graph, runtime))
        assert sum(v for n, v in row.items() if n.endswith(".macs")) == pytest.approx(macs / 1e9)
        calls[runtime] = sum(v for n, v in row.items() if n.endswith(".calls"))
    assert calls["openvino"] <= calls["onnxruntime"] < calls["torch"]


def test_fused_operators_leave_memory_alone():
    groups = fused(zoo.get("resnet50").graph(), "onnxruntime")
    assert len([g for g in groups if g.class_ in ("act", "batchnorm", "elementwise")]) == 0
    assert sum(g.ops for g in groups) == len(fused(zoo.get("resnet50").graph(), "torch"))


def test_a_probe_tells_the_speed_of_a_class_that_no_network_has(nets):
    rows = [net.row for net in nets[:20]]
    odd = {"localnorm.read": 0.5, "localnorm.write": 0.5, "localnorm.calls": 1.0}
    ms = 200 * (TRUTH["read"] * 0.5 + TRUTH["write"] * 0.5)
    probes = [rows[0], rows[1], rows[2], odd], [device_ms(rows[0]), device_ms(rows[1]), device_ms(rows[2]), ms]
    blind, told = fit(rows, [device_ms(row) for row in rows]), fit(rows, [device_ms(row) for row in rows], 0.05, probes)
    assert total(odd, blind) < ms / 20
    assert total(odd, told) == pytest.approx(ms, rel=0.15)


def test_networks_outvote_probes(nets):
    rows = [net.row for net in nets[:20]]
    ms = [device_ms(row) for row in rows]
    slow = [{n: v for n, v in row.items() if n.startswith("dense3.")} for row in rows[:4]]
    twice = [2 * device_ms(row) for row in slow]
    model = fit(rows, ms, 0.05, (slow, twice))
    assert error([total(row, model) / y for row, y in zip(rows, ms, strict=True)]).mape < 0.06


def test_an_exponential_that_rides_is_computed_without_a_call():
    graph = zoo.get("efficientnet_b0").graph()
    riding = [group for group in fused(graph, "openvino") if group.class_ == "actexp"]
    computed = {op.path: op.out_elements for op in graph.ops if op.form in ("silu", "sigmoid")}
    assert {group.path: group.read for group in riding} == computed
    assert sum(group.calls + group.write + group.ops for group in riding) == 0
    assert all(group.calls for group in fused(graph, "torch"))


def test_a_layout_of_the_runtimes_own_is_left_for_tokens_and_taken_up_again():
    graph = zoo.get("convnext_atto").graph()
    turned = [group for group in fused(graph, "openvino") if group.class_ == "transpose"]
    norms = [op for op in graph.ops if op.kind == "norm" and len(op.out_shape) == 4]
    assert len(turned) == 2 * len(norms)
    assert not [group for group in fused(graph, "torch") if group.class_ == "transpose"]


def test_layers_that_no_cache_holds_are_a_class_of_their_own():
    classes = [group.class_ for group in fused(zoo.get("vgg16").graph()) if group.class_ in ("vector", "stream")]
    assert classes == ["stream", "stream", "stream"]  # 102.8, 16.8 and 4.1 million weights
    assert "stream" not in {group.class_ for group in fused(zoo.get("resnet50").graph())}


@pytest.mark.skipif("avx512f" not in this_machine().flags, reason="the blocks of ONNX Runtime are those of AVX-512")
@pytest.mark.parametrize("name", ["regnetx_200mf", "regnetx_400mf", "mobilenetv3_small", "resnext50_32x4d"])
def test_convolutions_without_fast_kernels_are_those_that_onnx_runtime_leaves_alone(name, tmp_path):
    network = zoo.get(name)
    save_onnx(network, tmp_path / "a.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "b.onnx"), 3
    onnxruntime.InferenceSession(tmp_path / "a.onnx", options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "b.onnx").graph.node
    left = [node for node in nodes if "Conv" in node.op_type and node.domain != "com.microsoft.nchwc"]
    groups = fused(network.graph(), "onnxruntime")
    assert len(left) == len([group for group in groups if group.class_ == "patches"])
    if left and "y" not in name:  # squeeze-excite makes further reorders, which are not counted
        reordered = len([node for node in nodes if "Reorder" in node.op_type])
        assert abs(reordered - len([group for group in groups if group.class_ == "transpose"])) <= 1


# The command line


def write(path, lines):
    path.write_text("network,latency_ms,runtime\n" + "\n".join(lines) + "\n")
    return str(path)


def test_measurements_become_a_card_that_predicts(tmp_path, nets, capsys):
    chosen = [nets[i] for i in design([net.row for net in nets], 10)]
    file = write(tmp_path / "my_phone.csv", [f"{net.name},{device_ms(net.row):.4f},onnxruntime" for net in chosen])
    out = tmp_path / "my-phone.toml"
    assert run(["device", "fit", "--measurements", file, "-o", str(out)]) == 0
    made = card.load(out)
    (model,) = made.models
    assert (made.id, model.networks, model.runtime) == ("my-phone", 10, "onnxruntime")
    assert "left out" in model.held_out
    capsys.readouterr()


def test_measuring_again_replaces_the_model_and_keeps_the_figures(tmp_path, nets, capsys):
    file = write(tmp_path / "m.csv", [f"{net.name},{device_ms(net.row):.4f},tflite" for net in nets[:6]])
    out = tmp_path / "pi.toml"
    for source in ("rpi-5", str(out)):
        assert run(["device", "fit", "--measurements", file, "-o", str(out), "--device", source]) == 0
    made = card.load(out)
    assert made.figures == card.load("rpi-5").figures
    assert [m for m in made.models if m.runtime != "tflite"] == list(card.load("rpi-5").models)
    assert sum(m.runtime == "tflite" for m in made.models) == 1
    capsys.readouterr()


def test_every_fault_of_a_file_is_said_at_once(tmp_path):
    file = write(
        tmp_path / "m.csv", ["resnet5,10,tflite", "resnet18,-3,tflite", "vgg16,5,tfflite", "resnet50@big,1,tflite"]
    )
    with pytest.raises(NetlatheError) as caught:
        read(file)
    said = str(caught.value)
    for part in ("4 faults", "line 2", "resnet50", "line 3", "'-3'", "line 4", "tfflite", "line 5", "probe-set"):
        assert part in said


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("network,latency\nresnet18,3\n", "did you mean latency_ms"),
        ("network,latency_ms\n", "no measurements"),
        ("network,latency_ms\nresnet18,3\n", "a model needs 5"),
        ("network,latency_ms\nresnet18,3\nresnet18,4\n", "already"),
        ("network,latency_ms\nresnet18,nan\n", "'nan'"),
        ("network,latency_ms,batch\nresnet18,3,0\n", "batch must be"),
        ("network,latency_ms\nresnet18,3,9\n", "more values"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(tmp_path, text, part):
    file = tmp_path / "m.csv"
    file.write_text(text)
    with pytest.raises(NetlatheError, match=part):
        read(file)


def test_the_probe_set_names_networks_of_the_zoo(capsys):
    assert run(["device", "probe-set", "-n", "6", "--networks", "mobilenet*", "--json"]) == 0
    named = [row["network"] for row in json.loads(capsys.readouterr().out)["data"]["networks"]]
    assert len(set(named)) == 6
    assert set(named) <= set(zoo.names("mobilenet*"))
