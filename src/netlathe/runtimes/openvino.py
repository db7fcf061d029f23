"""OpenVINO on the CPU. It reads ONNX files and IRs (model.xml and model.bin), and converts floats to the precision.

The precision is pinned and read back: OpenVINO takes bf16 by itself on processors that have it, and would be measured
as fp32.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlathe.errors import MissingExtra, NetlatheError
from netlathe.runtimes.base import (
    BF16_SETS,
    INT8_SETS,
    FileFacts,
    FileFormat,
    FileInput,
    Infer,
    Runtime,
    SessionOptions,
)
from netlathe.runtimes.fusion import fusion
from netlathe.runtimes.quantise import Quantiser

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from netlathe.runtimes.base import Array

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
INPUT_TYPES = {"u8": ("uint8", 256), "f32": ("float32", None), "i64": ("int64", 2)}


def open_cpu(model: Any, options: SessionOptions) -> Infer:
    """One stream, for latency. Raises NetlatheError where it would run another precision."""
    import numpy as np
    import openvino as ov

    wanted = PRECISIONS[options.precision]
    properties = {
        "INFERENCE_PRECISION_HINT": wanted,
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "CPU_DENORMALS_OPTIMIZATION": True,
    }
    compiled = ov.Core().compile_model(model, "CPU", properties)
    executed = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if executed != wanted:
        raise NetlatheError(f"OpenVINO runs {executed} on this processor, not {wanted}", code="bench.precision")
    request = compiled.create_infer_request()

    def infer(xs: list[Array]) -> Array:
        request.infer(dict(enumerate(xs)))
        return np.asarray(request.get_output_tensor(0).data)

    return infer


def quantisers() -> tuple[Quantiser, ...]:
    """NNCF: all layers, then its search for layers that cost too much accuracy. Raises MissingExtra without it."""
    from importlib.util import find_spec

    if find_spec("nncf") is None:
        raise MissingExtra("nncf", "openvino")
    from netlathe.runtimes.openvino_quantise import quantise_all, quantise_with_control

    return quantise_all, quantise_with_control


def inspect(path: Path) -> FileFacts:
    """An IR: its inputs from its XML, its precision from its weights' quantisation.

    Raises NetlatheError for a file that is none.
    """
    from xml.etree import ElementTree

    try:
        root = ElementTree.parse(path).getroot()
        content = hashlib.sha256()
        for file in (path, path.with_suffix(".bin")):
            content.update(file.read_bytes())
    except OSError as error:
        hint = "an IR is two files, model.xml and model.bin"
        raise NetlatheError(
            f"cannot be read: {error.strerror}", code="deploy.ir", path=str(error.filename), hint=hint
        ) from None
    except ElementTree.ParseError as error:
        raise NetlatheError(f"this is no OpenVINO IR: {error}", code="deploy.ir", path=str(path)) from None
    layers = root.findall("./layers/layer")
    inputs = tuple(file_input(layer, path) for layer in layers if layer.get("type") == "Parameter")
    if not inputs:
        raise NetlatheError("this is no OpenVINO IR: it has no inputs", code="deploy.ir", path=str(path))
    quantised = any(layer.get("type") == "FakeQuantize" for layer in layers)
    return FileFacts(inputs, "int8+fp32" if quantised else "fp32", content.hexdigest()[:16])


def file_input(layer: Element, path: Path) -> FileInput:
    """One input of an IR; only its batch may be free."""
    data = layer.find("data")
    attributes = dict(data.attrib) if data is not None else {}
    kind = attributes.get("element_type", "?")
    sizes = [size.strip() for size in attributes.get("shape", "").split(",") if size.strip()]
    free = [i for i, size in enumerate(sizes) if not size.isdecimal()]
    if kind not in INPUT_TYPES or not set(free) <= {0}:
        message = f"the input {layer.get('name')} is {kind} of {', '.join(sizes)}"
        raise NetlatheError(message, code="deploy.ir", path=str(path), hint="only the batch may be free")
    name, vocabulary = INPUT_TYPES[kind]
    shape = tuple(None if i in free else int(size) for i, size in enumerate(sizes))
    return FileInput(layer.get("name", ""), shape, vocabulary, name)


CPU = Runtime(
    name="openvino",
    title="OpenVINO",
    package="openvino",
    module="openvino",
    extra="openvino",
    open=open_cpu,
    precisions=tuple(PRECISIONS),
    accelerated={"bf16": BF16_SETS, "int8": INT8_SETS},
    fusion=fusion(
        "norm.batch scale act add mul map position",
        True,
        "https://docs.openvino.ai/2024/documentation/openvino-extensibility.html",
        reorders=True,
        files=True,
        attends=True,
    ),
    format=FileFormat(".xml", ".bin", "an OpenVINO IR", inspect),
    quantisers=quantisers,
    int8_file="model.xml",
)
RUNTIMES = (CPU,)
