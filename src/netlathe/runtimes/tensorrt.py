"""TensorRT: forecast by its fusion rules; nothing here runs it."""

from __future__ import annotations

from netlathe.runtimes.base import Runtime
from netlathe.runtimes.fusion import fusion

RUNTIMES = (
    Runtime(
        name="tensorrt",
        title="TensorRT",
        fusion=fusion(
            "norm.batch scale act add mul map position",
            True,
            "https://docs.nvidia.com/deeplearning/tensorrt/latest/performance/best-practices.html",
        ),
    ),
)
