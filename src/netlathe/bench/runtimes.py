"""The runtimes that can run an ONNX file, as data. Each is imported only inside a worker process."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import MissingExtra, unknown

Array: TypeAlias = NDArray[np.float32]
Call: TypeAlias = Callable[[Array], Array]  # one inference: the input, the first output


class Runtime(NamedTuple):
    """How a runtime is opened: `open(module, path, threads)` loads a file and gives its call.

    `extra` is the extra of Netlathe that installs `package`; None where Netlathe itself needs it.
    """

    package: str
    module: str
    extra: str | None
    precision: str
    open: Callable[[Any, str, int], Call]


def open_onnxruntime(ort: Any, path: str, threads: int) -> Call:
    """ONNX Runtime on the CPU: one operator after the other, denormals flushed to zero."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


RUNTIMES = {
    "onnxruntime": Runtime("onnxruntime", "onnxruntime", None, "fp32", open_onnxruntime),
}


def runtime(name: str) -> Runtime:
    """The runtime of that name; raises NetlatheError with the legal ones."""
    if name not in RUNTIMES:
        raise unknown("runtime", name, RUNTIMES, code="bench.runtime")
    return RUNTIMES[name]


def runtime_version(name: str) -> str:
    """The installed version, without importing it; raises MissingExtra where it is not installed."""
    found = runtime(name)
    try:
        return metadata.version(found.package)
    except metadata.PackageNotFoundError:
        assert found.extra is not None, f"{found.package} is a dependency of netlathe"
        raise MissingExtra(found.package, found.extra) from None


def load_module(name: str) -> Any:
    """Import a runtime."""
    return import_module(runtime(name).module)


def environment(threads: int) -> dict[str, str]:
    """What must be in the environment before a numeric library is imported: its number of threads."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return dict.fromkeys(pools, str(threads))
