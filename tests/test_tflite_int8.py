"""int8 files of LiteRT: what they compute, what they hold, and the memory that TensorFlow Lite Micro takes for them."""

import re
import subprocess
import sys

import numpy as np
import pytest

from netlathe import zoo
from netlathe.deploy.trial import random_images
from netlathe.device.card import load
from netlathe.lower.tflite.arena import plan_arena
from netlathe.lower.tflite.network import to_tflite
from netlathe.runtimes.agreement import compare_outputs
from netlathe.runtimes.base import SessionOptions
from netlathe.runtimes.litert import open_cpu
from netlathe.runtimes.litert_quantise import observe, ranges_by
from netlathe.target.microcontroller import fit_net
from netlathe.tflite.arena import arranged, head_bytes, tail_bytes
from netlathe.tflite.int8 import affine, mean_shift, quantise
from netlathe.tflite.pixels import with_pixels

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ALIKE = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
# The recording allocator prints to the file of the process, so it runs in one of its own.
RECORD = """
import sys
from tflite_micro.python.tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=8_000_000)
about = interpreter.get_input_details(0)
import numpy
interpreter.set_input(numpy.zeros(about["shape"], about["dtype"]), 0)
interpreter.invoke()
interpreter.print_allocations()
"""


def float_and_int8(name, resolution, normalisation=IMAGENET, kept=(), **how):
    """A network as a float model with pixels, its int8 form, and images."""
    network = zoo.get(name).at(resolution)
    channels = network.input[0]
    model = with_pixels(to_tflite(network, **how), *(values[:channels] for values in normalisation))
    pixels = random_images(8, network.input[-1], channels).pixels
    seen = observe(model, model.serialize(), pixels[:6], 1)
    return model, quantise(model, ranges_by(0.0, seen), kept), pixels


def outputs(model, folder, pixels):
    """What LiteRT gives for images."""
    path = folder / "model.tflite"
    path.write_bytes(model.serialize())
    return np.asarray(open_cpu(path, SessionOptions(1, "fp32"))([pixels]))


@pytest.mark.parametrize(
    ("name", "resolution", "least"),
    [
        ("mobilenetv2_035", 64, 30),
        ("mobilenetv3_small", 64, 28),
        ("googlenet", 64, 33),
        ("densenet121", 32, 30),
        ("lenet5_modern", None, 28),
        ("vit_tiny_patch32", None, 24),
        ("nasnet_mobile", 64, 28),
    ],
)
def test_int8_computes_nearly_what_float_computes(name, resolution, least, tmp_path):
    model, small, pixels = float_and_int8(name, resolution)
    agreement = compare_outputs(outputs(model, tmp_path, pixels), outputs(small, tmp_path, pixels))
    assert agreement.snr_db >= least
    assert len(small.serialize()) < 0.45 * len(model.serialize())


def test_biases_make_up_for_weights_that_are_rounded(tmp_path):
    model, plain, pixels = float_and_int8("mobilenetv2_035", 64)
    seen = observe(model, model.serialize(), pixels[:6], 1)
    means = {i: values.mean for i, values in seen.items()}
    corrected = quantise(model, ranges_by(0.0, seen), means=means)
    wanted = outputs(model, tmp_path, pixels)
    before, after = (compare_outputs(wanted, outputs(one, tmp_path, pixels)).snr_db for one in (plain, corrected))
    assert after > before + 0.5


