"""Quantiles of samples. In plain Python: light commands ask for a few quantiles of short lists."""

from __future__ import annotations

from collections.abc import Iterable


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which that share (0 to 1) of the values lies, by linear interpolation between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    left = min(int(place), max(len(ordered) - 2, 0))
    right = min(left + 1, len(ordered) - 1)
    return ordered[left] + (ordered[right] - ordered[left]) * (place - left)


def distribution_steps(values: Iterable[float]) -> list[tuple[float, float]]:
    """The empirical distribution: each value with the share of values not above it."""
    ordered = sorted(values)
    return [(value, i / len(ordered)) for i, value in enumerate(ordered, 1)]


def step_quantile(values: Iterable[float], share: float) -> float:
    """The smallest of the values that this share of them does not exceed."""
    return next(value for value, below in distribution_steps(values) if below >= share)
