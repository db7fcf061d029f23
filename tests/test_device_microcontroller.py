"""What fits a microcontroller: the anchors of MCUNet, patches computed by hand, and the alpha/rho tables."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from command import netlathe

from netlathe import zoo
from netlathe.arch.build import residual, seq
from netlathe.arch.graph import graph
from netlathe.arch.layers import Conv
from netlathe.arch.pools import Pool
from netlathe.cli.main import run
from netlathe.device.card import load
from netlathe.device.latency import predict
from netlathe.device.measurements import read
from netlathe.device.microcontroller import fit_microcontroller, read_measurements
from netlathe.device.patches import patches
from netlathe.errors import NetlatheError
from netlathe.target.device import targets_on
from netlathe.zoo.published import figures

F746, H743 = "stm32f746", "stm32h743"


def best_split(found, count=None):
    return min((p for p in found if count in (None, p.splits)), key=lambda p: (p.peak, p.extra))


def test_mobilenetv2_needs_1372_kib_whole_and_172_in_patches_as_mcunetv2_prints():
    network = zoo.get("mobilenetv2").graph()
    assert fit_microcontroller(zoo.get("mobilenetv2"), load(F746)).memory.max_in_out == 1372 * 1024
    best = best_split(patches(network))
    assert best.peak == 171.5 * 1024  # arXiv 2110.15352: 172 kB, 8 times less
    assert best.extra == pytest.approx(0.09, abs=0.02)  # and about 10 % more computation
    assert best.path.startswith("stage3.block1")
    assert best.peak_with_image >= best.peak


def test_two_3x3_convolutions_in_2x2_patches_compute_a_halo_of_one_again():
    net = graph(seq(a=Conv(4, 3), b=Conv(4, 3), c=Conv(1, 1)), (2, 8, 8))
    found = next(p for p in patches(net) if p.path == "b" and p.splits == 2)
    first, second = 4 * 2 * 9, 4 * 4 * 9  # MACs a position
    assert found.macs == 4 * (5 * 5 * first + 4 * 4 * second) + 64 * 4
    # the map at the cut, a patch of a (4 x 5 x 5), and what it reads: the image streams in
    assert found.inside == 4 * 64 + 4 * 25
    assert found.after == 4 * 64 + 64
    assert found.image == 2 * 64


def test_a_halo_grows_through_strides_and_pooling_and_stops_at_the_border():
    net = graph(seq(a=Conv(1, 3, 2), p=Pool("max", 3, 2, padding=1), b=Conv(1, 1)), (1, 16, 16))
    found = next(p for p in patches(net) if p.path == "p" and p.splits == 4)
    # a pooled position reads a's 2i-1 .. 2i+1: 2 at the border, 3 inside
    positions = (2 + 3 + 3 + 3) ** 2
    assert found.macs == 9 * positions + 16


def test_a_skip_keeps_the_larger_of_what_its_two_ways_need():
    body = residual(a=Conv(3, 3), b=Conv(3, 3))
    net = graph(seq(stem=Conv(3, 1), body=body, end=Conv(1, 1)), (3, 8, 8))
    found = next(p for p in patches(net) if p.path == "body.add" and p.splits == 2)
    assert found.macs == 4 * (9 * 36 + 81 * 25 + 81 * 16) + 64 * 3  # stem on 6x6, for the convolutions; not on 4x4


@pytest.mark.parametrize("name", ["mobilenetv1", "resnet18", "mobilenetv2_035"])
def test_more_patches_never_compute_less_and_one_cut_holds_its_whole_map(name):
    found = patches(zoo.get(name, resolution=128).graph())
    assert found
    for a, b in pairwise(found):
        if a.path == b.path:
            assert b.macs >= a.macs
    assert all(p.extra >= 0 and p.peak >= p.after for p in found)


def test_a_limit_gives_the_fewest_patches_that_keep_it():
    network = zoo.get("mobilenetv2").graph()
    found = patches(network, 256 * 1024)
    assert found
    assert all(p.peak <= 256 * 1024 for p in found)
    assert not patches(network, 64 * 1024)


def test_patches_do_not_apply_where_the_first_layers_look_everywhere():
    from netlathe.arch.combinators import Gate
    from netlathe.arch.pools import GlobalPool

    gated = seq(a=Gate(seq(p=GlobalPool(), c=Conv(3, 1))), b=Conv(4, 3), c=Conv(4, 3))
    assert patches(graph(gated, (3, 16, 16))) == []
    assert patches(graph(seq(Conv(4, 3)), (3, 16, 16))) == []  # nothing after it


@pytest.mark.parametrize(
    ("runtime", "low", "high"), [("tflm", 10.1, 10.9), ("cmsis-nn", 101, 125), ("x-cube-ai", 183, 244)]
)
def test_rates_are_those_of_the_published_table(runtime, low, high):
    (rate,) = load(H743).find("rate", runtime)
    assert (rate.low, rate.high) == (low, high)  # MMAC/s: MACs over the latencies of tinyengine's README
    rows = [row for row in read_measurements() if row["runtime"] == runtime]
    rates = [1e3 * float(row["macs_m"]) / float(row["ms"]) for row in rows]
    assert (min(rates), max(rates)) == pytest.approx((low, high), rel=0.01)


def test_the_rate_of_tinyengine_is_between_that_of_mobilenetv2_and_that_of_the_largest_mcunet():
    (rate,) = load(H743).find("rate", "tinyengine")
    assert (rate.low, rate.high) == (190, 272)  # cost.md prints 218 to 272: it leaves MobileNetV2 0.35 out


def test_the_measured_mobilenetv2_lies_inside_every_predicted_interval():
    network = zoo.get("mobilenetv2_035", resolution=144)
    found = fit_microcontroller(network, load(H743))
    row = next(r for r in read_measurements() if (r["runtime"], r["network"]) == ("tinyengine", "mbv2-w0.35"))
    assert found.sram.low <= 1e3 * float(row["sram_kb"]) <= found.sram.high
    head = 112 * (1280 - 448) + 2 * (1280 - 448) + (1280 - 448) * 1000  # MCUNet's has 448 channels before the classes
    assert found.flash.low - head <= 1e3 * float(row["flash_kb"]) + 5e3
    assert found.flash.high - head >= 1e3 * float(row["flash_kb"]) - 5e3  # its parameters are printed to 10,000
    fewer = (112 * 25 + 1000) * (1280 - 448)
    assert found.ms.low <= float(row["ms"]) * (1 + fewer / 23.5e6) <= found.ms.high * 1.01


def test_of_the_published_mobilenets_only_the_quarter_width_fits_one_megabyte_of_flash():
    fits = {}
    for name in ("mobilenetv1", "mobilenetv1_050", "mobilenetv1_025", "mobilenetv2_035"):
        for size in sorted({figure.resolution for figure in figures(name)}):
            fits[name, size] = fit_microcontroller(zoo.get(name, resolution=size), load(F746))
    assert {key for key, one in fits.items() if one.verdict == "fits"} == {
        ("mobilenetv1_025", size) for size in (128, 160, 192, 224)
    }
    assert all("flash" in one.binding for key, one in fits.items() if key[0] != "mobilenetv1_025")
    quarter = fits["mobilenetv1_025", 128]
    assert quarter.memory.max_in_out == 98304  # claims.csv, s3-3: 98 kB
    assert quarter.flash.mid == pytest.approx(470e3 + 92e3, rel=0.01)


def test_a_network_too_large_for_sram_runs_in_patches_where_its_runtime_can():
    network = zoo.get("mobilenetv2_035", resolution=224)
    found = fit_microcontroller(network, load(H743))
    assert found.verdict == "in patches"
    assert found.patched.peak * 1.05 <= found.sram_limit < found.sram.low
    assert found.ms.mid == pytest.approx(found.patched.macs / 233e3)
    assert fit_microcontroller(network, load(H743), runtime="x-cube-ai").patched is None


def test_where_patches_do_not_help_the_reason_is_said():
    from netlathe.arch.combinators import Gate
    from netlathe.arch.network import Network
    from netlathe.arch.pools import GlobalPool

    wide = Network("wide", seq(Gate(seq(p=GlobalPool(), c=Conv(3, 1))), a=Conv(8, 3), b=Conv(8, 3)))
    assert any("look everywhere" in said for said in fit_microcontroller(wide, load(F746)).warnings)
    late = Network("late", seq(a=Conv(8, 3), b=Conv(8, 3), c=Conv(8, 3)))
    assert any("no split" in said for said in fit_microcontroller(late, load(F746)).warnings)


def test_other_runtimes_need_more_and_are_slower():
    network = zoo.get("mobilenetv1_025", resolution=160)
    engine, tflm = fit_microcontroller(network, load(F746)), fit_microcontroller(network, load(F746), runtime="tflm")
    assert tflm.sram.mid > 2 * engine.sram.mid
    assert tflm.ms.mid > 20 * engine.ms.mid
    assert tflm.verdict == "may fit"
    assert any("unconfirmed" in said for said in tflm.warnings)


def test_what_a_card_does_not_know_is_said():
    found = fit_microcontroller(zoo.get("mobilenetv1_025"), load("esp32-s3"))
    assert found.flash_limit is None
    assert found.ms is None
    assert len(found.warnings) == 2


def test_errors_name_what_would_do():
    with pytest.raises(NetlatheError, match="single-board computer"):
        fit_microcontroller(zoo.get("mobilenetv1"), load("rpi-5"))
    with pytest.raises(NetlatheError, match="tinyengin") as caught:
        fit_microcontroller(zoo.get("mobilenetv1"), load(F746), runtime="tinyengin")
    assert "tinyengine" in caught.value.hint


def test_the_command_line_picks_the_most_accurate_that_fits():
    words = ["device", "micro", "mobilenetv1_0*", "--device", F746, "--published"]
    text = netlathe(*words).stdout
    assert text.rstrip().endswith("the most accurate that fits: mobilenetv1_025@224")
    done = netlathe(*words, "--json")
    rows = json.loads(done.stdout)["data"]["fits"]
    assert max((row["top1"], row["network"]) for row in rows if row["verdict"] == "fits")[1] == "mobilenetv1_025@224"


# STMicroelectronics/stm32ai-modelzoo @6f10965e, STM32H747I-DISCO at 400 MHz; mlcommons/tiny_results_v1.2 @b448c5c.
@pytest.mark.parametrize(
    ("device", "network", "resolution", "ms"),
    [
        ("stm32h743", "mobilenetv1_025", 224, 166.75),
        ("stm32h743", "mobilenetv1_050", 224, 504.37),
        ("stm32h743", "mobilenetv2_035", 128, 116.13),
        ("stm32h743", "mobilenetv2", 224, 1106.64),
        ("stm32l4r5", "mobilenetv1_025", 96, 88.93),
        ("stm32u575", "mobilenetv1_025", 96, 59.28),
        ("stm32h7a3", "mobilenetv1_025", 96, 23.80),
    ],
)
def test_measured_networks_lie_in_the_interval_of_their_microcontroller(device, network, resolution, ms):
    fit = fit_microcontroller(zoo.get(network, resolution=resolution), load(device), runtime="x-cube-ai")
    assert fit.ms.low <= ms <= fit.ms.high


def test_a_cortex_m55_has_a_rate_of_the_kernels_as_a_free_compiler_builds_them():
    """One channel and two classes, as its source timed it (embedded-agent-bridge, 2026-02-24)."""
    network = zoo.get("mobilenetv1_025", classes=2)
    network = replace(network, input=(1, 96, 96))
    for device, ms in (("stm32n657", 220.7), ("mcxn947", 76.84)):
        fit = fit_microcontroller(network, load(device), runtime="cmsis-nn")
        assert fit.ms.mid == pytest.approx(ms, rel=0.01)


def test_a_rate_of_some_networks_carries_to_most_others():
    """The rate of ten networks of MCUNet's space, and twelve MobileNets that ST timed with a later version."""
    rows = read(Path(__file__).parent.parent / "benchmarks" / "data" / "stm32h747.csv")
    device = replace(load(H743), models=())
    forecasts = [predict(row.graph, device, runtime="x-cube-ai", precision="int8") for row in rows]
    inside = sum(one.low_ms <= row.ms <= one.high_ms for one, row in zip(forecasts, rows, strict=True))
    assert inside >= 0.85 * len(rows)


