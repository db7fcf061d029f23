"""A picture of empirical distributions: one staircase a set of values, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netlathe.report.lines import lines
from netlathe.stats.quantiles import distribution_steps


def picture(sets: Mapping[str, Iterable[float]], label: str) -> str:
    """The distributions of named sets of values; `label` names the value and its unit."""
    return lines(
        {name: staircase(distribution_steps(values)) for name, values in sets.items()}, label, "share of networks"
    )


def staircase(steps: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of a distribution that rises at its values."""
    corners, before = [], 0.0
    for value, share in steps:
        corners += [(value, before), (value, share)]
        before = share
    return corners
