"""ONNX Runtime, on the CPU and on a CUDA device. It computes in the precision that is written in the file."""

from __future__ import annotations

from typing import Any

from netlathe.errors import NetlatheError
from netlathe.runtimes.base import INT8_SETS, Infer, Runtime, SessionOptions
from netlathe.runtimes.fusion import fusion
from netlathe.runtimes.quantise import Quantiser

FUSION = fusion(
    "norm.batch scale act.relu act.relu6 act.hardtanh act.leaky_relu act.sigmoid act.tanh act.hardsigmoid add",
    False,
    "https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html; blocks: what is left "
    "as Conv in the optimised graphs of version 1.32 on AVX-512 (session.optimized_model_filepath)",
    reorders=True,
    blocks=(16, 4),
    files=True,
    sums=frozenset({"conv"}),
)


def open_cpu(model: Any, options: SessionOptions) -> Infer:
    """One operator after the other, denormals flushed to zero."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 3
    if options.flush:
        settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    return infer(ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"]))


def open_cuda(model: Any, options: SessionOptions) -> Infer:
    """The first CUDA device; nothing may fall back to the CPU provider silently."""
    import onnxruntime as ort

    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise NetlatheError("this ONNX Runtime has no CUDA provider (package onnxruntime-gpu)", code="bench.no_cuda")
    session = ort.InferenceSession(model, providers=["CUDAExecutionProvider"])
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise NetlatheError("ONNX Runtime did not start its CUDA provider", code="bench.no_cuda")
    return infer(session)


def infer(session: Any) -> Infer:
    """The inference of a session."""
    names = [value.name for value in session.get_inputs()]
    return lambda xs: session.run(None, dict(zip(names, xs, strict=True)))[0]


def quantisers() -> tuple[Quantiser, ...]:
    """Its own static quantisation."""
    from netlathe.runtimes.onnxruntime_quantise import quantise_static

    return (quantise_static,)


def usage(file: str, name: str, pixels: str) -> str:
    """The outputs of a file, in one line of Python."""
    return f'onnxruntime.InferenceSession("{file}").run(None, {{"{name}": {pixels}}})[0]'


CPU = Runtime(
    name="onnxruntime",
    title="ONNX Runtime",
    aliases=("ort",),
    package="onnxruntime",
    module="onnxruntime",
    open=open_cpu,
    accelerated={"int8": INT8_SETS},
    as_written=True,
    fusion=FUSION,
    quantisers=quantisers,
    int8_file="model.int8.onnx",
    usage=usage,
)
CUDA = Runtime(
    name="onnxruntime-cuda",
    title="ONNX Runtime",
    forecast_as="onnxruntime",
    package="onnxruntime",
    module="onnxruntime",
    open=open_cuda,
    as_written=True,
    processor="cuda",
    fusion=FUSION,
)
RUNTIMES = (CPU, CUDA)
