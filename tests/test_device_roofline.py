"""The roofline against the figures of the lecture's algebra, why a network is slow, and measurements that cannot be."""

import json

import pytest
from command import netlathe

from netlathe import zoo
from netlathe.arch.build import seq
from netlathe.arch.graph import graph
from netlathe.arch.layers import Conv, Linear
from netlathe.arch.network import Network
from netlathe.device.card import load
from netlathe.device.rankings import Ranking, by_card, by_macs, measurements
from netlathe.device.roofline import roofline
from netlathe.target.bottlenecks import explain
from netlathe.target.device import default_target


def roof(name, card, precision, batch=128, **options):
    return roofline(zoo.get(name).graph(), load(card), precision=precision, batch=batch, **options)


def one(leaf, shape, card="a100-sxm-40", precision="fp16", batch=1):
    """The only operator of a network."""
    (line,) = roofline(graph(seq(leaf), shape), load(card), precision=precision, batch=batch).lines
    return line


# Computed by hand, FLOP per byte in fp16: 2 MACs over 2 bytes of input, output and weights, each moved once.
@pytest.mark.parametrize(
    ("shape", "out", "standard", "standard_128", "depthwise_3", "depthwise_7", "pointwise", "pointwise_128"),
    [
        ((32, 112, 112), 64, 189, 192, 4.50, 24.5, 21.3, 21.3),
        ((128, 56, 56), 128, 487, 575, 4.49, 24.3, 62.7, 64.0),
        ((256, 28, 28), 256, 467, 1139, 4.47, 23.8, 110, 128),
        ((512, 14, 14), 512, 181, 2110, 4.40, 21.8, 111, 253),
        ((1024, 7, 7), 1024, 48.5, 2656, 4.12, 16.3, 44.7, 473),
    ],
)
def test_intensities_are_those_of_the_algebra(
    shape, out, standard, standard_128, depthwise_3, depthwise_7, pointwise, pointwise_128
):
    for leaf, batch, said in (
        (Conv(out, 3), 1, standard),
        (Conv(out, 3), 128, standard_128),
        (Conv(None, 3, group_width=1), 1, depthwise_3),
        (Conv(None, 7, group_width=1), 1, depthwise_7),
        (Conv(out, 1), 1, pointwise),
        (Conv(out, 1), 128, pointwise_128),
    ):
        assert one(leaf, shape, batch=batch).intensity == pytest.approx(said, rel=0.005)


@pytest.mark.parametrize(
    ("card", "precision", "ridge"),
    [
        ("a100-sxm-40", "fp16", 201),
        ("a100-sxm-80", "fp16", 153),
        ("a100-sxm-40", "fp32", 12.5),
        ("h100-sxm", "fp16", 295),
        ("h200-sxm", "bf16", 206),
        ("h200-sxm", "fp32", 14),
        ("rtx-3090", "fp16", 76),
        ("i9-10940x", "fp32", 31),
        ("phone-2016-core", "fp32", 1.7),
        ("phone-2023-core", "fp32", 3.3),
    ],
)
def test_ridge_points_are_those_of_the_algebra(card, precision, ridge):
    assert roof("mobilenetv1_025", card, precision, 1).ridge == pytest.approx(ridge, rel=0.02)


def test_a_depthwise_convolution_reaches_at_most_2_2_percent_of_the_tensor_peak():
    for channels in (32, 512, 4096):
        for card in ("a100-sxm-40", "h200-sxm"):
            line = one(Conv(None, 3, group_width=1), (channels, 56, 56), card, "fp16", batch=128)
            assert line.bound == "memory"
            assert line.attainable / load(card).peak("fp16") <= 0.0225


def test_the_same_depthwise_convolution_is_bound_by_compute_on_a_phone_of_2016():
    line = one(Conv(None, 3, group_width=1), (128, 56, 56), "phone-2016-core", "fp32")
    assert line.intensity == pytest.approx(2.25, rel=0.01)
    assert line.bound == "compute"


@pytest.mark.parametrize(
    ("card", "precision", "over_vgg", "over_resnet"),
    [
        ("a100-sxm-40", "fp16", 7.5, 2.7),
        ("h200-sxm", "fp16", 7.4, 2.7),
        ("rtx-3090", "fp16", 14.8, 4.0),
        ("phone-2016-core", "fp32", 27.1, 7.2),
    ],
)
def test_mobilenet_is_faster_than_vgg_and_resnet_by_the_factors_of_the_algebra(card, precision, over_vgg, over_resnet):
    mobile = roof("mobilenetv1", card, precision).ms
    assert round(roof("vgg16", card, precision).ms / mobile, 1) == over_vgg
    assert roof("resnet50", card, precision).ms / mobile == pytest.approx(over_resnet, abs=0.051)


@pytest.mark.parametrize(
    ("name", "intensity"),
    [
        *(("vgg16", 651), ("mobilenetv1_conv", 743), ("resnet50", 186), ("resnet152", 255)),
        *(("densenet121", 129), ("mobilenetv1", 56), ("efficientnet_b0", 28), ("mobilenetv2", 22)),
    ],
)
def test_whole_networks_have_the_intensity_of_the_algebra(name, intensity):
    assert roof(name, "a100-sxm-40", "fp16").intensity == pytest.approx(intensity, rel=0.02)


