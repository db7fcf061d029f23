"""float16 weights: half the size, computed in float32.

As TensorFlow's converter writes it: the constants of convolutions and linear layers, biases too, are float16, each with
a DEQUANTIZE, which LiteRT does once while it loads (XNNPACK) or runs on a GPU in half precision.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.tflite.int8 import WEIGHTED
from netlathe.tflite.pixels import PATH as PIXELS
from netlathe.tflite.schema import TfliteModel, TfliteOperator

LARGEST = float(np.finfo(np.float16).max)


def halve(model: TfliteModel) -> TfliteModel:
    """The float model with its weights in float16. Raises NetlatheError for a weight beyond what float16 holds."""
    tensors, steps = list(model.tensors), list[TfliteOperator]()
    numbers: dict[int, int] = {}
    wanted = [i for op in model.operators if op.kind in WEIGHTED and op.path != PIXELS for i in op.inputs]
    for i in dict.fromkeys(wanted):
        tensor = tensors[i]
        if tensor.data is None or tensor.type != "float32":
            continue
        if np.abs(tensor.data).max(initial=0.0) > LARGEST:
            message = f"a weight is beyond {LARGEST:g}, the largest float16"
            raise NetlatheError(message, code="tflite.half", path=tensor.name, hint="--form fp32")
        numbers[i] = len(tensors)
        tensors.append(replace(tensor, type="float16", data=tensor.data.astype(np.float16)))
        tensors[i] = replace(tensor, name=f"{tensor.name}:float", data=None)
        steps.append(TfliteOperator("DEQUANTIZE", (numbers[i],), (i,), {}, tensor.name))
    return replace(model, tensors=tensors, operators=[*steps, *model.operators])
