"""TensorFlow Lite Micro on this machine: what an int8 file computes on a microcontroller, and in what memory.

Its reference kernels give the numbers that a microcontroller gives; how long they take here says nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlathe.errors import NetlatheError
from netlathe.runtimes.base import Infer, Runtime, SessionOptions
from netlathe.runtimes.litert import LITERT, fitted, quantisers

if TYPE_CHECKING:
    from netlathe.runtimes.base import Array

LARGEST_ARENA = 256 * 2**20  # bytes that are offered to a file


def open_reference(model: Any, options: SessionOptions) -> Infer:
    """The file in the reference interpreter. Raises NetlatheError for an operator that it lacks."""
    return open_in(model, LARGEST_ARENA)


def open_in(model: Any, arena: int) -> Infer:
    """The same in an arena of so many bytes. Raises NetlatheError where the file does not run there."""
    import numpy as np
    from tflite_micro.python.tflite_micro import runtime

    try:
        interpreter = runtime.Interpreter.from_file(str(model), arena_size=arena)
        about, result = interpreter.get_input_details(0), interpreter.get_output_details(0)
    except Exception as error:  # it tells what is wrong on the output of the process, and raises RuntimeError
        message = f"TensorFlow Lite Micro does not run this file in {arena:,} bytes"
        raise NetlatheError(message, code="tflm.arena", path=str(model), hint=first_line(error)) from None
    scales, zeros = (result["quantization_parameters"][name] for name in ("scales", "zero_points"))

    def infer(xs: list[Array]) -> Array:
        outputs = []
        for i in range(len(xs[0])):
            interpreter.set_input(fitted(xs[0][i : i + 1], about["dtype"]), 0)
            interpreter.invoke()
            y = interpreter.get_output(0)
            outputs.append((y.astype(np.float32) - zeros[0]) * scales[0] if len(scales) else np.array(y))
        return np.concatenate(outputs)

    return infer


def first_line(error: Exception) -> str:
    """What it says, in a line."""
    return next(iter(re.split(r"\n+", str(error).strip())), type(error).__name__)


def run_in(model: Path, arena: int) -> None:
    """Run a file once on zeros in an arena of so many bytes. One that is too small may end the process."""
    import numpy as np
    from tflite_micro.python.tflite_micro import runtime

    about = runtime.Interpreter.from_file(str(model), arena_size=LARGEST_ARENA).get_input_details(0)
    open_in(model, arena)([np.zeros(about["shape"], about["dtype"])])


TFLM = Runtime(
    name="tflm",
    title="TensorFlow Lite Micro, reference kernels",
    aliases=("tflite-micro",),
    package="tflite-micro",
    module="tflite_micro.python.tflite_micro.runtime",
    extra="tflm",
    open=open_reference,
    takes="tflite",
    precisions=("int8",),
    as_written=True,
    processor="microcontroller",
    fusion=LITERT.fusion,
    quantisers=quantisers,
    float_file="model.float.tflite",
    int8_file="model.tflite",
    judged_by=LITERT.name,
)
RUNTIMES = (TFLM,)
