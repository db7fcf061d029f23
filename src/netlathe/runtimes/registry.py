"""The runtimes by name: those of this package, and those of files that NETLATHE_RUNTIMES names.

There are two sets of names. `bench`, `choose` and `fit` run what has an `open`, by its name. Cards and forecasts know a
runtime by its forecast name, which several ways to run it may share, and by aliases.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from typing import Any

from netlathe.errors import MissingExtra, NetlatheError, unknown
from netlathe.runtimes import litert, microcontrollers, ncnn, onnxruntime, openvino, qnn, tensorrt, tflm, torch
from netlathe.runtimes.base import Open, Runtime
from netlathe.runtimes.fusion import Fusion
from netlathe.trust import refuse_code

LIBRARIES = (onnxruntime, openvino, litert, torch, tensorrt, ncnn, qnn, microcontrollers, tflm)
RUNTIMES: dict[str, Runtime] = {row.name: row for library in LIBRARIES for row in library.RUNTIMES}
DEFAULT = onnxruntime.CPU.name
FILES = "NETLATHE_RUNTIMES"  # the variable: files of further runtimes, separated as in PATH


def register(runtime: Runtime) -> None:
    """Add a runtime, or replace the one of that name.

    Measurements run in processes of their own, so a file outside this package that calls this has to be in
    NETLATHE_RUNTIMES as well, from where every process loads it.
    """
    RUNTIMES[runtime.name] = runtime


def load_file(path: str | Path) -> None:
    """Run a Python file that registers runtimes.

    Raises NetlatheError where there is none, where no code is wanted, and for one that does not run, with the line of
    the file.
    """
    refuse_code(path)
    hint = f"{FILES} names this file: unset it, or name another file"
    spec = spec_from_file_location(f"netlathe_runtime_{Path(path).stem}", path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        message = "this is no Python file, so it can register no runtime"
        raise NetlatheError(message, code="runtime.file", path=str(path), hint=hint)
    module = sys.modules[spec.name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        message = f"this file does not run, so it registers no runtime: {type(error).__name__}: {error}"
        at = f"{path}:{line_of(error, str(spec.origin))}"
        hint = f"{FILES} names this file: mend it, or unset the variable"
        raise NetlatheError(message, code="runtime.file", path=at, hint=hint) from error


def line_of(error: Exception, file: str) -> int:
    """The line of a file at which an error came out of it: of its syntax, or the innermost that was running."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno or 1
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file]
    return (lines[-1] if lines else None) or 1


def runnable() -> dict[str, Runtime]:
    """The runtimes that can run a network, by name."""
    return {name: row for name, row in RUNTIMES.items() if row.open is not None}


def runtime(name: str) -> Runtime:
    """The runtime of that name, to run a network; raises NetlatheError with the legal names."""
    legal = runnable()
    if name not in legal:
        raise unknown("runtime", name, legal, code="bench.runtime")
    return legal[name]


def opener(name: str) -> Open:
    """How the runtime of that name opens a model."""
    open_ = runtime(name).open
    assert open_ is not None, "only runnable runtimes are found"
    return open_


def onnx_runners() -> list[Runtime]:
    """The runtimes that run an ONNX file on the CPU."""
    return [row for row in runnable().values() if row.takes == "onnx" and row.processor == "cpu"]


def precision_help() -> str:
    """The precisions on the CPU, as the help of an option says them: the default, and what some runtimes have."""
    precisions = (precision for r in runnable().values() if r.processor == "cpu" for precision in r.precisions)
    first, *others = dict.fromkeys(precisions)
    return f"{first}, or {' or '.join(others)} where the runtime has it." if others else f"{first}."


def on_gpu() -> set[str]:
    """The names of runtimes that need a CUDA device."""
    return {name for name, row in runnable().items() if row.processor == "cuda"}


def quantising_runtimes() -> list[str]:
    """The names of runtimes with a quantiser."""
    return [name for name, row in runnable().items() if row.quantisers is not None]


def precision_of(name: str, precision: str | None) -> str:
    """The precision, or the runtime's default for None; raises NetlatheError for one that the runtime has not."""
    legal = runtime(name).precisions
    if precision is not None and precision not in legal:
        raise unknown(f"precision of {name}", precision, legal, code="bench.precision")
    return precision or legal[0]


