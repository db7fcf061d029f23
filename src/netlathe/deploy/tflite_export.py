"""A network as a .tflite file in float32, float16 or int8, kept only where LiteRT computes what ONNX Runtime computes.

A package, and anything in int8, takes pixels; else the file takes normalised images as the ONNX file does, channels
last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.arch.inputs import input_specs
from netlathe.arch.network import Network
from netlathe.deploy.export import deployable_model, model_pixels
from netlathe.deploy.isolation import run_isolated
from netlathe.deploy.package import FLOAT_FILE, Package, Preprocessing
from netlathe.deploy.quantise import ENOUGH, FEWEST, quantise_model
from netlathe.deploy.tflite import package_facts, tflite_model
from netlathe.errors import NetlatheError
from netlathe.lower.inputs import examples
from netlathe.lower.onnx import to_onnx
from netlathe.lower.tflite.network import to_tflite
from netlathe.lower.weights import Array, random_weights
from netlathe.process.temporary import temporary_folder
from netlathe.runtimes import registry
from netlathe.runtimes.agreement import Parity, compare_outputs
from netlathe.runtimes.base import TOLERANCES, SessionOptions
from netlathe.runtimes.quantise import Labelled, QuantisedModel
from netlathe.tflite.half import halve
from netlathe.tflite.metadata import ModelFacts, describe
from netlathe.tflite.parse import parse
from netlathe.tflite.pixels import with_pixels
from netlathe.tflite.schema import TfliteModel

FORMS = ("fp32", "fp16", "int8")
MIDDLE = {"mean": (0.5,), "std": (0.25,)}  # of images nobody said how to normalise
WAIT_S = 600.0  # for one run of both runtimes
JUDGED = 4  # one of so many images judges, the others calibrate


class TfliteSource(NamedTuple):
    """A float model, the ONNX model that it has to agree with, what both are given to compare them, and its facts."""

    model: TfliteModel
    onnx: bytes
    inputs: tuple[NDArray[Any], ...]  # as ONNX Runtime takes them
    facts: ModelFacts


class TfliteFile(NamedTuple):
    """A file: its bytes, how its float form agrees with ONNX Runtime, and how int8 agrees with float on images."""

    content: bytes
    agreement: Parity
    quantised: QuantisedModel | None = None


def expression_source(
    network: Network, weights: Mapping[str, Array] | None, facts: ModelFacts, steps: Preprocessing | None,
    *, grow_kernels: bool = False, seed: int = 0,
) -> TfliteSource:  # fmt: skip
    """The source of an expression; with `steps` it takes pixels.

    Raises NetlatheError for an operator that LiteRT lacks, and for other labels than there are outputs.
    """
    graph = network.graph()
    refuse_labels(facts.classes, graph.shapes[graph.outputs[0]])
    tensors = dict(random_weights(network, seed) if weights is None else weights)
    model = to_tflite(network, tensors, grow_kernels=grow_kernels)
    if steps is None:
        return TfliteSource(model, to_onnx(network, tensors).SerializeToString(), examples(network), facts)
    reference = deployable_model(network, tensors, steps).SerializeToString()
    return TfliteSource(with_pixels(model, steps.mean, steps.std), reference, some_pixels(steps), facts)


def image_steps(network: Network, published: Mapping[str, Any]) -> Preprocessing:
    """How images are prepared for an expression: as for its published weights, else by a middle and a deviation.

    Raises NetlatheError for what does not read one square image.
    """
    refuse_other_inputs(network)
    channels, resolution = network.input[0], network.input[-1]
    return Preprocessing(
        resolution=resolution,
        crop=published["crop"] / published["resize"] if published.get("resize") else 1.0,
        interpolation=published.get("interpolation", "bilinear"),
        mean=tuple(published.get("mean", MIDDLE["mean"] * channels)),
        std=tuple(published.get("std", MIDDLE["std"] * channels)),
        channels=channels,
    )


def package_source(package: Package, *, grow_kernels: bool = False) -> TfliteSource:
    """The source of a package. Raises NetlatheError as `tflite_model` does."""
    reference = (package.folder / FLOAT_FILE).read_bytes()
    model = tflite_model(package, grow_kernels=grow_kernels)
    return TfliteSource(model, reference, some_pixels(package.preprocessing), package_facts(package))


def some_pixels(steps: Preprocessing) -> tuple[NDArray[Any], ...]:
    """Images of noise, (2, r, r, C)."""
    shape = (2, steps.resolution, steps.resolution, steps.channels)
    return (np.random.default_rng(0).integers(0, 256, shape, np.uint8),)


def refuse_other_inputs(network: Network) -> None:
    """Raise NetlatheError for what reads anything but one square image."""
    specs = input_specs(network.graph())
    shape = specs[0].shape
    if len(specs) != 1 or specs[0].vocabulary is not None or len(shape) != 3 or shape[1] != shape[2]:
        message = f"{network.name} does not read one square image, so its ranges cannot be found on images"
        raise NetlatheError(message, code="tflite.images", hint="--form fp32 or fp16")


def refuse_labels(classes: Sequence[str], outputs: Sequence[int]) -> None:
    """Raise NetlatheError where a file has other outputs than there are labels."""
    if classes and (len(outputs) != 1 or outputs[0] != len(classes)):
        count = "x".join(map(str, outputs))
        message = f"there are {len(classes)} labels for {count} outputs"
        raise NetlatheError(message, code="deploy.classes", hint="one label a line, in the order of the outputs")


def write_form(
    source: TfliteSource, form: str, images: NDArray[np.uint8] | None = None, *, grown: bool = False,
    seconds: float = 300.0,
) -> TfliteFile:  # fmt: skip
    """The file of a source in a form; int8 is calibrated on `images` (N, r, r, C) uint8.

    `grown`: of a microcontroller, which keeps no metadata and no layer in float. Raises NetlatheError where LiteRT
    computes something else than ONNX Runtime, and MissingExtra without LiteRT.
    """
    registry.runtime_version("litert")
    model = halve(source.model) if form == "fp16" else source.model
    agreement = compare(source, model.serialize())
    exact = agreement.exact if form != "fp16" else agreement.relative_error <= TOLERANCES["fp16"]
    if not exact:
        raise NetlatheError(
            f"LiteRT computes something else than ONNX Runtime: {agreement.snr_db:.1f} dB, "
            f"{agreement.relative_error:.1e} of the largest output",
            code="deploy.parity",
            path=model.name,
        )
    quantised = None
    if form == "int8":
        assert images is not None
        quantised = quantise_on(source.model, images, "tflm" if grown else "litert", seconds)
        model = parse(next(iter(quantised.files.values())))
    return TfliteFile(model.serialize() if grown else describe(model, source.facts), agreement, quantised)


def compare(source: TfliteSource, content: bytes) -> Parity:
    """How LiteRT agrees with ONNX Runtime, each in a process of its own."""
    with temporary_folder() as folder:
        (folder / "model.onnx").write_bytes(source.onnx)
        (folder / "model.tflite").write_bytes(content)
        outputs = [
            run_isolated(run_file, 1, WAIT_S, folder / name, runtime, source.inputs)
            for name, runtime in (("model.onnx", registry.DEFAULT), ("model.tflite", "litert"))
        ]
    return compare_outputs(*(y.reshape(len(y), -1) for y in outputs))


def run_file(file: Path, runtime: str, inputs: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    """The output of a file for inputs with the channels first, or for pixels; channels first."""
    last = runtime == "litert"
    arrays = [x.transpose(0, 2, 3, 1) if last and x.ndim == 4 and x.dtype != np.uint8 else x for x in inputs]
    infer = registry.opener(runtime)(str(file), SessionOptions(1, "fp32"))
    y = np.asarray(infer([np.ascontiguousarray(x) for x in arrays]))
    return y.transpose(0, 3, 1, 2) if last and y.ndim == 4 else y


def quantise_on(model: TfliteModel, pixels: NDArray[np.uint8], runtime: str, seconds: float) -> QuantisedModel:
    """The model in int8, calibrated on three of four images and judged on the others by what the float model says."""
    judged = np.arange(len(pixels)) % JUDGED == JUDGED - 1
    content = model.serialize()
    with temporary_folder() as folder:
        (folder / "model.tflite").write_bytes(content)
        outputs = run_isolated(run_file, 1, WAIT_S, folder / "model.tflite", "litert", (pixels,))
    labels = outputs.reshape(len(pixels), -1).argmax(1).astype(np.int64)
    few = len(pixels) // JUDGED < 1 or int((~judged).sum()) < FEWEST
    calibration = Labelled(pixels, labels) if few else Labelled(pixels[~judged], labels[~judged])
    validation = Labelled(pixels, labels) if few else Labelled(pixels[judged], labels[judged])
    return quantise_model(content, calibration, validation, runtime=runtime, seconds=seconds)


def calibration_pixels(source: str, steps: Preprocessing, most: int = ENOUGH) -> NDArray[np.uint8]:
    """Training images of a source as a file takes them, at most so many. Raises NetlatheError as `images.load` does,
    and for too few."""
    from netlathe.train.images import load

    images = load(source, size=ceil(steps.resolution / steps.crop), channels=steps.channels).train
    rows = np.sort(np.random.default_rng(0).permutation(len(images))[:most])
    return model_pixels(np.asarray(images.pixels[rows]), steps)
