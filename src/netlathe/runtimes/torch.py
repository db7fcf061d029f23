"""torch: eager, compiled by Inductor, and eager on a CUDA device. It takes torch modules, not files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netlathe.errors import NetlatheError
from netlathe.runtimes.base import Infer, Runtime, SessionOptions
from netlathe.runtimes.fusion import fusion

if TYPE_CHECKING:
    from netlathe.runtimes.base import Array

PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # torch's names
CPU_PRECISIONS = ("fp32", "bf16")
EAGER_FUSION = fusion("", False, "eager: every operator is a call")


def open_eager(model: Any, options: SessionOptions) -> Infer:
    """Eager mode on the CPU."""
    return infer(prepare(model, options), options)


def open_compiled(model: Any, options: SessionOptions) -> Infer:
    """torch.compile with Inductor."""
    import torch

    return infer(torch.compile(prepare(model, options)), options)


def open_cuda(model: Any, options: SessionOptions) -> Infer:
    """Eager mode on the first CUDA device; a call waits for its result, copies included."""
    import torch

    if not torch.cuda.is_available():
        raise NetlatheError("torch sees no CUDA device here", code="bench.no_cuda")
    module, kind = prepare(model, options).to("cuda"), dtype(options.precision)

    def infer(xs: list[Array]) -> Array:
        with torch.inference_mode():
            ys = [torch.from_numpy(x).to("cuda") for x in xs]
            result: Array = module(*(y.to(kind) if y.is_floating_point() else y for y in ys)).float().cpu().numpy()
        return result

    return infer


def prepare(module: Any, options: SessionOptions) -> Any:
    """The module channels last and in the precision, with torch's threads pinned."""
    import torch

    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(options.flush)
    return module.to(dtype(options.precision), memory_format=torch.channels_last)


def infer(module: Any, options: SessionOptions) -> Infer:
    """The inference of a module: arrays in, array out."""
    import torch

    kind = dtype(options.precision)

    def tensor(x: Array) -> Any:
        y = torch.from_numpy(x)
        y = y.to(kind) if y.is_floating_point() else y
        return y.to(memory_format=torch.channels_last) if y.dim() == 4 else y

    def call(xs: list[Array]) -> Array:
        with torch.inference_mode():
            y: Array = module(*map(tensor, xs)).float().numpy()
        return y

    return call


def dtype(precision: str) -> Any:
    """torch's type of a precision."""
    import torch

    return getattr(torch, PRECISIONS[precision])


EAGER = Runtime(
    name="torch",
    title="torch",
    aliases=("eager",),
    package="torch",
    module="torch",
    extra="train",
    takes="torch",
    precisions=CPU_PRECISIONS,
    open=open_eager,
    fusion=EAGER_FUSION,
)
COMPILED = replace(
    EAGER,
    name="torch-compiled",
    title="torch.compile",
    forecast_as="torch-compile",
    aliases=("compiled",),
    open=open_compiled,
    fusion=fusion("", True, "Inductor fuses element-wise operators and norms, beside library products"),
)
CUDA = replace(
    EAGER,
    name="torch-cuda",
    title="torch on CUDA",
    forecast_as="torch",
    aliases=(),
    precisions=tuple(PRECISIONS),
    processor="cuda",
    open=open_cuda,
)
RUNTIMES = (EAGER, COMPILED, CUDA)