def test_measurements_of_a_microcontroller_are_what_every_verb_forecasts_by(tmp_path, capsys):
    """A made-up chip: 10 ms a million MACs of depthwise convolutions, 5 of any other."""
    names = ("mobilenetv1_025", "mobilenetv1_025@128", "mobilenetv2_035", "mobilenetv2_035@128", "mobilenetv1_050")
    lines = []
    for name in (*names, "mobilenetv1_050@160", "mobilenetv2_050@160"):
        net, _, size = name.partition("@")
        graph = zoo.get(net, resolution=int(size or 224)).graph()
        slow = sum(op.macs for op in graph.ops if op.form == "depthwise")
        lines.append(f"{name},{(10 * slow + 5 * (sum(op.macs for op in graph.ops) - slow)) / 1e6:.4f},cmsis-nn")
    file, card = tmp_path / "chip.csv", tmp_path / "chip.toml"
    file.write_text("network,latency_ms,runtime\n" + "\n".join(lines) + "\n")
    assert run(["device", "fit", "--measurements", str(file), "--device", F746, "-o", str(card)]) == 0
    (model,) = load(card).models
    assert (model.runtime, model.precision) == ("cmsis-nn", "int8")
    capsys.readouterr()
    assert run(["device", "micro", "mobilenetv1_025", "--device", str(card), "--runtime", "cmsis-nn", "--json"]) == 0
    fit = json.loads(capsys.readouterr().out)["data"]["fits"][0]
    (target,) = targets_on(str(card), ("cmsis-nn",))
    forecast = target.estimate(zoo.get("mobilenetv1_025")).forecast
    assert forecast.ms == pytest.approx(fit["ms"][1])
    assert forecast.ms == pytest.approx(float(lines[0].split(",")[1]), rel=0.1)
    assert forecast.basis.startswith("model of cmsis-nn")


def test_a_microcontroller_has_one_thread():
    with pytest.raises(NetlatheError, match="one thread"):
        targets_on(F746, (), None, 2)
