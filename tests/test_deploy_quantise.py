"""What is deployed computes what was trained, takes pixels, and int8 costs no more accuracy than was allowed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from netlathe import zoo
from netlathe.deploy.export import TrainedModel, load_trained, model_pixels
from netlathe.deploy.package import FLOAT_FILE
from netlathe.deploy.parity import parity, require_exact
from netlathe.deploy.quantise import quantise_model
from netlathe.deploy.session import open_session
from netlathe.errors import NetlatheError
from netlathe.runtimes.agreement import compare_outputs
from netlathe.runtimes.quantise import Labelled, fewest_float_layers, within_tolerance
from netlathe.train import recipefile
from netlathe.train.classification import train
from netlathe.train.images import Splits, load


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load("digits", size=16)


@pytest.fixture(scope="module")
def run(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A small network that was trained for a few epochs on scikit-learn's digits."""
    folder = tmp_path_factory.mktemp("run")
    recipe = recipefile.load("digits", ["regularise.ema=0.9", "optimiser.lr_per=32", "batch=32"])
    train(zoo.get("resnet20", depth=8), splits, recipe, folder, epochs=4, precision="fp32-last", threads=1)
    return load_trained(folder)


def labelled(images: object, run: TrainedModel, count: int) -> Labelled:
    return Labelled(model_pixels(images.pixels[:count], run.preprocessing), images.labels[:count])  # type: ignore[attr-defined]


def test_the_deployed_file_takes_pixels_and_agrees_with_the_torch_network(
    run: TrainedModel, splits: Splits, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(run.model(), path)
    pixels = model_pixels(splits.validation.pixels[:32], run.preprocessing)
    same = parity(run.network, run.weights, run.preprocessing, path, pixels)
    require_exact(same, path)
    assert same.relative_error < 1e-4
    assert pixels.dtype == np.uint8
    assert open_session(path).run(pixels).shape == (32, 10)


def test_a_file_that_computes_something_else_is_refused(run: TrainedModel, splits: Splits, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(run.model(), path)
    wrong = {name: tensor + 0.05 for name, tensor in run.weights.items()}
    pixels = model_pixels(splits.validation.pixels[:8], run.preprocessing)
    with pytest.raises(NetlatheError):
        require_exact(parity(run.network, wrong, run.preprocessing, path, pixels), path)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_keeps_the_accuracy_within_the_tolerance(run: TrainedModel, splits: Splits, runtime: str) -> None:
    found = quantise_model(
        run.model().SerializeToString(),
        labelled(splits.train, run, 64),
        labelled(splits.validation, run, 100),
        runtime=runtime,
        tolerance=0.03,
        seconds=30,
    )
    assert found.accurate
    assert within_tolerance(found.before, found.after, found.images, 0.03)
    assert found.scheme == "u8s8"
    if runtime == "onnxruntime":
        onnx.checker.check_model(onnx.load_from_string(found.files[FLOAT_FILE]), full_check=True)
    assert len(found.kept) < found.layers


def test_too_few_calibration_images_are_refused(run: TrainedModel, splits: Splits) -> None:
    few, some = labelled(splits.train, run, 8), labelled(splits.validation, run, 8)
    with pytest.raises(NetlatheError, match="8 calibration images are too few"):
        quantise_model(run.model().SerializeToString(), few, some)
    with pytest.raises(NetlatheError, match="unknown runtime for int8"):
        quantise_model(run.model().SerializeToString(), few, some, runtime="torch")


def test_the_fewest_layers_that_must_stay_in_float_are_found() -> None:
    ranked = [f"layer{i}" for i in range(20)]
    tried = fewest_float_layers(ranked, lambda kept: (len(kept), len(kept) >= 5), deadline=float("inf"))
    assert 5 in tried
    assert len(tried) < 12


def test_the_signal_to_noise_ratio_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 10))
    noise = 0.01 * rng.standard_normal((50, 10))
    wanted = 10 * np.log10((x**2).sum() / (noise**2).sum())
    assert compare_outputs(x, x + noise).snr_db == pytest.approx(wanted, rel=0.05)
