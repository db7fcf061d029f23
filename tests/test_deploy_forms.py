"""The float file is deployed unless another form is shown to be better: as accurate, and measurably faster."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from deployed import COLOURS, colours

from netlathe.deploy.package import load_package
from netlathe.deploy.variants import (
    DeployVariant,
    broken_limits,
    choose_variant,
    copy_as_float,
    fastest_variant,
    with_verdict,
)
from netlathe.errors import NetlatheError
from netlathe.runtimes.quantise import Labelled

FLOAT = DeployVariant(runtime="onnxruntime", precision="fp32", model="model.onnx", hits=90, images=100,
             latency_ms=(4.9, 5.0, 5.1), size_bytes=4000, memory_bytes=5000)  # fmt: skip
FAST = DeployVariant(runtime="openvino", precision="bf16", model="model.onnx", hits=90, images=100,
            latency_ms=(2.9, 3.0, 3.1), size_bytes=4000, memory_bytes=4000)  # fmt: skip
SMALL = DeployVariant(runtime="onnxruntime", precision="int8+fp32", model="model.int8.onnx", hits=89, images=100,
             latency_ms=(4.5, 4.8, 5.0), size_bytes=1000, memory_bytes=2000)  # fmt: skip


def test_a_form_whose_interval_overlaps_is_not_taken():
    assert fastest_variant([FLOAT, SMALL], {}) is FLOAT
    assert with_verdict(SMALL, FLOAT, {}).verdict == "not measurably faster"


def test_the_measurably_faster_form_is_taken():
    pick = fastest_variant([FLOAT, FAST, SMALL], {})
    assert pick is FAST
    assert with_verdict(FLOAT, pick, {}).verdict == "slower"
    assert with_verdict(pick, pick, {}).verdict == "deployed"


def test_a_limit_that_only_the_small_file_keeps_decides():
    limits = {"size": 2000.0}
    pick = fastest_variant([FLOAT, FAST, SMALL], limits)
    assert pick is SMALL
    assert broken_limits(FLOAT, limits) == ["size"]
    assert "breaks the size of" in with_verdict(FAST, pick, limits).verdict


def test_where_nothing_keeps_the_limits_the_fastest_is_taken_all_the_same():
    assert fastest_variant([FLOAT, FAST], {"size": 1.0}) is FAST
    assert fastest_variant([], {}) is None


def test_a_latency_that_was_not_taken_breaks_no_limit():
    assert (
        broken_limits(DeployVariant(runtime="onnxruntime", precision="fp32", model="model.onnx"), {"latency": 1.0})
        == []
    )
    assert DeployVariant(runtime="a", precision="b", model="c").to_json()["latency_ms"] == [None] * 3
    assert FLOAT.latency_ms[0] < inf


@pytest.fixture
def images():
    """Images of one colour each, that the package of `colours` names right."""
    labels = np.arange(48, dtype=np.int64) % len(COLOURS)
    pixels = np.full((48, 16, 16, 3), 20, np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[..., label] = 220
    return Labelled(pixels, labels)


def test_the_folder_holds_the_form_that_is_deployed_and_the_float_file(tmp_path, images):
    package = colours(tmp_path / "float")
    made, tried = choose_variant(copy_as_float(package, tmp_path / "int8"), images, images, runtimes=["onnxruntime"],
                           wanted="int8", measured=False)  # fmt: skip
    assert made.precision == "int8+fp32"
    assert set(load_package(made.folder).files) == {"model.onnx", "model.int8.onnx"}
    assert [(form.hits, form.images, form.verdict) for form in tried] == [(48, 48, "deployed")]
    with pytest.raises(NetlatheError, match="another folder"):
        copy_as_float(package, package.folder)


def test_without_enough_images_int8_is_not_tried_and_that_is_said(tmp_path, images):
    package, said = colours(tmp_path), []
    few = Labelled(images.pixels[:5], images.labels[:5])
    made, tried = choose_variant(package, few, images, runtimes=["onnxruntime"], measured=False, say=said.append)
    assert (made.precision, len(tried)) == ("fp32", 1)
    assert "5 training images are too few" in " ".join(said)
    with pytest.raises(NetlatheError, match="too few"):
        choose_variant(package, few, images, runtimes=["onnxruntime"], wanted="int8", measured=False)
