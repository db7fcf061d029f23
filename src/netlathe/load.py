"""A network from what people type: zoo name, timm:NAME, file.py:name, package.module:name, arch.json, model.onnx.

load_any() gives what a text names, of any kind (`arch.net`); load() the expressions alone.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netlathe import zoo
from netlathe.arch.net import Net
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.catalogue.weights import PREFIX
from netlathe.code_name import ObjectName, split_name
from netlathe.errors import NetlatheError, unknown
from netlathe.files import is_file, open_file, read_text
from netlathe.project import call, is_importable
from netlathe.read.buildable import BuildableModule, is_module_document
from netlathe.read.buildable import from_document as module_of_document
from netlathe.read.code_source import CodeSource
from netlathe.read.example import Example
from netlathe.read.module import InputShape
from netlathe.read.module_sources import library_source
from netlathe.units import read_digits

LONGEST = 15  # digits of a choice
LONGEST_NAME = 4096  # characters of a name or path
WEIGHTS = (".pt", ".pth", ".pkl", ".ckpt", ".bin", ".safetensors")


def load(text: str) -> list[Network]:
    """The expressions that a text names; more than one for a zoo pattern such as resnet*.

    A zoo name may change free choices: mobilenetv1:alpha=0.5,resolution=160. Raises NetlatheError.
    """
    return [net.expression() for net in load_any(text)]


def load_any(
    text: str, inputs: Sequence[InputShape] = (), resolution: int | None = None, example: Example | None = None
) -> list[Net]:
    """The networks that a text names, for other inputs or square images of another size.

    resnet50@160 is resnet50 for images of 160 pixels, as tables name it. An `example` of what its forward is called
    with is for a torch module alone. Raises NetlatheError.
    """
    if len(text) > LONGEST_NAME:
        message = f"no network has a name of {len(text):,} characters"
        raise NetlatheError(message, code="zoo.unknown_name", hint=f"names and paths have at most {LONGEST_NAME:,}")
    text, pixels = split_resolution(text)
    if pixels is not None and (inputs or resolution not in (None, pixels)):
        hint = f"leave out @{pixels}, or the option"
        raise NetlatheError(f"{text}@{pixels} and an option give the input twice", code="load.choice", hint=hint)
    if example is not None:
        (net,) = load_any(text, inputs, resolution)
        if not isinstance(net, BuildableModule):
            hint = "for others, --input gives the shapes"
            raise NetlatheError(f"{text} is no torch module: it takes no example", code="load.example", hint=hint)
        return [replace(net, example=example)]
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

        file = model_file(text).renamed(text)
        refuse_other_sizes(file, inputs, resolution)
        return [file]
    if text.startswith(PREFIX):
        from netlathe.read.timm import load_timm

        return [*load_timm(text, inputs, resolution)]
    if (source := library_source(text)) is not None:
        return [BuildableModule(text, source, given=tuple(inputs)).at(resolution)]
    if (where := code_name(text)) is not None:
        net = from_code(where, tuple(inputs))
        return [reshaped(net, inputs, resolution) if isinstance(net, Network) else net.at(resolution)]
    if text.endswith(".json"):
        net = from_document(read_text(Path(text)), source=text)
        if isinstance(net, BuildableModule) and net.source.code is not None:
            message = f"this document names code, {net.source.text}, and reading a document runs none"
            raise NetlatheError(message, code="load.names_code", path=text, hint="give that itself, if you trust it")
        return [reshaped(net, inputs, resolution) if isinstance(net, Network) else net.at(resolution)]
    return [reshaped(network, inputs, resolution) for network in expressions(text)]


def refuse_other_sizes(file: Net, inputs: Sequence[InputShape], resolution: int | None) -> None:
    """Raise NetlatheError where a file of fixed shapes is asked for others, whichever axis has the channels."""
    shapes = [shape for shape in file.inputs if len(shape) == 3]
    sides = resolution is None or not shapes or any(shape.count(resolution) > 1 for shape in shapes)
    same = not inputs or sorted(sorted(one.shape) for one in inputs) == sorted(map(sorted, file.inputs))
    if sides and same:
        return
    takes = " and ".join("x".join(map(str, shape)) for shape in file.inputs)
    hint = "leave the size out, or export the network again with --resolution"
    raise NetlatheError(f"this file takes {takes} and nothing else", code="load.size", path=file.name, hint=hint)


def from_document(text: str, *, source: str = "arch.json") -> Network | BuildableModule:
    """The network of an arch.json: an expression, or a module and where it comes from. Nothing is run to read it.

    A module of somebody's code runs it when it is built, if it is still the code that was recorded.

    Raises NetlatheError for a document that is none.
    """
    from netlathe.arch.document import from_json

    return module_of_document(text, source=source) if is_module_document(text) else from_json(text, source=source)


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
    """What a zoo name or a pattern names."""
    if any(sign in text for sign in "*?["):
        names = zoo.names(text)
        if not names:
            raise unknown("pattern", text, zoo.names(), code="zoo.unknown_name")
        return [zoo.get(name) for name in names]
    name, _, choices = text.partition(":")
    if name not in zoo.names():
        zoo.get(name)  # the error for it, before that for its choices
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


def code_name(text: str) -> ObjectName | None:
    """The parts of file.py:name or package.module:name; None for a name of the zoo, with choices or not."""
    where = split_name(text)
    is_zoo = where is not None and where.source in zoo.names()
    if is_zoo or where is None:
        return None
    if not where.source.endswith(".py") and "." not in where.source and not is_importable(where.source):
        return None  # more likely a name of the zoo with a slip
    return where


def from_code(where: ObjectName, inputs: tuple[InputShape, ...] = ()) -> Network | BuildableModule:
    """What the code of a project names: an expression, a Network or a torch module, or a function that returns one.

    A torch module reads images of 3x224x224 where no inputs are given. Raises NetlatheError for anything else.
    """
    source = CodeSource(where)
    value, project = source.loaded_object
    name = f"{where.name}:{where.choices}" if where.choices else where.name
    made_by_call = callable(value) and not is_network(value)
    if where.choices and not made_by_call:
        message = f"{where.name} is no function or class: it takes no choices"
        raise NetlatheError(message, code="load.choice", path=where.source)
    if made_by_call:
        with project.running():
            value = without_memory(lambda: call(source.loaded_object[0], where))
    if isinstance(value, Node):
        return Network(name, value)
    if is_module(value):
        return BuildableModule(name, source, given=inputs)
    if not isinstance(value, Network):
        what = f"{where.name}() returned" if made_by_call else f"{where.name} is"
        message = f"{what} {type(value).__name__}, not an expression, a Network or a torch module"
        raise NetlatheError(message, code="load.not_a_network", path=where.source)
    return value


def without_memory(build: Callable[[], Any]) -> Any:
    """What a function builds, torch modules with shapes alone where its code allows that: only its kind is looked at.

    Random weights would take minutes; code that looks at values, or moves tensors, gets them.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return build()
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.filterwarnings("ignore", ".*copying from a non-meta parameter.*")
            return build()
    except NetlatheError:
        return build()


def is_module(value: Any) -> bool:
    """Whether it is a torch module; without importing torch."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].nn.Module)


def is_network(value: Any) -> bool:
    """Whether it is a network as it stands, and nothing to be called."""
    return isinstance(value, Node | Network) or is_module(value)
