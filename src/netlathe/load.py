"""A network from what people type: a zoo name, file.py:function, arch.json, model.onnx, or the folder of a package.

load_any() gives what a text names, of any kind (`arch.net`); load() the expressions alone.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netlathe import zoo
from netlathe.arch.net import Net
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.errors import NetlatheError, unknown
from netlathe.files import is_file, open_file, read_text
from netlathe.read.module import IMAGE, ForeignModule, InputShape
from netlathe.trust import refuse_code
from netlathe.units import read_digits

LONGEST = 15  # digits of a choice
LONGEST_NAME = 4096  # characters of a name or path
WEIGHTS = (".pt", ".pth", ".pkl", ".ckpt", ".bin", ".safetensors")


def load(text: str) -> list[Network]:
    """The expressions that a text names; more than one for a zoo pattern such as resnet*.

    A zoo name may change free choices: mobilenetv1:alpha=0.5,resolution=160. Raises NetlatheError.
    """
    return [net.expression() for net in load_any(text)]


def load_any(text: str, inputs: Sequence[InputShape] = (), resolution: int | None = None) -> list[Net]:
    """The networks that a text names, for other inputs or square images of another size.

    resnet50@160 is resnet50 for images of 160 pixels, as tables name it. Raises NetlatheError.
    """
    if len(text) > LONGEST_NAME:
        message = f"no network has a name of {len(text):,} characters"
        raise NetlatheError(message, code="zoo.unknown_name", hint=f"names and paths have at most {LONGEST_NAME:,}")
    text, pixels = split_resolution(text)
    if pixels is not None and (inputs or resolution not in (None, pixels)):
        hint = f"leave out @{pixels}, or the option"
        raise NetlatheError(f"{text}@{pixels} and an option give the input twice", code="load.choice", hint=hint)
    resolution = pixels if pixels is not None else resolution
    if text.endswith(WEIGHTS):
        raise NetlatheError(
            "this file holds weights (or a pickle, which could run anything), not a network",
            code="load.weights",
            path=text,
            hint="give file.py:function for the network; weights go to --weights",
        )
    asked = tuple(inputs) or ((InputShape((3, resolution, resolution)),) if resolution is not None else ())
    if text.endswith(".onnx"):
        from netlathe.read.onnx_file import OnnxFile

        open_file(text).close()  # the error for a file that is not there, or none
        return [OnnxFile(text, Path(text), tuple(one.shape for one in asked))]
    if is_package(text) or is_own_format(text):
        from netlathe.deploy.session import model_file

        return [model_file(text).renamed(text)]
    file, _, function = text.rpartition(":")
    if file.endswith(".py"):
        net = from_python(Path(file), function, asked)
        return [reshaped(net, inputs, resolution) if isinstance(net, Network) else net]
    return [reshaped(network, inputs, resolution) for network in expressions(text)]


def split_resolution(text: str) -> tuple[str, int | None]:
    """resnet50@160 -> resnet50, 160; a path may have an @ of its own. Raises NetlatheError for resnet50@big."""
    name, sign, size = text.rpartition("@")
    if not sign or not name or set("./\\:") & set(size) or Path(text).exists():
        return text, None
    pixels = read_digits(size)
    if pixels is None:
        raise NetlatheError(f"{text!r} has no resolution after the @", code="load.choice", hint="write resnet50@160")
    return name, pixels


def is_package(text: str) -> bool:
    """Whether this is the folder of a deployed network, and no name of the zoo."""
    return is_file(Path(text) / "package.json") and text not in zoo.names()


def is_own_format(text: str) -> bool:
    """Whether this is a file in a runtime's own format, such as OpenVINO's model.xml."""
    if text.endswith((".json", ".py")) or not is_file(Path(text)):
        return False
    from netlathe.runtimes.registry import format_owner

    return format_owner(text) is not None


def reshaped(network: Network, inputs: Sequence[InputShape], resolution: int | None) -> Network:
    """The same expression for other inputs, or for square images of another size."""
    if inputs:
        first, *more = (one.shape for one in inputs)
        network = replace(network, input=first, more=tuple(more))
    return network.at(resolution)


def expressions(text: str) -> Sequence[Network]:
    """What an arch.json, a zoo name or a pattern names."""
    if text.endswith(".json"):
        from netlathe.arch.document import from_json

        return [from_json(read_text(Path(text)), source=text)]
    if text.endswith(".py"):
        hint = f"say which function makes the network: {text}:my_network"
        raise NetlatheError("a Python file needs a function", code="load.no_function", path=text, hint=hint)
    if any(sign in text for sign in "*?["):
        names = zoo.names(text)
        if not names:
            raise unknown("pattern", text, zoo.names(), code="zoo.unknown_name")
        return [zoo.get(name) for name in names]
    name, _, choices = text.partition(":")
    return [zoo.get(name, **parse_choices(choices, text))]


def parse_choices(text: str, source: str) -> dict[str, Any]:
    """alpha=0.5,resolution=160 as keyword arguments."""
    changes: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, sign, value = part.partition("=")
        if not sign or not key.isidentifier() or not value:
            hint = f"write {source.partition(':')[0]}:alpha=0.5,resolution=160"
            raise NetlatheError(f"{part!r} is not a choice", code="load.choice", path=source, hint=hint)
        if key in changes:
            hint = f"give {key} one value"
            raise NetlatheError(f"the choice {key} stands more than once", code="load.choice", path=source, hint=hint)
        changes[key] = parse_value(value, source)
    return changes


def parse_value(text: str, source: str) -> int | float | bool | str:
    """A word as a whole number, a number, a truth, or itself. Raises NetlatheError for a number that none can be."""
    if text in ("true", "false"):
        return text == "true"
    if len(text) > LONGEST and text.lstrip("+-").replace("_", "").isdecimal():
        message = f"a number of {len(text)} digits is too large to be a choice"
        raise NetlatheError(message, code="load.choice", path=source.partition(":")[0])
    for cast in (int, float):
        try:
            return cast(text)
        except ValueError:
            continue
    return text


def function_of(file: Path, function: str) -> Callable[..., Any]:
    """A function of a Python file, which is run for that. Raises NetlatheError where it does not run or lacks it.

    With NETLATHE_NO_CODE in the environment no file is run.
    """
    refuse_code(file)
    read_text(file)  # the error for an unreadable file, before Python's own
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if (folder := str(file.parent.resolve())) not in sys.path:
        sys.path.append(folder)  # it may import its neighbours; last, so that none stands for what is installed
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        message = f"this file does not run: {type(error).__name__}: {error}"
        raise NetlatheError(message, code="load.broken_file", path=str(file)) from error
    functions: dict[str, Callable[..., Any]] = {name: f for name, f in vars(module).items() if callable(f)}
    if function not in functions:
        local = [name for name, f in functions.items() if getattr(f, "__module__", "") == file.stem]
        raise unknown("function", function, local, code="load.unknown_function", path=str(file))
    return functions[function]


def call_function(file: Path, function: str) -> Any:
    """What a function of a Python file returns. Raises NetlatheError where it fails."""
    make = function_of(file, function)
    try:
        return make()
    except NetlatheError as error:
        raise NetlatheError(f"{function}() fails: {error}", code="load.broken_function", path=str(file)) from error
    except (Exception, SystemExit) as error:
        message = f"{function}() fails: {type(error).__name__}: {error}"
        raise NetlatheError(message, code="load.broken_function", path=str(file)) from error


def from_python(file: Path, function: str, inputs: tuple[InputShape, ...] = ()) -> Network | ForeignModule:
    """What a function of a Python file returns: a Network, or an expression or a torch module for 3x224x224 images."""
    result = call_function(file, function)
    if isinstance(result, Node):
        return Network(function, result)
    if "torch" in sys.modules and isinstance(result, sys.modules["torch"].nn.Module):
        return ForeignModule(function, result, inputs or (IMAGE,))
    if not isinstance(result, Network):
        message = f"{function}() returned {type(result).__name__}, not an expression, a Network or a torch module"
        raise NetlatheError(message, code="load.not_a_network", path=str(file))
    return result
