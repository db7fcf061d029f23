"""Full int8 for LiteRT: activations of signed 8 bits, weights by channel, ranges from real images.

The float file runs with every value kept. Several ways to find ranges are tried on one half of the images, and the one
whose int8 network does best on the other half is taken. Biases make up for what rounding the weights does to means: by
EfficientNet-Lite0 with its published weights 89 % of photographs get the class of float, without it 78 %.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.process.temporary import temporary_file
from netlathe.runtimes.agreement import compare_outputs
from netlathe.runtimes.base import SessionOptions
from netlathe.runtimes.quantise import QuantisedModel, QuantiseTask, count_hits, search_float_layers
from netlathe.tflite.arena import arranged
from netlathe.tflite.int8 import WEIGHTED, Range, quantise
from netlathe.tflite.parse import parse
from netlathe.tflite.pixels import PATH as PIXELS
from netlathe.tflite.schema import TfliteModel

if TYPE_CHECKING:
    from netlathe.runtimes.base import Logits, Pixels

REPORTED = 4  # images that the report by layer runs on
SAMPLED = 2048  # values of a tensor in an image that quantiles are taken of
METHODS = {"minmax": 0.0, "percentile 99.99": 1e-4, "percentile 99.9": 1e-3}  # share of the values beyond each end


class Values(NamedTuple):
    """What was seen of a tensor: its ends, a sample of its values, and their mean by channel, the last axis."""

    low: float
    high: float
    sample: NDArray[np.float32]
    mean: NDArray[np.float64]


def quantise_full(task: QuantiseTask) -> QuantisedModel:
    """The int8 file of a task. To be called in a process of its own."""
    start = time.monotonic()
    source = parse(task.model)
    layers = tuple(op.path for op in source.operators if op.kind in WEIGHTED and op.path != PIXELS)
    reference = run_model(task, task.model, task.validation.pixels)
    method, ranges, means = best_ranges(task, source)

    def make(kept: Sequence[str], only: bool) -> bytes:
        others = [op.path for op in source.operators if op.path not in layers] if only else []
        return arranged(quantise(source, ranges, {*kept, *others}, means)).serialize()

    best, notes = search_float_layers(task, reference, layers, make, run_model, start + task.seconds)
    return QuantisedModel(
        runtime="litert",
        files={"model.int8.tflite": best.model},
        scheme="s8s8",
        method=f"{method}, biases corrected",
        calibration=len(task.calibration.pixels),
        layers=len(layers),
        kept=best.kept,
        images=len(reference),
        before=count_hits(reference, task.validation.labels),
        after=best.hits,
        tolerance=task.tolerance,
        snr_db=compare_outputs(reference, best.logits).snr_db,
        seconds=time.monotonic() - start,
        notes=tuple(notes),
        layer_snr=layer_snr(task, source, best.model, set(layers)),
    )


def layer_snr(
    task: QuantiseTask, source: TfliteModel, quantised: bytes, layers: set[str]
) -> tuple[tuple[str, float], ...]:
    """The signal-to-noise ratio in dB of the values behind each layer that int8 writes, the worst first."""
    pixels, model = task.calibration.pixels[:REPORTED], parse(quantised)
    float_values = {source.tensors[op.outputs[0]].name: op.outputs[0] for op in source.operators if op.path in layers}
    places = {
        tensor.name: i
        for i, tensor in enumerate(model.tensors)
        if tensor.name in float_values and tensor.quantisation is not None and tensor.type == "int8"
    }
    names = sorted(places)
    pairs = zip(
        all_values(task.model, pixels, task.threads, {float_values[name] for name in names}),
        all_values(quantised, np.bitwise_xor(pixels, 128).view(np.int8), task.threads, set(places.values())),
        strict=True,
    )
    energies = np.zeros((len(names), 2))
    for floats, integers in pairs:
        for row, name in enumerate(names):
            wanted, scale = floats[float_values[name]].astype(np.float64), model.tensors[places[name]].quantisation
            assert scale is not None
            real = (integers[places[name]].astype(np.float64) - scale.zero_points[0]) * scale.scales[0]
            energies[row] += (wanted**2).sum(), ((real - wanted) ** 2).sum()
    ratios = 10 * np.log10(np.maximum(energies[:, 0], 1e-30) / np.maximum(energies[:, 1], 1e-30))
    return tuple(sorted(zip(names, map(float, ratios), strict=True), key=lambda pair: pair[1]))


def best_ranges(
    task: QuantiseTask, source: TfliteModel
) -> tuple[str, dict[int, Range], dict[int, NDArray[np.float64]]]:
    """Ranges from one half of the images, by the method whose int8 network does best on the other half; and means."""
    half = len(task.calibration.pixels) // 2
    seen = observe(source, task.model, task.calibration.pixels[:half], task.threads)
    pixels, labels = task.calibration.pixels[half:], task.calibration.labels[half:]
    reference = run_model(task, task.model, pixels)
    means = {i: values.mean for i, values in seen.items()}
    scores: dict[str, tuple[int, float]] = {}
    for name, share in METHODS.items():
        logits = run_model(task, quantise(source, ranges_by(share, seen), means=means).serialize(), pixels)
        scores[name] = count_hits(logits, labels), compare_outputs(reference, logits).snr_db
    best = max(scores, key=lambda name: scores[name])
    return best, ranges_by(METHODS[best], seen), means


def ranges_by(share: float, seen: Mapping[int, Values]) -> dict[int, Range]:
    """The range of every tensor that leaves out a share of the values at each end."""
    if not share:
        return {i: (values.low, values.high) for i, values in seen.items()}
    ends = {i: np.quantile(values.sample, (share, 1 - share)) for i, values in seen.items()}
    return {i: (float(low), float(high)) for i, (low, high) in ends.items()}


def observe(source: TfliteModel, model: bytes, pixels: Pixels, threads: int) -> dict[int, Values]:
    """The values of every float tensor over images (N, r, r, C), by its number in the file."""
    float_values = {i for op in source.operators for i in op.outputs if source.tensors[i].type == "float32"}
    seen: dict[int, Values] = {}
    samples: dict[int, list[NDArray[np.float32]]] = {i: [] for i in float_values}
    random = np.random.default_rng(0)
    for values in all_values(model, pixels, threads, float_values):
        for i, x in values.items():
            old = seen.get(i)
            low, high = float(x.min()), float(x.max())
            mean = x.mean(tuple(range(x.ndim - 1)), dtype=np.float64) / len(pixels)
            seen[i] = Values(
                min(low, old.low) if old else low,
                max(high, old.high) if old else high,
                x,
                old.mean + mean if old else mean,
            )
            flat = x.reshape(-1)
            samples[i].append(flat if flat.size <= SAMPLED else random.choice(flat, SAMPLED, replace=False))
    return {i: values._replace(sample=np.concatenate(samples[i])) for i, values in seen.items()}


def all_values(
    model: bytes, pixels: Pixels, threads: int, wanted: set[int]
) -> Iterator[dict[int, NDArray[np.float32]]]:
    """The values of tensors, image by image."""
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all values takes memory
        interpreter = Interpreter(model_content=model, num_threads=threads, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    (about,) = interpreter.get_input_details()
    for i in range(len(pixels)):
        interpreter.set_tensor(about["index"], pixels[i : i + 1])
        interpreter.invoke()
        yield {number: np.asarray(interpreter.get_tensor(number)) for number in wanted}


def run_model(task: QuantiseTask, model: bytes, pixels: Pixels) -> Logits:
    """Outputs (N, classes) for images (N, r, r, C)."""
    with temporary_file(".tflite") as file:
        file.write(model)
        file.flush()
        infer = task.open(file.name, SessionOptions(task.threads, "int8+fp32"))
        return np.asarray(infer([pixels]), np.float32)
