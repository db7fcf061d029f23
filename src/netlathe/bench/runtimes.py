"""The runtimes that can run a network, as data. Each is imported only inside a worker process.

Precision is always pinned and read back where the runtime tells it: OpenVINO takes bf16 by itself on processors that
have it, and would be measured as fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra, NetlatheError, unknown

Array: TypeAlias = NDArray[Any]
Infer: TypeAlias = Callable[[list[Array]], Array]  # one inference: the inputs, the first output


class SessionOptions(NamedTuple):
    """What a runtime is opened with; `path` is a file of its `form`."""

    path: str
    threads: int
    precision: str
    seed: int = 0
    flush: bool = True  # denormal numbers count as zero, in all of this process from then on


class Runtime(NamedTuple):
    """How a runtime is opened: `open(module, setting)` loads a file and gives its call.

    `form` is what it reads: an ONNX file, or the arch.json of which it makes a torch module with random weights.
    `extra` is the extra of Netlathe that installs `package`; None where Netlathe itself needs it. The first of
    `precisions` is the default.
    """

    package: str
    module: str
    extra: str | None
    form: str
    precisions: tuple[str, ...]
    open: Callable[[Any, SessionOptions], Infer]


def open_onnxruntime(ort: Any, setting: SessionOptions) -> Infer:
    """ONNX Runtime on the CPU: one operator after the other, denormals flushed to zero."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    if setting.flush:
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = ort.InferenceSession(setting.path, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda xs: session.run(None, dict(zip(names, xs, strict=True)))[0]


def open_openvino(ov: Any, setting: SessionOptions) -> Infer:
    """OpenVINO on the CPU: one stream, for latency. Raises NetlatheError where it would run another precision."""
    wanted = {"fp32": "f32", "bf16": "bf16"}[setting.precision]
    properties = {
        "INFERENCE_PRECISION_HINT": wanted,
        "INFERENCE_NUM_THREADS": setting.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "CPU_DENORMALS_OPTIMIZATION": True,
    }
    compiled = ov.Core().compile_model(setting.path, "CPU", properties)
    executed = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if executed != wanted:
        raise NetlatheError(f"OpenVINO runs {executed} on this processor, not {wanted}", code="bench.precision")
    request = compiled.create_infer_request()

    def call(xs: list[Array]) -> Array:
        request.infer(dict(enumerate(xs)))
        return np.asarray(request.get_output_tensor(0).data)

    return call


def torch_module(torch: Any, setting: SessionOptions) -> Any:
    """The network as a torch module for inference, channels last, in the precision."""
    from netlathe.arch.document import from_json
    from netlathe.lower.torch import to_torch

    torch.set_num_threads(setting.threads)
    torch.set_flush_denormal(True)
    model: Any = to_torch(from_json(Path(setting.path).read_text()), seed=setting.seed).eval()
    return model.to(
        {"fp32": torch.float32, "bf16": torch.bfloat16}[setting.precision], memory_format=torch.channels_last
    )


def open_torch(torch: Any, setting: SessionOptions) -> Infer:
    """torch in eager mode."""
    return torch_call(torch, torch_module(torch, setting), setting.precision)


def open_compiled(torch: Any, setting: SessionOptions) -> Infer:
    """torch.compile with Inductor."""
    return torch_call(torch, torch.compile(torch_module(torch, setting)), setting.precision)


def torch_call(torch: Any, model: Any, precision: str) -> Infer:
    """The call of a module: arrays in, array out."""
    kind = torch_type(torch, precision)

    def tensor(x: Array) -> Any:
        y = torch.from_numpy(x)
        y = y.to(kind) if y.is_floating_point() else y
        return y.to(memory_format=torch.channels_last) if y.dim() == 4 else y

    def call(xs: list[Array]) -> Array:
        with torch.inference_mode():
            y: Array = model(*map(tensor, xs)).float().numpy()
        return y

    return call


def open_cuda(torch: Any, setting: SessionOptions) -> Infer:
    """torch in eager mode on the first CUDA device; a call waits for its result, copies included."""
    if not torch.cuda.is_available():
        raise NetlatheError("torch sees no CUDA device here", code="bench.no_cuda")
    model = torch_module(torch, setting).to("cuda")
    kind = torch_type(torch, setting.precision)

    def call(xs: list[Array]) -> Array:
        with torch.inference_mode():
            ys = [torch.from_numpy(x).to("cuda") for x in xs]
            result: Array = model(*(y.to(kind) if y.is_floating_point() else y for y in ys)).float().cpu().numpy()
        return result

    return call


def open_onnxruntime_cuda(ort: Any, setting: SessionOptions) -> Infer:
    """ONNX Runtime on the first CUDA device; nothing may fall back to the CPU provider silently."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise NetlatheError("this ONNX Runtime has no CUDA provider (package onnxruntime-gpu)", code="bench.no_cuda")
    session = ort.InferenceSession(setting.path, providers=["CUDAExecutionProvider"])
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise NetlatheError("ONNX Runtime did not start its CUDA provider", code="bench.no_cuda")
    names = [given.name for given in session.get_inputs()]
    return lambda xs: session.run(None, dict(zip(names, xs, strict=True)))[0]


def torch_type(torch: Any, precision: str) -> Any:
    """torch's name of a precision."""
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


RUNTIMES = {
    "onnxruntime": Runtime("onnxruntime", "onnxruntime", None, "onnx", ("fp32",), open_onnxruntime),
    "openvino": Runtime("openvino", "openvino", "openvino", "onnx", ("fp32", "bf16"), open_openvino),
    "torch": Runtime("torch", "torch", "train", "arch", ("fp32", "bf16"), open_torch),
    "torch-compiled": Runtime("torch", "torch", "train", "arch", ("fp32", "bf16"), open_compiled),
    "torch-cuda": Runtime("torch", "torch", "train", "arch", ("fp32", "bf16", "fp16"), open_cuda),
    "onnxruntime-cuda": Runtime("onnxruntime", "onnxruntime", None, "onnx", ("fp32",), open_onnxruntime_cuda),
}
CUDA = frozenset(name for name in RUNTIMES if name.endswith("-cuda"))


def runtime(name: str) -> Runtime:
    """The runtime of that name; raises NetlatheError with the legal ones."""
    if name not in RUNTIMES:
        raise unknown("runtime", name, RUNTIMES, code="bench.runtime")
    return RUNTIMES[name]


def precision_of(name: str, precision: str | None) -> str:
    """The precision, or the runtime's default for None; raises NetlatheError for one that the runtime has not."""
    legal = runtime(name).precisions
    if precision is not None and precision not in legal:
        raise unknown(f"precision of {name}", precision, legal, code="bench.precision")
    return precision or legal[0]


def precisions_of_file(name: str, written: str, runtime_name: str, precision: str | None) -> tuple[str, str]:
    """What is recorded of a file, and what the runtime is pinned to, for a file that is `written` in a precision.

    OpenVINO converts floats, ONNX Runtime runs what is written. Raises NetlatheError for a runtime that reads no ONNX
    file, or a precision that it would not run.
    """
    if runtime(runtime_name).form != "onnx":
        able = [other for other, found in RUNTIMES.items() if found.form == "onnx"]
        hint = f"give one of --runtime {', '.join(other for other in able if other not in CUDA)}"
        message = f"{runtime_name} runs expressions and cannot run an ONNX file"
        raise NetlatheError(message, code="bench.form", path=name, hint=hint)
    integers, plus, floats = written.rpartition("+")
    asked = precision.removeprefix(integers + plus) if precision else None
    if not runtime_name.startswith("onnxruntime"):
        told = precision_of(runtime_name, asked)
        return integers + plus + told, told
    if asked not in (None, floats):
        raise NetlatheError(
            f"ONNX Runtime computes in what is written, {written}, not in {precision}",
            code="bench.precision",
            path=name,
            hint="--runtime openvino pins fp32 or bf16 whatever the file holds; or convert the file",
        )
    return written, written


def runtime_version(name: str) -> str:
    """The installed version, without importing it; raises MissingExtra where it is not installed."""
    found = runtime(name)
    try:
        return metadata.version(found.package)
    except metadata.PackageNotFoundError:
        assert found.extra is not None, f"{found.package} is a dependency of netlathe"
        raise MissingExtra(found.package, found.extra) from None


def installed() -> list[str]:
    """The runtimes that can be used here; those of CUDA where the system has its driver."""
    found = []
    for name in RUNTIMES:
        if name in CUDA and not Path("/dev/nvidiactl").exists():
            continue
        try:
            runtime_version(name)
        except MissingExtra:
            continue
        found.append(name)
    return found


def load_module(name: str) -> Any:
    """Import a runtime."""
    return import_module(runtime(name).module)
