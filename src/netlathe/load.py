"""A network from what people type: a zoo name, file.py:function, arch.json, or model.onnx.

load() gives expressions; load_any() also what was read from a torch module or an ONNX file, which can only be counted.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.arch.node import Node, Shape
from netlathe.errors import NetlatheError, unknown
from netlathe.read.found import Found

Net: TypeAlias = Network | Found
WEIGHTS = (".pt", ".pth", ".pkl", ".ckpt", ".bin", ".safetensors")

TYPES = ("bool", "uint8", "int32", "int64", "bfloat16", "float16", "float32", "float64")  # of an input


class InputShape(NamedTuple):
    """An input as people give it, without the batch axis; `type` is torch's name where it is no float."""

    shape: Shape
    type: str = ""


def load(text: str) -> list[Network]:
    """The expressions that a text names; more than one for a zoo pattern such as resnet*.

    A zoo name may change free choices: mobilenetv1:alpha=0.5,resolution=160. Raises NetlatheError.
    """
    return list(map(expression, load_any(text)))


def expression(net: Net) -> Network:
    """The network itself. Raises NetlatheError for one that was only read."""
    if isinstance(net, Found):
        raise NetlatheError(
            f"{net.name} was read from a file: it has operators, but no expression to write, change or run",
            code="load.no_expression",
            hint="netlathe cost and netlathe compare --no-latency count it, netlathe bench times an ONNX file; "
            "the rest needs a zoo name, an arch.json or "
            "a function that returns an expression",
        )
    return net


def load_any(text: str, inputs: Sequence[InputShape] = (), resolution: int | None = None) -> list[Net]:
    """The networks that a text names, for other inputs or square images of another size. Raises NetlatheError."""
    if text.endswith(WEIGHTS):
        raise NetlatheError(
            "this file holds weights (or a pickle, which could run anything), not a network",
            code="load.weights",
            path=text,
            hint="give file.py:function for the network; weights go to --weights",
        )
    given = tuple(inputs) or ((InputShape((3, resolution, resolution)),) if resolution is not None else ())
    found = loaded(text, given)
    return [net if isinstance(net, Found) else fed(net, inputs).at(resolution) for net in found]


def fed(network: Network, inputs: Sequence[InputShape]) -> Network:
    """The same expression for other inputs."""
    if not inputs:
        return network
    first, *more = (given.shape for given in inputs)
    return replace(network, input=first, more=tuple(more))


def loaded(text: str, inputs: tuple[InputShape, ...]) -> Sequence[Net]:
    """What a text names; `inputs` are for torch modules and ONNX files."""
    if text.endswith(".json"):
        from netlathe.arch.document import from_json

        return [from_json(read(Path(text)), source=text)]
    if text.endswith(".onnx"):
        from netlathe.read.onnx import read_onnx

        return [Found(text, read_onnx(text, *(given.shape for given in inputs)), file=text)]
    file, _, function = text.rpartition(":")
    if file.endswith(".py"):
        return [from_python(Path(file), function, inputs)]
    if text.endswith(".py"):
        hint = f"say which function makes the network: {text}:my_network"
        raise NetlatheError("a Python file needs a function", code="load.no_function", path=text, hint=hint)
    if any(sign in text for sign in "*?["):
        found = zoo.names(text)
        if not found:
            raise unknown("pattern", text, zoo.names(), code="zoo.unknown_name")
        return [zoo.get(name) for name in found]
    name, _, choices = text.partition(":")
    return [zoo.get(name, **pairs(choices, text))]


def read(path: Path) -> str:
    """The text of a file. Raises NetlatheError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not text"
        raise NetlatheError(f"cannot read this file: {said}", code="file.unreadable", path=str(path)) from None


def pairs(text: str, source: str) -> dict[str, Any]:
    """alpha=0.5,resolution=160 as keyword arguments."""
    changes: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, sign, value = part.partition("=")
        if not sign or not key.isidentifier() or not value:
            hint = f"write {source.partition(':')[0]}:alpha=0.5,resolution=160"
            raise NetlatheError(f"{part!r} is not a choice", code="load.choice", path=source, hint=hint)
        changes[key] = number(value)
    return changes


def number(text: str) -> int | float | bool | str:
    """A word as a whole number, a number, a truth, or itself."""
    if text in ("true", "false"):
        return text == "true"
    for cast in (int, float):
        try:
            return cast(text)
        except ValueError:
            continue
    return text


def function_of(file: Path, function: str) -> Callable[..., Any]:
    """A function of a Python file, which is run for that. Raises NetlatheError where it does not run or lacks it."""
    read(file)  # the error for an unreadable file, before Python's own
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        message = f"this file does not run: {type(error).__name__}: {error}"
        raise NetlatheError(message, code="load.broken_file", path=str(file)) from error
    functions: dict[str, Callable[..., Any]] = {name: f for name, f in vars(module).items() if callable(f)}
    if function not in functions:
        local = [name for name, f in functions.items() if getattr(f, "__module__", "") == file.stem]
        raise unknown("function", function, local, code="load.unknown_function", path=str(file))
    return functions[function]


def made_by(file: Path, function: str) -> Any:
    """What a function of a Python file returns. Raises NetlatheError where it fails."""
    make = function_of(file, function)
    try:
        return make()
    except NetlatheError as error:
        raise NetlatheError(f"{function}() fails: {error}", code="load.broken_function", path=str(file)) from error
    except Exception as error:
        message = f"{function}() fails: {type(error).__name__}: {error}"
        raise NetlatheError(message, code="load.broken_function", path=str(file)) from error


def from_python(file: Path, function: str, inputs: tuple[InputShape, ...] = ()) -> Net:
    """What a function of a Python file returns: a Network, or an expression or a torch module for 3x224x224 images."""
    made = made_by(file, function)
    if isinstance(made, Node):
        return Network(function, made)
    if "torch" in sys.modules and isinstance(made, sys.modules["torch"].nn.Module):
        return from_module(function, made, inputs)
    if not isinstance(made, Network):
        message = f"{function}() returned {type(made).__name__}, not an expression, a Network or a torch module"
        raise NetlatheError(message, code="load.not_a_network", path=str(file))
    return made


def from_module(name: str, module: Any, inputs: tuple[InputShape, ...]) -> Found:
    """A torch module, counted by its forward."""
    import torch

    from netlathe.read.torch import read_module

    def tensor(given: InputShape) -> Any:
        if given.type not in TYPES:
            raise unknown("type of an input", given.type, TYPES, code="load.input")
        return torch.empty((1, *given.shape), dtype=getattr(torch, given.type), device="meta")

    given = inputs or (InputShape((3, 224, 224)),)
    reading = read_module(module, *(tensor(one) if one.type else one.shape for one in given))
    return Found(name, reading.graph, notes(reading.uncalled))


def notes(uncalled: dict[str, Shape]) -> tuple[str, ...]:
    """What the graph of a module does not say, for the user."""
    if not uncalled:
        return ()
    owners = sorted({name.partition(".")[0] for name in uncalled})
    count = sum(prod(shape) for shape in uncalled.values())
    return (f"{count:,} params are not counted, for the forward never uses them: {', '.join(owners)}",)