def precisions_of_file(name: str, written: str, runtime_name: str, precision: str | None) -> tuple[str, str]:
    """What is recorded of a file, and what the runtime is pinned to, for a file that is `written` in a precision.

    Raises NetlatheError for a runtime that takes no ONNX file, or a precision that it would not run.
    """
    chosen = runtime(runtime_name)
    readers = onnx_runners()
    if chosen.takes == "torch":
        hint = f"give one of --runtime {', '.join(row.name for row in readers)}"
        message = f"{runtime_name} runs expressions and cannot run an ONNX file"
        raise NetlatheError(message, code="bench.form", path=name, hint=hint)
    integers, plus, floats = written.rpartition("+")
    asked = precision.removeprefix(integers + plus) if precision else None
    if not chosen.as_written:
        pinned = precision_of(runtime_name, asked)
        return integers + plus + pinned, pinned
    if asked not in (None, floats):
        others = [f"--runtime {r.name} pins {' or '.join(r.precisions)}" for r in readers if not r.as_written]
        raise NetlatheError(
            f"{chosen.title} computes in what is written, {written}, not in {precision}",
            code="bench.precision",
            path=name,
            hint=f"{', '.join(others)} whatever the file holds; or convert the file",
        )
    return written, written


def refuse_format(path: str | Path, runtime_name: str) -> None:
    """Raise NetlatheError for a file whose format a runtime does not read."""
    owner, chosen = format_owner(path), runtime(runtime_name)
    if owner is not None and owner.name != runtime_name and not owner.takes == chosen.takes == "tflite":
        message, hint = f"{runtime_name} cannot read a file of {owner.title}", f"--runtime {owner.name}, or model.onnx"
    elif owner is None and chosen.takes == "tflite":
        message = f"{runtime_name} cannot read an ONNX file"
        hint = f"give the expression, which it runs, or --runtime {DEFAULT}"
    else:
        return
    raise NetlatheError(message, code="deploy.form", path=str(path), hint=hint)


def runtime_version(name: str) -> str:
    """The installed version, without importing it; raises MissingExtra where it is not installed."""
    from importlib import metadata  # what starts fast need not know a version

    row = runtime(name)
    try:
        return metadata.version(row.package)
    except metadata.PackageNotFoundError:
        assert row.extra is not None, f"{row.package} is a dependency of netlathe"
        raise MissingExtra(row.package, row.extra) from None


def installed() -> list[str]:
    """The runtimes that can be used here; those of CUDA where the system has its driver."""
    usable = []
    for name, row in runnable().items():
        if row.processor == "cuda" and not Path("/dev/nvidiactl").exists():
            continue
        try:
            runtime_version(name)
        except MissingExtra:
            continue
        usable.append(name)
    return usable


def load_library(name: str) -> Any:
    """Import the library of a runtime."""
    return import_module(runtime(name).module)


def environment() -> dict[str, str]:
    """What runtimes ask to be set before they are imported."""
    return {name: value for row in RUNTIMES.values() for name, value in row.environment.items()}


def format_owner(path: str | Path) -> Runtime | None:
    """The runtime whose own format a file has by its name; None for ONNX."""
    suffix = Path(path).suffix
    return next((r for r in RUNTIMES.values() if r.format is not None and r.format.suffix == suffix), None)


def model_files(model: str) -> tuple[str, ...]:
    """The names of the files that make a model: one of ONNX, with the file of weights where a format has one."""
    owner = format_owner(model)
    weights = owner.own_format.weights_suffix if owner else ""
    return (model, str(Path(model).with_suffix(weights))) if weights else (model,)


def forecast_name(name: str) -> str:
    """The name in cards and forecasts of a runtime or an alias; a name that nobody has comes back as it is."""
    if name in RUNTIMES:
        return RUNTIMES[name].forecast_name
    return next((r.forecast_name for r in RUNTIMES.values() if name in r.aliases), name)


def forecast_names() -> tuple[str, ...]:
    """All names of runtimes in cards and forecasts, each once."""
    return tuple(dict.fromkeys(row.forecast_name for row in RUNTIMES.values()))


def fusion_of(name: str) -> Fusion:
    """The fusion rules of a runtime, a forecast name or an alias. Raises NetlatheError with the legal names."""
    wanted = forecast_name(name)
    for row in RUNTIMES.values():
        if row.forecast_name == wanted:
            return row.fusion
    raise unknown("runtime", name, forecast_names(), code="device.runtime")


def cpu_runner(forecast: str) -> str | None:
    """The runtime that runs what a card calls by its forecast name, on the CPU; None where nothing does."""
    names = (name for name, row in runnable().items() if row.processor == "cpu")
    return next((name for name in names if RUNTIMES[name].forecast_name == forecast), None)


for file in filter(None, os.environ.get(FILES, "").split(os.pathsep)):
    load_file(file)
