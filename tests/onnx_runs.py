"""ONNX files run on images, and compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from netlathe.arch.inputs import batched
from netlathe.arch.node import Shape

MAP, TOKENS, ROW, GRID = (6, 11, 14), (5, 8), (24,), (1, 5, 4, 8)


def session(model: onnx.ModelProto | bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model if isinstance(model, bytes) else model.SerializeToString(), options)


def image(shape: Shape, batch: int = 2) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(7).standard_normal(batched(shape, batch)).astype(np.float32) * 2


def relative_error(y: Any, wanted: Any) -> float:
    y, wanted = np.asarray(y), np.asarray(wanted)
    assert y.shape == wanted.shape
    return float(np.abs(y - wanted).max() / np.abs(wanted).max())
