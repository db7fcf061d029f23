"""Static quantisation for ONNX Runtime: activations of unsigned 8 bits, weights of signed 8 bits by channel, as QDQ.

Signed activations run up to 3.6 times slower on x86. In networks with attention only what has weights is quantised:
sums, softmax and norms in int8 cost a ViT most of its accuracy (8.9 dB with the defaults of ONNX Runtime).
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from netlathe.errors import NetlatheError
from netlathe.process.temporary import temporary_file, temporary_folder
from netlathe.runtimes.agreement import compare_outputs
from netlathe.runtimes.base import SessionOptions
from netlathe.runtimes.quantise import (
    Labelled,
    QuantisedModel,
    QuantiseTask,
    count_hits,
    search_float_layers,
)

if TYPE_CHECKING:
    from netlathe.runtimes.base import Logits, Pixels

WEIGHTED = ("Conv", "Gemm", "MatMul")
# Operators that ONNX Runtime can run between quantised ones without going back to float.
BETWEEN = ("Add", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Relu", "Clip", "Flatten", "Reshape")
METHODS = {  # how the range of a tensor is found, and what ONNX Runtime calls it
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"percentile": 99.99, "symmetric": False}),
    "entropy": (CalibrationMethod.Entropy, {}),
}
PIECE = 16  # images whose activations are held at a time


@dataclass(frozen=True, slots=True)
class FloatModel:
    """The float model, constants folded; what is quantised of it."""

    path: Path
    model: onnx.ModelProto
    layers: tuple[str, ...]
    attention: bool
    excluded: tuple[str, ...]  # nodes that only prepare pixels
    reduce_range: bool  # weights get 7 bits

    def kinds(self) -> list[str]:
        """Operators that are quantised."""
        return [*WEIGHTED] if self.attention else [*WEIGHTED, *BETWEEN]

    def others(self) -> list[str]:
        """Nodes that are quantised beside the layers."""
        if self.attention:
            return []
        nodes = (node for node in self.model.graph.node if node.op_type in BETWEEN)
        return [node.name for node in nodes if node.name not in self.excluded]


class PixelReader(CalibrationDataReader):  # type: ignore[misc]
    """A few images for a calibrator, one by one."""

    def __init__(self, pixels: Pixels, name: str) -> None:
        self.name, self.left = name, iter([pixels[i : i + 1] for i in range(len(pixels))])

    def get_next(self) -> dict[str, Pixels] | None:
        """The next input."""
        part = next(self.left, None)
        return None if part is None else {self.name: part}


def quantise_static(task: QuantiseTask) -> QuantisedModel:
    """The int8 file of a task. To be called in a process of its own."""
    start = time.monotonic()
    deadline = start + task.seconds
    with temporary_folder() as folder:
        source = prepare_model(task, folder)
        float_logits = run_model(task, task.model, task.validation.pixels)
        method, ranges, notes = best_ranges(source, task, start + task.seconds / 2)

        def make(kept: Sequence[str], only: bool) -> bytes:
            return quantise(source, ranges, kept, only=only)

        best, more = search_float_layers(task, float_logits, source.layers, make, run_model, deadline)
    before, notes = count_hits(float_logits, task.validation.labels), [*notes, *more]
    return QuantisedModel(
        runtime="onnxruntime",
        files={"model.onnx": with_metadata(best.model, task.model)},
        scheme=quantisation_scheme(onnx.load_from_string(best.model)),
        method=method,
        calibration=len(task.calibration.pixels),
        layers=len(source.layers),
        kept=best.kept,
        images=len(float_logits),
        before=before,
        after=best.hits,
        tolerance=task.tolerance,
        snr_db=compare_outputs(float_logits, best.logits).snr_db,
        seconds=time.monotonic() - start,
        notes=tuple(notes),
    )


def prepare_model(task: QuantiseTask, folder: Path) -> FloatModel:
    """The model with its constants folded by ONNX Runtime, so that a transposed weight is seen to be one."""
    path = folder / "float.onnx"
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    ort.InferenceSession(task.model, options, providers=["CPUExecutionProvider"])
    loaded = onnx.shape_inference.infer_shapes(onnx.load(path))
    for i, node in enumerate(loaded.graph.node):
        node.name = node.name or f"{node.op_type}:{i}"
    onnx.save(loaded, path)
    weights = {tensor.name for tensor in loaded.graph.initializer}
    layers = [n.name for n in loaded.graph.node if n.op_type in WEIGHTED and n.input[1] in weights]
    if not layers:
        message = "nothing to quantise: it has no convolution or matrix product with weights"
        raise NetlatheError(message, code="quantise.nothing", path=loaded.graph.name)
    attention = any(node.op_type == "Softmax" for node in loaded.graph.node)
    return FloatModel(path, loaded, tuple(layers), attention, task.excluded, saturates(task.flags))


def saturates(flags: frozenset[str]) -> bool:
    """Whether products of 8 bits overflow on this processor: x86 without VNNI adds pairs of them in 16 bits.

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html: there, weights get 7 bits.
    """
    return "avx2" in flags and not flags & {"avx_vnni", "avx512_vnni", "amx_int8"}


def best_ranges(source: FloatModel, task: QuantiseTask, deadline: float) -> tuple[str, Any, list[str]]:
    """Ranges from one half of the calibration images by the method whose int8 network does best on the other half.

    The most images right; where methods tie, the largest SNR. Returns the method, its ranges, and what was left out.
    """
    half = len(task.calibration.pixels) // 2
    pixels, labels = task.calibration
    first, second = Labelled(pixels[:half], labels[:half]), Labelled(pixels[half:], labels[half:])
    reference = run_model(task, task.model, second.pixels)
    scores: dict[str, tuple[int, float]] = {}
    best: Any = None
    notes = []
    for name in METHODS:
        if scores and time.monotonic() > deadline:
            notes.append(f"no time was left to try ranges by {name}")
            continue
        ranges = ranges_by(name, source, first.pixels, task.input)
        logits = run_model(task, quantise(source, ranges, ()), second.pixels)
        score = count_hits(logits, second.labels), compare_outputs(reference, logits).snr_db
        if not scores or score > max(scores.values()):
            best = ranges
        scores[name] = score
    return max(scores, key=lambda name: scores[name]), best, notes


def ranges_by(method: str, source: FloatModel, pixels: Pixels, name: str) -> Any:
    """The range of every tensor by one method, over images (N, r, r, C) for the input of that name."""
    kind, options = METHODS[method]
    with temporary_folder() as folder:
        calibrator = create_calibrator(
            source.path,
            source.kinds(),
            augmented_model_path=str(folder / "augmented.onnx"),
            calibrate_method=kind,
            extra_options=options,
        )
        # Piece by piece: it holds every activation of what it is given at once.
        for start in range(0, len(pixels), PIECE):
            calibrator.collect_data(PixelReader(pixels[start : start + PIECE], name))
        return calibrator.compute_data()


def quantise(source: FloatModel, ranges: Any, kept: Sequence[str], *, only: bool = False) -> bytes:
    """The QDQ file with the layers `kept` in float; `only`: nothing but the other layers is quantised."""
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    wanted = [layer for layer in source.layers if layer not in set(kept)]
    nodes = wanted if only else [*wanted, *source.others()]
    if not nodes:
        return bytes(model.SerializeToString())
    quantiser = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=source.reduce_range,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=nodes,
        nodes_to_exclude=[*source.excluded],
        op_types_to_quantize=source.kinds(),
        extra_options={"MatMulConstBOnly": True},
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()  # as ONNX asks: it leaves what it inserted at the end
    quantised: bytes = quantiser.model.model.SerializeToString()
    return quantised


def run_model(task: QuantiseTask, model: bytes, pixels: Pixels) -> Logits:
    """Outputs (N, classes) for images (N, r, r, C)."""
    with temporary_file(".onnx") as file:
        file.write(model)
        file.flush()
        infer = task.open(file.name, SessionOptions(task.threads, "int8+fp32"))
        return np.concatenate([infer([pixels[i : i + 32]]) for i in range(0, len(pixels), 32)])


def quantisation_scheme(model: onnx.ModelProto) -> str:
    """Types of activations and of weights in a QDQ file: u8s8; empty where nothing is quantised."""
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    signs = {onnx.TensorProto.UINT8: "u8", onnx.TensorProto.INT8: "s8"}

    def quantised_types(operator: str, of_weights: bool) -> set[str]:
        nodes = [node for node in model.graph.node if node.op_type == operator and len(node.input) > 2]
        zeros = {kinds.get(node.input[2]) for node in nodes if (node.input[0] in kinds) == of_weights}
        return {signs[kind] for kind in zeros if kind in signs}

    activations = quantised_types("QuantizeLinear", False)
    weights = quantised_types("DequantizeLinear", True)
    return "+".join(sorted(activations)) + "+".join(sorted(weights))


def with_metadata(model: bytes, source: bytes) -> bytes:
    """The model with the metadata of the one that it was made of."""
    copy = onnx.load_from_string(model)
    del copy.metadata_props[:]
    copy.metadata_props.extend(onnx.load_from_string(source).metadata_props)
    content: bytes = copy.SerializeToString()
    return content
