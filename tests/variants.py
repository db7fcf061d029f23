"""The registered networks by how they are built. Within a group only sizes differ, so one runs whenever tests run; the
others are marked slow (`pytest -m slow`, part of `make bench`)."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import pytest

from netlathe import zoo
from netlathe.cost.totals import totals
from netlathe.lower.twins import twins_of


@cache
def params(name: str) -> int:
    """The weights of a network."""
    network = zoo.get(name)
    return totals(network.body, *network.inputs).params


@cache
def variants() -> list[list[str]]:
    """The networks by how they are built. The one to run stands first: the smallest that has a twin."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, row in zoo.registry.table().items():
        choices = sorted((key, value if isinstance(value, bool | str) else "") for key, value in row.free.items())
        groups.setdefault((row.build, *choices), []).append(name)
    return [sorted(names, key=lambda name: (not twins_of(name), params(name))) for names in groups.values()]


def one_of_each(names: Collection[str], heavy: float = float("inf")) -> list[Any]:
    """The names as parameters: of each way to build a network the first, unless it has more than `heavy` weights, runs
    in every run."""
    groups = [[name for name in group if name in names] for group in variants()]
    often = {group[0] for group in groups if group and params(group[0]) <= heavy}
    return [pytest.param(name, marks=() if name in often else pytest.mark.slow) for name in names]
