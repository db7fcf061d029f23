"""LiteRT, formerly TensorFlow Lite, on the CPU (XNNPACK): what runs .tflite files on phones and boards.

A file takes one image, so a batch is run image by image. A float file takes pixels as uint8, an int8 file as int8,
pixel - 128: both are given uint8 here. Outputs in int8 come back as the numbers that their scale makes of them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlathe.files import read_bytes
from netlathe.runtimes.base import INT8_SETS, FileFacts, FileFormat, FileInput, Infer, Runtime, SessionOptions
from netlathe.runtimes.fusion import fusion
from netlathe.runtimes.quantise import Quantiser

if TYPE_CHECKING:
    from netlathe.runtimes.base import Array
    from netlathe.tflite.schema import TfliteModel

IDS = 2  # below which whole numbers are legal for every embedding


def open_cpu(model: Any, options: SessionOptions) -> Infer:
    """The file in one interpreter."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=options.threads)
    interpreter.allocate_tensors()
    inputs, (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = output["quantization"]

    def infer_one(xs: list[Array]) -> Array:
        for about, x in zip(inputs, xs, strict=True):
            interpreter.set_tensor(about["index"], fitted(x, about["dtype"]))
        interpreter.invoke()
        y = interpreter.get_tensor(output["index"])
        real: Array = (y.astype(np.float32) - zero) * np.float32(scale) if scale else y
        return real

    def infer(xs: list[Array]) -> Array:
        if all(len(x) == 1 for x in xs):
            return infer_one(xs)
        return np.concatenate([infer_one([x[i : i + 1] for x in xs]) for i in range(len(xs[0]))])

    return infer


def fitted(x: Array, dtype: Any) -> Array:
    """An input in the type of the file: pixels of 0 to 255 become those of -128 to 127."""
    import numpy as np

    if x.dtype == dtype:
        return x
    if x.dtype == np.uint8 and dtype == np.int8:
        return np.bitwise_xor(x.view(np.uint8), np.uint8(0x80)).view(np.int8)
    typed: Array = x.astype(dtype)
    return typed


def inspect(path: Path) -> FileFacts:
    """A .tflite file: its inputs and its precision. Raises NetlatheError for a file that is none."""
    from netlathe.tflite.parse import parse

    content = read_bytes(path)
    model = parse(content, str(path))
    return FileFacts(
        tuple(file_input(model, i) for i in model.inputs), precision_of(model), hashlib.sha256(content).hexdigest()[:16]
    )


def file_input(model: TfliteModel, number: int) -> FileInput:
    """One input, as it is given here."""
    tensor = model.tensors[number]
    names = {"int8": ("uint8", 256), "uint8": ("uint8", 256), "int32": ("int32", IDS)}
    type_, vocabulary = names.get(tensor.type, (tensor.type, None))
    return FileInput(tensor.name, (None, *tensor.shape[1:]), vocabulary, type_)


def precision_of(model: TfliteModel) -> str:
    """int8+fp32 where weights are bytes, fp16 where they are halves, else fp32."""
    sizes: dict[str, int] = {}
    for tensor in model.tensors:
        if tensor.data is not None:
            sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.data.size
    most = max(sizes, key=lambda kind: sizes[kind], default="float32")
    return {"int8": "int8+fp32", "float16": "fp16"}.get(most, "fp32")


def quantisers() -> tuple[Quantiser, ...]:
    """Full int8, with the layers that hurt left in float."""
    from netlathe.runtimes.litert_quantise import quantise_full

    return (quantise_full,)


def usage(file: str, name: str, pixels: str) -> str:
    """The outputs of a file, in one line of Python."""
    return f'ai_edge_litert.interpreter.Interpreter("{file}").get_signature_runner()({name}={pixels})["output"]'


LITERT = Runtime(
    name="litert",
    title="LiteRT",
    forecast_as="tflite",
    package="ai-edge-litert",
    module="ai_edge_litert.interpreter",
    extra="litert",
    open=open_cpu,
    takes="tflite",
    accelerated={"int8": INT8_SETS},
    first_look=("fp32",),  # often faster than ONNX Runtime on small networks: benchmarks/README.md
    as_written=True,
    fusion=fusion(
        "norm.batch scale act.relu act.relu6 act.hardtanh",
        False,
        "https://ai.google.dev/edge/litert/models/ops_compatibility",
    ),
    format=FileFormat(".tflite", "", "a .tflite file", inspect),
    quantisers=quantisers,
    float_file="model.tflite",
    int8_file="model.int8.tflite",
    usage=usage,
)
RUNTIMES = (LITERT,)
