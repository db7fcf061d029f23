"""A predicted latency says what it rests on, how sure it is and where the time goes."""

import pytest

from netlathe import zoo
from netlathe.device import card, latency
from netlathe.device.card import ErrorBar, Model
from netlathe.device.evidence import usual_way
from netlathe.device.latency import predict
from netlathe.device.strangeness import fit_families, shares
from netlathe.errors import NetlatheError

# timm results @aa4b585, benchmark-infer-amp-nchw-pt240-cu124-rtx4090: ms an image
MEASURED = {
    "resnet50": 0.237,
    "resnet18": 0.074,
    "mobilenetv2": 0.093,
    "vgg16": 0.462,
    "densenet121": 0.277,
    "efficientnet_b0": 0.112,
}


@pytest.fixture(scope="module")
def resnet50():
    return zoo.get("resnet50").graph()


def fitted(**changes):
    """The card of a device with one model: 10 ms a GMAC of anything, 1 ms a call."""
    model = {"runtime": "onnxruntime", "date": "2026-11-01", "networks": 10,
             "coefficients": {"*.macs": 10.0, "*.calls": 1.0}, "error": ErrorBar(0.1, 1.0, 0.8, 1.3)}  # fmt: skip
    return card.DeviceCard("x", "X", "phone", "2026-11-01", (), (Model(**model | changes),))


def test_a_model_is_coefficients_times_quantities(resnet50):
    found = predict(resnet50, fitted())
    macs = sum(op.macs for op in resnet50.ops)
    assert found.total_ms == pytest.approx(macs / 1e8 + len(found.rows))
    assert sum(row.ms for row in found.rows) == pytest.approx(found.total_ms)
    assert "10 networks" in found.basis


def test_the_interval_is_that_of_held_out_networks(resnet50):
    classes = ("stem", "dense3", "dense", "pointwise", "pool", "reduce", "vector")
    known = fitted(coefficients={f"{class_}.{quantity}": 1.0 for class_ in classes for quantity in ("macs", "calls")})
    found = predict(resnet50, known)
    assert (found.low_ms, found.high_ms) == pytest.approx((0.8 * found.total_ms, 1.3 * found.total_ms))
    assert not found.warnings
    unseen = predict(zoo.get("mobilenetv2").graph(), known)
    assert unseen.high_ms / unseen.total_ms > 1.3
    assert "depthwise" in unseen.warnings[0]


def test_a_batch_repeats_the_work_and_not_the_calls(resnet50):
    one, eight = predict(resnet50, fitted()), predict(resnet50, fitted(), batch=8)
    calls = len(one.rows)
    assert eight.total_ms - calls == pytest.approx(8 * (one.total_ms - calls))
    assert any("batch" in warning for warning in eight.warnings)


def test_rows_say_what_binds():
    found = predict(zoo.get("resnet50").graph(), card.load("rtx-4090"), runtime="torch", precision="fp16", batch=256)
    bounds = {row.class_: row.bound for row in found.rows}
    assert bounds["dense3"] == "compute"
    assert bounds["batchnorm"] == "memory"
    small = predict(zoo.get("resnet18").graph(), card.load("rtx-4090"), runtime="torch", precision="fp16")
    assert {row.bound for row in small.rows} & {"overhead"}


def test_a_datasheet_gives_a_wide_interval_and_says_so(resnet50):
    found = predict(resnet50, card.load("i9-10940x"))
    assert "datasheet" in found.basis
    assert found.high_ms / found.low_ms > 2
    assert any("not calibrated" in warning for warning in found.warnings)


def test_a_4090_is_near_its_public_table():
    for name, measured in MEASURED.items():
        found = predict(zoo.get(name).graph(), card.load("rtx-4090"), runtime="torch", precision="fp16", batch=256)
        assert found.low_ms / 256 < measured < found.high_ms / 256, name


def test_a_microcontroller_takes_macs_over_the_rate_of_its_runtime():
    graph = zoo.get("mobilenetv1", alpha=0.25, resolution=128).graph()
    device = card.load("stm32h743")
    runtime = device.find("rate")[0].of
    found = predict(graph, device, runtime=runtime, precision="int8")
    assert found.total_ms == pytest.approx(sum(op.macs for op in graph.ops) / device.figure("rate", runtime).base * 1e3)
    assert found.low_ms < found.total_ms < found.high_ms
    assert predict(graph, device) == predict(graph, device, runtime=usual_way(device)[0], precision="int8")
    with pytest.raises(NetlatheError, match="nobody measured onnxruntime") as caught:
        predict(graph, device, runtime="onnxruntime", precision="int8")
    assert "--runtime tinyengine --precision int8" in caught.value.hint


def test_what_is_not_known_is_refused(resnet50):
    with pytest.raises(NetlatheError, match="threads"):
        predict(resnet50, fitted(), threads=4)
    with pytest.raises(NetlatheError, match="nobody measured onnxruntime int8"):
        predict(resnet50, fitted(), runtime="onnxruntime", precision="int8")
    with pytest.raises(NetlatheError, match="unknown runtime"):
        predict(resnet50, card.load("rpi-5"), runtime="tensorflowlite")


def test_a_graph_is_read_once(resnet50, monkeypatch):
    first = predict(resnet50, fitted())
    monkeypatch.setattr(latency, "fused", lambda *_: pytest.fail("fused again"))
    assert predict(resnet50, fitted()) == first


def test_the_memo_does_not_grow_without_end(resnet50, monkeypatch):
    monkeypatch.setattr(latency, "REMEMBERED", 3)
    latency.MEMO.clear()
    for size in (64, 96, 128, 160, 192):
        predict(zoo.get("resnet18", resolution=size).graph(), fitted())
    assert len(latency.MEMO) == 3


def test_the_interval_widens_with_the_distance_from_what_was_calibrated(resnet50):
    """A card that knows the shares of ResNet-50, and networks more and less like it."""
    plain = {"*.macs": 10.0, "*.read": 0.1, "*.write": 0.1, "*.calls": 0.004}
    styles = {
        f"resnet50/{name}": share for name, share in shares(latency.feature_row(resnet50, "onnxruntime"), plain).items()
    }
    known = fitted(coefficients=plain, styles=styles)
    widths, warned = [], []
    for name in ("resnet50", "resnet101", "mobilenetv2", "vit_tiny_patch16"):
        found = predict(zoo.get(name).graph(), known)
        widths.append(found.high_ms / found.low_ms)
        warned.append(any("unlike those of every" in warning for warning in found.warnings))
    assert widths == sorted(widths)
    assert widths[0] < 1.3 / 0.8 < widths[-1]
    assert not warned[0]
    assert warned[-1]


def test_the_error_bar_of_a_calibration_is_that_of_families_left_out():
    """Six networks of three families, one of which is a class of its own that is three times as slow as the others."""
    rows = {f"{class_}{i}": {f"{class_}.macs": i, f"{class_}.calls": 3.0} for class_ in "abc" for i in (1.0, 2.0)}
    ms = [value * {"a": 10, "b": 11, "c": 30}[name[0]] for name in rows for value in [float(name[1])]]
    probes = ([{"a.macs": 1.0, "a.calls": 1.0}], [10.0])
    families = [name[0] for name in rows]
    _, bar, kept = fit_families(rows, ms, families, probes)
    _, alone, _ = fit_families(rows, ms, list(rows), probes)
    assert bar.high / bar.low > 1.5 * alone.high / alone.low
    assert {name.partition("/")[0] for name in kept} == set(rows)
