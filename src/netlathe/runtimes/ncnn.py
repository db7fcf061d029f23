"""ncnn: forecast by its fusion rules, on CPUs and by Vulkan on GPUs; nothing here runs it."""

from __future__ import annotations

from netlathe.runtimes.base import Runtime
from netlathe.runtimes.fusion import fusion

FUSION = fusion(
    "norm.batch scale act.relu act.relu6 act.leaky_relu act.sigmoid act.hardswish act.hardsigmoid",
    False,
    "https://github.com/Tencent/ncnn/blob/master/tools/ncnnoptimize.cpp",
)
RUNTIMES = (
    Runtime(name="ncnn", title="ncnn", fusion=FUSION),
    Runtime(name="ncnn-vulkan", title="ncnn, Vulkan", fusion=FUSION),
)
