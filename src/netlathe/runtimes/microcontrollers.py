"""Runtimes of microcontrollers: forecast by the fusion rules of int8 TensorFlow Lite files; nothing here runs them."""

from __future__ import annotations

from netlathe.runtimes.base import Runtime
from netlathe.runtimes.litert import LITERT

RUNTIMES = tuple(
    Runtime(name=name, title=title, aliases=aliases, fusion=LITERT.fusion, precisions=("int8",))
    for name, title, aliases in (
        ("tinyengine", "TinyEngine", ()),
        ("x-cube-ai", "STM32Cube.AI", ("stm32cube.ai", "stedgeai")),
        ("cmsis-nn", "TensorFlow Lite Micro, CMSIS-NN", ("tflm-cmsis-nn",)),
    )
)
