"""The registry: every network of the zoo by name, each a row of its paper's table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from netlathe.arch.network import Network
from netlathe.arch.node import Node, Shape
from netlathe.errors import NetlatheError, unknown

# One paper a file, in order of publication.
PAPERS = (
    "lenet",
    "alexnet",
    "vgg",
    "googlenet",
    "unet",
    "resnet",
    "resnet_cifar",
    "densenet",
    "mobilenetv1",
    "nasnet",
    "mobilenetv2",
    "shufflenetv2",
    "darts",
    "text",
    "mobilenetv3",
    "efficientnet",
    "efficientnet_lite",
    "ghostnet",
    "regnet",
    "vit",
    "repvgg",
    "swin",
    "mixer",
    "efficientnetv2",
    "hybrid",
    "poolformer",
    "convnext",
    "mobileone",
    "convnextv2",
    "mobilenetv4",
)

# The largest number that a free choice may be; what repeats blocks is bounded closer.
LARGEST, MOST = 10**7, {"depth": 1000, "resolution": 10**5}


class Variant(NamedTuple):
    """A row of a paper's table: the function that builds the expression, its free choices, the image."""

    build: Callable[..., Node]
    free: dict[str, Any]
    input: Shape
    more: tuple[Shape, ...] = ()


def variant(
    build: Callable[..., Node], *, input: Shape = (3, 224, 224), more: tuple[Shape, ...] = (), **free: Any
) -> Variant:
    """A row: `build(**free)` is the expression, which reads an `input` and then `more`."""
    return Variant(build, free, input, more)


@cache
def table() -> dict[str, Variant]:
    """All rows by name, in order of publication."""
    rows: dict[str, Variant] = {}
    for paper in PAPERS:
        networks: dict[str, Variant] = import_module(f"netlathe.zoo.{paper}").NETWORKS
        assert not networks.keys() & rows.keys(), f"{paper} registers a name twice"
        rows |= networks
    return rows


def names(pattern: str = "*") -> list[str]:
    """Names that match a shell pattern, such as resnet*, in order of publication."""
    return [name for name in table() if fnmatchcase(name, pattern)]


def get(name: str, *, resolution: int | None = None, **changes: Any) -> Network:
    """The network of that name; `changes` replace free choices of its row (alpha=0.5, groups=16, classes=10).

    Raises NetlatheError with the nearest names, or with the legal choices.
    """
    rows = table()
    if name not in rows:
        raise unknown("network", name, rows, code="zoo.unknown_name")
    row = rows[name]
    legal = inspect.signature(row.build).parameters if changes else {}
    for key, value in changes.items():
        if key not in legal:
            raise unknown(f"free choice of {name}", key, legal, code="zoo.unknown_choice")
        check_choice(name, key, value, legal[key].annotation)
    check_choice(name, "resolution", resolution, "int | None")
    try:
        body = row.build(**row.free | changes)
        hash(body)  # walks it: one that is nested too deeply for that is of no use
    except NetlatheError:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        text = ", ".join(f"{key}={value!r}" for key, value in changes.items())
        raise NetlatheError(f"{name} cannot be built with {text}: {error}", code="zoo.bad_choice") from error
    return Network(name, body, row.input, row.more).at(resolution)


def check_choice(name: str, key: str, value: Any, annotation: str) -> None:
    """Refuse a number or a word that is none of the parameter's kind, and numbers that no network has.

    Symbols, tuples and rows of tables pass: programs write these, not people.
    """
    if not isinstance(value, bool | int | float | str):
        return
    number, most = not isinstance(value, bool | str), MOST.get(key, LARGEST)
    match annotation.removesuffix(" | None"):
        case "int" | "Size":
            legal, wanted = number and isinstance(value, int), f"a whole number up to {most:,}"
        case "float":
            legal, wanted = number, f"a number up to {most:,}"
        case "bool":
            legal, wanted = isinstance(value, bool), "true or false"
        case "str":
            legal, wanted = isinstance(value, str), "a word"
        case _:
            legal, wanted = False, "a tuple, which only Python can give"
    if not legal or (number and not abs(value) <= most):  # type: ignore[arg-type]
        shown = "..." if number and abs(value) > 10**15 else repr(value)[:40]  # type: ignore[arg-type]
        message = f"{name} cannot be built with {key}={shown}: it must be {wanted}"
        raise NetlatheError(message, code="zoo.bad_choice")
