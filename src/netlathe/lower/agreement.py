"""Does an ONNX model compute what its source computes? Asked on one input for which the output is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from netlathe.lower.weights import Array


class OutputProbe(NamedTuple):
    """Inputs for which the output of the source is known."""

    inputs: tuple[NDArray[Any], ...]
    output: Array


def difference(model: bytes, probe: OutputProbe) -> float:
    """max |y - y'| / max |y'| of an ONNX model's output and the probe's; a model of a larger batch sees it repeated."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # one run: waiting costs others more
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    batch = session.get_inputs()[0].shape[0]
    count = batch if isinstance(batch, int) else 2
    feeds = {x.name: np.repeat(values, count, 0) for x, values in zip(session.get_inputs(), probe.inputs, strict=True)}
    y = session.run(None, feeds)[0]
    wanted = np.repeat(probe.output, count, 0)
    if y.shape != wanted.shape:
        return float("inf")
    return float(np.abs(y - wanted).max() / (np.abs(wanted).max() or 1.0))