def test_depthwise_is_3_percent_of_the_work_of_mobilenet_and_half_of_its_traffic():
    lines = roof("mobilenetv1", "a100-sxm-40", "fp16").lines
    deep = [line for line in lines if line.kind == "depthwise conv"]
    assert sum(line.flops for line in deep) / sum(line.flops for line in lines) == pytest.approx(0.031, abs=0.001)
    assert sum(line.bytes for line in deep) / sum(line.bytes for line in lines) == pytest.approx(0.49, abs=0.005)


def test_shares_add_up_and_no_operator_is_faster_than_either_roof():
    found = roof("mobilenetv2", "rpi-5", "fp32", 4)
    assert sum(line.share for line in found.lines) == pytest.approx(1)
    for line in found.lines:
        assert line.ms == pytest.approx(1e3 * max(line.flops / found.peak, line.bytes / found.bandwidth))
        assert line.attainable <= found.peak
    assert 0 < found.efficiency <= 1


def test_eager_moves_more_than_fused_and_attained_is_slower_than_the_roof():
    fused = roof("resnet18", "rpi-4-1500", "fp32", 1)
    assert roof("resnet18", "rpi-4-1500", "fp32", 1, fused=False).ms > fused.ms
    assert roof("resnet18", "rpi-4-1500", "fp32", 1, attained=True).ms > fused.ms
    assert any("unconfirmed" in said for said in fused.warnings)


def changes(name, card, precision=None, batch=1):
    answer = explain(zoo.get(name), default_target(card, None, precision, batch=batch))
    return answer, {change.name: change for change in answer.changes}


def test_a_gain_is_the_time_of_the_network_that_the_change_makes():
    answer, found = changes("efficientnet_b0", "rtx-3090", "fp16", 8)
    target = default_target("rtx-3090", None, "fp16", batch=8)
    smaller = target.predict(zoo.get("efficientnet_b0", resolution=192)).total_ms
    assert found["images of 192 pixels"].ms == pytest.approx(smaller / 8)
    assert found["images of 192 pixels"].gain == pytest.approx(1 - smaller / answer.latency.total_ms)
    assert list(found.values()) == sorted(answer.changes, key=lambda change: change.ms)


def test_without_squeeze_excite_the_parameters_fall_and_the_work_stays():
    _, found = changes("efficientnet_b0", "rtx-3090", "fp16")
    assert found["no squeeze-excite"].params < 0.9
    assert found["no squeeze-excite"].macs > 0.99


def test_only_changes_that_gain_are_named():
    _, dense = changes("resnet50", "rpi-5")
    assert "no squeeze-excite" not in dense  # it has none
    assert dense["8 images at a time"].gain < 0.25 * dense["widths x 3/4"].gain  # compute is the limit
    assert dense["widths x 3/4"].macs == pytest.approx(0.75**2, abs=0.03)
    _, deep = changes("mobilenetv2", "a100-sxm-40")
    assert "groups of 16 for depthwise" not in deep  # 16 times the work gains nothing by the roofline
    assert deep["run in fp16"].retrain is False


def test_the_time_divides_by_bound_and_by_kind():
    answer, _ = changes("mobilenetv1", "a100-sxm-40", "fp16", 128)
    assert sum(answer.by_bound.values()) == pytest.approx(answer.latency.total_ms)
    assert sum(answer.by_kind.values()) == pytest.approx(answer.latency.total_ms)
    assert list(answer.by_kind)[:2] == ["depthwise3", "pointwise"]


def test_a_network_to_which_no_rewrite_applies_is_still_answered():
    alone = Network("alone", seq(Linear(10)), (32,))
    assert explain(alone, default_target("rpi-5")).latency.total_ms > 0


def test_the_three_rankings_say_where_the_caption_of_the_slide_holds():
    assert by_macs().steps == pytest.approx((3.78, 7.19), abs=0.01)
    assert by_macs().verdict.startswith("caveat")
    found = {ranking.source.split()[0]: ranking for ranking in measurements() if "nhwc" not in ranking.source}
    gpus = ("rtx-3090", "rtx-4090", "rtx-5090", "rtx-pro-6000-maxq")
    assert [round(found[gpu].ratios[0], 1) for gpu in gpus] == [10.6, 6.4, 6.0, 5.8]  # claims.csv, s17-2
    assert all(found[gpu].verdict.startswith("does not hold") for gpu in gpus)  # s17-7
    assert all(2.8 <= found[gpu].ratios[1] <= 3.4 for gpu in gpus)
    cpu = found["i9-10940x"]
    assert [round(ms, 1) for ms in cpu.costs] == [117.9, 14.9, 4.0]  # s17-8
    assert cpu.verdict == found["i7-12700h"].verdict == "holds"
    assert by_card(load("phone-2016-core"), precision="fp32", batch=1).verdict == "holds"


@pytest.mark.parametrize(
    ("what", "costs", "word"),
    [
        ("GPU", (1.4, 1.2, 1.0), "holds"),
        ("CPU", (1.0, 2.0, 3.0), "the order differs"),
        ("CPU", (9.0, 4.0, 1.0), "caveat"),
        ("MACs", (20.0, 4.0, 1.0), "holds"),
    ],
)
def test_a_caption_is_judged_by_the_steps_between_its_networks(what, costs, word):
    assert word in Ranking(what, "made up", costs).verdict


@pytest.mark.parametrize(
    "words",
    [
        ("roofline", "mobilenetv1", "--device", "h100-sxm", "--by", "bound"),
        ("why", "resnet18", "--device", "rpi-5"),
        ("rankings",),
    ],
)
def test_the_command_line_answers_in_text_and_in_json(words):
    for more in ((), ("--json",)):
        done = netlathe("device", *words, *more)
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert document["schema"] == "netlathe.device/1"
