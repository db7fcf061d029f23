"""Leaves of your own: one registration gives a leaf all its readings and its place in arch.json.

A file that registers leaves is run where it is imported, where a network of it is loaded (`file.py:name`), or where the
environment variable NETLATHE_LEAVES names it, as in PATH. A document that has such a leaf says of which file it is; it
never runs that file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from netlathe.arch.kinds import built_in_kinds
from netlathe.arch.leaf import Leaf
from netlathe.errors import NetlatheError

FILES = "NETLATHE_LEAVES"  # the variable
L = TypeVar("L", bound=Leaf)


class OwnLeaf(NamedTuple):
    """A leaf that somebody registered."""

    leaf: type[Leaf]
    source: str  # file.py:Name or package.module:Name
    readings: Mapping[str, Callable[..., Any]]  # torch, onnx, init: their rules


OWN: dict[str, OwnLeaf] = {}  # by the kind that documents use; of two projects, the one that was run last
BY_CLASS: dict[type[Leaf], OwnLeaf] = {}  # a file that was run twice has made two classes
RUN: set[str] = set()  # files of NETLATHE_LEAVES


def register_leaf(leaf: type[L], *, torch: Callable[..., Any], onnx: Callable[..., Any], source: str = "",
                  **readings: Callable[..., Any]) -> type[L]:  # fmt: skip
    """Make a leaf one of the package's: `torch(leaf, op, build)` and `onnx(leaf, op, build)` write it.

    `build` is a `lower.fx_builder.FxNodeBuilder` or a `lower.onnx_builder.OnnxNodeBuilder`; the parameters of a torch
    module are named as in `leaf.weights`. `init(leaf, name, shape)` may give the weights that a training starts from.
    `source` is what an arch.json says of where it comes from, the file and the class unless it is given. Raises
    NetlatheError for a class that is no leaf, or whose name one of the package has.
    """
    if not (isinstance(leaf, type) and issubclass(leaf, Leaf) and "__dataclass_fields__" in vars(leaf)):
        message = f"{leaf!r} is no leaf: write @node above a class that inherits from Leaf"
        raise NetlatheError(message, code="leaf.class")
    source = source or source_of(leaf)
    if leaf.label in built_in_kinds():
        raise NetlatheError(f"the name {leaf.label!r} is that of a part of Netlathe", code="leaf.name", path=source,
                            hint="name the class otherwise")  # fmt: skip
    OWN[leaf.label] = BY_CLASS[leaf] = OwnLeaf(leaf, source, {"torch": torch, "onnx": onnx, **readings})
    return leaf


def own_rule(leaf: object, reading: str) -> Callable[..., Any] | None:
    """The rule of a registered leaf for a reading; None for other leaves, and where it has none."""
    own = registered(leaf)
    return own.readings.get(reading) if own else None


def registered(leaf: object) -> OwnLeaf | None:
    """The registration of a leaf; None for those of the package."""
    return BY_CLASS.get(type(leaf)) if isinstance(leaf, Leaf) else None


def source_of(leaf: type[Leaf]) -> str:
    """package.module:Name of what is in a package, else file.py:Name."""
    module = leaf.__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    return f"{module if '.' in module or file is None else Path(file).name}:{leaf.__name__}"


def run_leaf_files() -> None:
    """Run the files that NETLATHE_LEAVES names, once. Raises NetlatheError as a network of them would."""
    from netlathe.code_name import split_name
    from netlathe.project import run_code

    for text in filter(None, os.environ.get(FILES, "").split(os.pathsep)):
        if text not in RUN:
            RUN.add(text)
            where = split_name(f"{text}:_")
            if where is None:
                message = f"{text!r} is neither a Python file nor a module"
                raise NetlatheError(message, code="leaf.file", hint=f"{FILES} names it")
            run_code(where)
