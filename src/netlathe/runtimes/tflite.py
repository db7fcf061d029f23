"""LiteRT, formerly TensorFlow Lite: forecast by its fusion rules; nothing here runs it."""

from __future__ import annotations

from netlathe.runtimes.base import Runtime
from netlathe.runtimes.fusion import fusion

LITERT = Runtime(
    name="tflite",
    title="LiteRT",
    aliases=("litert",),
    fusion=fusion(
        "norm.batch scale act.relu act.relu6 act.hardtanh",
        False,
        "https://ai.google.dev/edge/litert/models/ops_compatibility",
    ),
)
RUNTIMES = (LITERT,)