@pytest.mark.parametrize(
    ("shape", "axis", "channels"), [((6, 1, 1, 4), 0, 4), ((6, 1, 1, 2), 0, 4), ((1, 1, 1, 8), 3, 4)]
)
def test_the_mean_moves_as_the_weights_do(shape, axis, channels):
    """Of a convolution, one of two groups, and a depthwise one of two outputs a channel."""
    random = np.random.default_rng(0)
    change, x = random.standard_normal(shape), random.standard_normal((9, channels))
    flat = change.reshape(-1, 1) if axis else change.reshape(shape[0], -1)
    width, count = flat.shape[1], len(flat)
    read = [x[:, (o * (channels // width) // count) * width :][:, :width] for o in range(count)]
    moved = np.array([(part @ row).mean() for part, row in zip(read, flat, strict=True)])
    np.testing.assert_allclose(mean_shift(change, x.mean(0), axis), moved)


def test_a_cnn_is_int8_from_its_pixels_to_its_output():
    _, small, _ = float_and_int8("mobilenetv2_035", 64)
    assert {"QUANTIZE", "DEQUANTIZE"}.isdisjoint(op.kind for op in small.operators)
    assert [small.tensors[i].type for i in (*small.inputs, *small.outputs)] == ["int8", "int8"]


def test_the_normalisation_is_in_the_scale_of_the_input_where_channels_are_alike(tmp_path):
    model, small, pixels = float_and_int8("mobilenetv2_035", 64, ALIKE)
    image = small.tensors[small.inputs[0]].quantisation
    assert image.scales[0] == pytest.approx(2 / 255)
    assert image.zero_points[0] in (-1, 0), "the grey of 127.5 is zero"
    assert len(small.operators) == len(float_and_int8("mobilenetv2_035", 64)[1].operators) - 1
    agreement = compare_outputs(outputs(model, tmp_path, pixels), outputs(small, tmp_path, pixels))
    assert agreement.snr_db >= 28


def test_concatenated_maps_share_a_scale():
    _, small, _ = float_and_int8("googlenet", 64)
    for op in small.operators:
        if op.kind == "CONCATENATION":
            assert len({small.tensors[i].quantisation for i in (*op.inputs, *op.outputs)}) == 1


def test_a_layer_that_is_kept_stays_in_float():
    model = to_tflite(zoo.get("mobilenetv2_035", resolution=64))
    path = next(op.path for op in model.operators if op.kind == "FULLY_CONNECTED")
    _, small, _ = float_and_int8("mobilenetv2_035", 64, kept=(path,))
    (layer,) = (op for op in small.operators if op.path == path and op.kind == "FULLY_CONNECTED")
    assert {small.tensors[i].type for i in layer.inputs} == {"float32"}
    assert [op.kind for op in small.operators].count("DEQUANTIZE") == 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-3.0, 1.0), (0.5, 2.0), (-1.0, -0.5), (0.0, 0.0)])
def test_zero_is_exact_in_every_range(low, high):
    (scale,), (zero,), _ = affine(low, high)
    assert -128 <= zero <= 127
    lowest, highest = scale * (-128 - zero), scale * (127 - zero)
    assert lowest <= min(low, 0) + scale / 2
    assert highest >= max(high, 0) - scale / 2


@pytest.mark.parametrize("name", ["mobilenetv1_025", "resnet20", "mobilenetv3_small", "lenet5_modern", "googlenet"])
def test_the_arena_is_the_one_that_tensorflow_lite_micro_plans(name, tmp_path):
    resolution = None if name in ("resnet20", "lenet5_modern") else 64
    _, small, _ = float_and_int8(name, resolution, grow_kernels=True)
    best = arranged(small)
    assert head_bytes(best) <= head_bytes(small)
    for model in (small, best):
        path = tmp_path / "model.tflite"
        path.write_bytes(model.serialize())
        done = subprocess.run([sys.executable, "-c", RECORD, path], capture_output=True, text=True, check=True)
        head, tail = (int(re.search(rf"{part} (\d+)", done.stdout + done.stderr)[1]) for part in ("head", "tail"))
        assert head_bytes(model) == head
        assert tail <= tail_bytes(model) <= 1.02 * tail + 200


@pytest.mark.parametrize("name", ["mobilenetv1_025", "resnet20", "googlenet"])
def test_the_arena_is_known_before_a_network_has_weights(name):
    network = zoo.get(name).at(None if name == "resnet20" else 64)
    arena = plan_arena(network)
    _, small, _ = float_and_int8(name, network.input[-1], grow_kernels=True)
    best = arranged(small)
    assert (arena.head, arena.tail) == (head_bytes(best), tail_bytes(best))
    assert arena.least_tail < arena.tail


def test_a_network_fits_a_microcontroller_by_the_arena_and_not_by_an_estimate():
    """As TensorFlow Lite Micro planned this file: 301,056 bytes of values, 38,064 that stay, on 64 bits."""
    fit = fit_net(zoo.get("mobilenetv1_025"), load("stm32h743"), "tflm")
    assert fit.verdict == "fits"
    assert fit.sram.low <= 301_056 + 38_064 <= fit.sram.high
    assert fit.sram.high < 1.001 * (301_056 + 38_064)
    scratch = fit_net(zoo.get("mobilenetv1_025"), load("stm32h743"), "cmsis-nn").sram
    assert scratch.high > fit.sram.high, "what its kernels work in is not known exactly"


def test_an_operator_that_tensorflow_lite_micro_lacks_is_named():
    fit = fit_net(zoo.get("convnext_atto", resolution=64), load("stm32n657"), "cmsis-nn")
    assert any("no GELU" in warning for warning in fit.warnings)
