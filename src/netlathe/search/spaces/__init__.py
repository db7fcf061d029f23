"""The spaces by name, one paper a file. `around:NET` is the space of the knobs of any network of the zoo."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from netlathe.errors import NetlatheError, unknown
from netlathe.search.space import SearchSpace

# name -> the file here that has a function of the file's name; in order of publication
SPACES = {
    "nasnet": "nasnet",
    "darts": "darts",
    "nb201": "nb201",
    "macro": "macro",
    "regnet": "regnet",
    "ofa": "ofa",
}


def names() -> list[str]:
    """The names of all spaces, in order of publication."""
    return list(SPACES)


def space_builder(name: str) -> Callable[..., SearchSpace]:
    """The function that makes the space of that name. Raises NetlatheError with the nearest names."""
    if name not in SPACES:
        raise unknown("space", name, (*SPACES, "around:NET"), code="search.unknown_space")
    return getattr(import_module(f"netlathe.search.spaces.{SPACES[name]}"), SPACES[name])  # type: ignore[no-any-return]


def get(name: str, **options: Any) -> SearchSpace:
    """The space of that name; `options` are free choices of its paper (classes=100).

    Raises NetlatheError with the nearest names, or with the legal options.
    """
    if name.startswith("around:"):
        from netlathe.search.spaces.around import around

        return around(name.removeprefix("around:"), **options)
    make = space_builder(name)
    legal = inspect.signature(make).parameters
    for key in options:
        if key not in legal:
            raise unknown(f"option of {name}", key, legal, code="search.unknown_option")
    try:
        return make(**options)
    except NetlatheError:
        raise
    except (ValueError, TypeError) as error:
        text = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise NetlatheError(f"{name} cannot be built with {text}: {error}", code="search.bad_option") from error
