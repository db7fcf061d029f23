"""What is deployed takes pixels: uint8 in a float file, int8 in an int8 file, (1, r, r, C).

(pixel / 255 - mean) / std is a depthwise 1x1 convolution, exact by channel in int8 too. Where all channels are alike an
int8 file needs none: the scale and the zero point of its input say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from netlathe.tflite.schema import Quantisation, Tensor, TfliteModel, TfliteOperator

PATH = "bake"
INPUT = "image"


def with_pixels(model: TfliteModel, mean: Sequence[float], std: Sequence[float]) -> TfliteModel:
    """The float model with pixels of 0 to 255 for the normalised image: `image`, uint8."""
    tensors = list(model.tensors)
    channels = tensors[model.inputs[0]].shape[-1]
    assert len(mean) == len(std) == channels
    tensors[model.inputs[0]] = replace(tensors[model.inputs[0]], name=f"{PATH}:shift")
    shape = tensors[model.inputs[0]].shape

    def add(tensor: Tensor) -> int:
        tensors.append(tensor)
        return len(tensors) - 1

    image = add(Tensor(INPUT, shape, "uint8", quantisation=Quantisation((1.0,), (0,))))
    real = add(Tensor(f"{PATH}:float", shape))
    scale = 1 / (255 * np.asarray(std, np.float64))
    shift = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    weight = add(Tensor(f"{PATH}.weight", (1, 1, 1, channels), data=scale.astype(np.float32).reshape(1, 1, 1, -1)))
    bias = add(Tensor(f"{PATH}.bias", (channels,), data=shift.astype(np.float32)))
    options = {
        "padding": "VALID",
        "stride_w": 1,
        "stride_h": 1,
        "depth_multiplier": 1,
        "activation": "",
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }
    steps = [
        TfliteOperator("DEQUANTIZE", (image,), (real,), {}, PATH),
        TfliteOperator("DEPTHWISE_CONV_2D", (real, weight, bias), (model.inputs[0],), options, PATH),
    ]
    return replace(model, tensors=tensors, operators=[*steps, *model.operators], inputs=[image])
