"""Qualcomm's NPUs: forecast by the fusion rules of their graph compiler, which three runtimes call; none runs here."""

from __future__ import annotations

from netlathe.runtimes.base import Runtime
from netlathe.runtimes.fusion import fusion

FUSION = fusion("norm.batch scale act", True, "https://docs.qualcomm.com/bundle/publicresource/topics/80-63442-50")
RUNTIMES = (
    Runtime(name="qnn", title="Qualcomm AI Engine Direct", aliases=("qnn_dlc", "qnn-dlc"), fusion=FUSION),
    Runtime(name="tflite-npu", title="LiteRT, Qualcomm delegate", aliases=("litert-npu",), fusion=FUSION),
    Runtime(name="onnxruntime-npu", title="ONNX Runtime, QNN", aliases=("onnxruntime-qnn",), fusion=FUSION),
)
