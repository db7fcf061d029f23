"""load(): a network from what people type: a zoo name, file.py:function, or arch.json."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.errors import NetlatheError, unknown


def load(text: str) -> list[Network]:
    """The networks that a text names; more than one for a zoo pattern such as resnet*.

    A zoo name may change free choices: mobilenetv1:alpha=0.5,resolution=160. Raises NetlatheError.
    """
    if text.endswith(".json"):
        from netlathe.arch.document import from_json

        return [from_json(read(Path(text)), source=text)]
    if text.endswith(".onnx"):
        raise NetlatheError(
            "reading ONNX files is not built yet", code="load.onnx", path=text, hint="give a zoo name or an arch.json"
        )
    file, _, function = text.rpartition(":")
    if file.endswith(".py"):
        return [from_python(Path(file), function)]
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


def from_python(file: Path, function: str) -> Network:
    """The network that a function of a Python file returns: a Network, or an expression for 3x224x224 images."""
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
    functions: dict[str, Callable[[], Any]] = {name: f for name, f in vars(module).items() if callable(f)}
    if function not in functions:
        local = [name for name, f in functions.items() if getattr(f, "__module__", "") == file.stem]
        raise unknown("function", function, local, code="load.unknown_function", path=str(file))
    try:
        made = functions[function]()
    except (ValueError, TypeError) as error:
        raise NetlatheError(f"{function}() fails: {error}", code="load.broken_function", path=str(file)) from error
    if isinstance(made, Node):
        return Network(function, made)
    if not isinstance(made, Network):
        message = f"{function}() returned {type(made).__name__}, not an expression or a Network"
        raise NetlatheError(message, code="load.not_a_network", path=str(file))
    return made
