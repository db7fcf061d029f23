"""int8 for OpenVINO by NNCF: post-training quantisation, and its search for layers that cost too much accuracy.

NNCF is told where a network is a transformer: without, the activations of its norms and products of attention are
quantised too coarsely. https://docs.openvino.ai/2025/openvino-workflow/model-optimization.html
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.process.temporary import temporary_folder
from netlathe.runtimes.agreement import compare_outputs
from netlathe.runtimes.quantise import QuantisedModel, QuantiseTask, count_hits

if TYPE_CHECKING:
    from netlathe.runtimes.base import Logits, Pixels

try:
    import nncf
    import openvino as ov
except ImportError as error:
    raise MissingExtra("nncf", "openvino") from error

WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")


def quantise_all(task: QuantiseTask) -> QuantisedModel:
    """All layers in int8. To be called in a process of its own: NNCF and OpenVINO can end theirs."""
    start = time.monotonic()
    model = ov.Core().read_model(task.model)
    images = nncf.Dataset(single_images(task.calibration.pixels, task.input))
    quantised = nncf.quantize(model, images, **nncf_options(model, task))
    return quantised_model(quantised, "nncf ptq", task, start)


def quantise_with_control(task: QuantiseTask) -> QuantisedModel:
    """As `quantise_all`, with the most harmful layers back in float until the accuracy is within the tolerance."""
    start = time.monotonic()
    model = ov.Core().read_model(task.model)
    labels, name = task.validation.labels, task.input
    items = [{name: x[name], "label": labels[i]} for i, x in enumerate(single_images(task.validation.pixels, name))]

    def accuracy(compiled: Any, items: Iterable[Any]) -> tuple[float, list[float]]:
        right = [float(np.argmax(compiled([item[name]])[0]) == item["label"]) for item in items]
        return sum(right) / len(right), right

    quantised = nncf.quantize_with_accuracy_control(
        model,
        calibration_dataset=nncf.Dataset(single_images(task.calibration.pixels, task.input)),
        validation_dataset=nncf.Dataset(items, lambda item: {name: item[name]}),
        validation_fn=accuracy,
        max_drop=task.tolerance,
        drop_type=nncf.DropType.ABSOLUTE,
        **nncf_options(model, task),
    )
    return quantised_model(quantised, "nncf with accuracy control", task, start)


def single_images(pixels: Pixels, name: str) -> list[dict[str, Pixels]]:
    """The images as inputs of that name, one by one."""
    return [{name: pixels[i : i + 1]} for i in range(len(pixels))]


def nncf_options(model: Any, task: QuantiseTask) -> dict[str, Any]:
    """What NNCF is told: how many images, what kind of network, and that pixels are not to be quantised again."""
    attention = any(op.get_type_name() in ("Softmax", "ScaledDotProductAttention") for op in model.get_ops())
    steps = [op.get_friendly_name() for op in model.get_ops() if op.get_friendly_name() in task.excluded]
    return {
        "subset_size": len(task.calibration.pixels),
        "model_type": nncf.ModelType.TRANSFORMER if attention else None,
        "target_device": nncf.TargetDevice.CPU,
        "ignored_scope": nncf.IgnoredScope(names=steps, validate=False),
    }


def quantised_model(model: Any, method: str, task: QuantiseTask, start: float) -> QuantisedModel:
    """The IR of a quantised model, and how it does on the validation images."""
    layers, kept = count_layers(model)
    if len(kept) == layers:
        raise NetlatheError("NNCF quantised no layer", code="quantise.nothing")
    before = model_outputs(ov.Core().read_model(task.model), task.validation.pixels, task.threads)
    after = model_outputs(model, task.validation.pixels, task.threads)
    with temporary_folder() as folder:
        ov.save_model(model, folder / "model.xml", compress_to_fp16=False)
        files = {name: (folder / name).read_bytes() for name in ("model.xml", "model.bin")}
    return QuantisedModel(
        runtime="openvino",
        files=files,
        scheme="u8s8",
        method=method,
        calibration=len(task.calibration.pixels),
        layers=layers,
        kept=kept,
        images=len(before),
        before=count_hits(before, task.validation.labels),
        after=count_hits(after, task.validation.labels),
        tolerance=task.tolerance,
        snr_db=compare_outputs(before, after).snr_db,
        seconds=time.monotonic() - start,
    )


def count_layers(model: Any) -> tuple[int, tuple[str, ...]]:
    """How many convolutions and products with weights there are, and the names of those left in float."""
    count, kept = 0, []
    for op in model.get_ordered_ops():
        if op.get_type_name() not in WEIGHTED:
            continue
        sources = [op.input_value(i).get_node() for i in range(2)]
        if not is_constant(sources[1]):
            continue
        count += 1
        if not any(weight_source(source).get_type_name() == "FakeQuantize" for source in sources):
            kept.append(op.get_friendly_name())
    return count, tuple(kept)


def weight_source(node: Any) -> Any:
    """The node behind those that only move or convert values."""
    while node.get_type_name() in ("Reshape", "Transpose", "Convert", "Multiply", "Subtract") and is_constant(node):
        node = node.input_value(0).get_node()
    return node


def is_constant(node: Any) -> bool:
    """Whether a value depends on no input."""
    if node.get_type_name() == "Parameter":
        return False
    return all(is_constant(node.input_value(i).get_node()) for i in range(node.get_input_size()))


def model_outputs(model: Any, pixels: Pixels, threads: int) -> Logits:
    """Outputs (N, classes) for images (N, r, r, C), in fp32 where it is not int8."""
    properties = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    request = ov.Core().compile_model(model, "CPU", properties).create_infer_request()
    outputs = []
    for start in range(0, len(pixels), 32):
        request.infer({0: pixels[start : start + 32]})
        outputs.append(np.array(request.get_output_tensor(0).data))
    return np.concatenate(outputs)
