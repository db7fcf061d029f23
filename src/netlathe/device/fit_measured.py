"""A latency model of a device from a few networks that were measured there.

The populations of `device.population` are the prior: a runtime has its own, or each is tried. A fit without one
(`device.fit`) is taken where it predicts networks left out in turn far better, and where time grows with the size of
images, which measurements at one resolution alone do not make sure of.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import exp
from typing import NamedTuple

from netlathe.device.card import ErrorBar
from netlathe.device.features import FeatureRow, total
from netlathe.device.fit import error, fit_few
from netlathe.device.population import Population, amounts, coefficients, left_out, posterior, unseen_parts

CERTAIN = 1.2  # the width of an interval, high / low, below which no other way to fit is tried
PLAINLY = 1.25  # times narrower: the interval of a fit without a population that is taken
GROWTH = 1.5  # the least factor of time for twice the height and width of images


class FitResult(NamedTuple):
    """A model of measured networks: its coefficients, those by part where a population was the prior, its error bar."""

    coefficients: dict[str, float]
    parts: tuple[float, ...]
    error: ErrorBar
    prior: str  # the population that fits best; empty: none
    unseen: tuple[str, ...] = ()  # parts that no network tells


def fit_measured(
    rows: Sequence[FeatureRow],
    ms: Sequence[float],
    priors: Sequence[Population],
    groups: Sequence[Hashable] | None = None,
) -> FitResult:
    """A model of a device that is like those of one of the populations, or else like none of them.

    What predicts the networks best, each left out in turn, is taken; those of a group, such as one network at several
    resolutions, are left out together, for one tells the other. A population, unless doing without is PLAINLY
    better: its coefficients are all above zero, so that time grows with resolution and width whatever was measured.
    """
    groups = groups if groups and len(set(groups)) > 2 else range(len(rows))
    x, tried = amounts(rows), []
    for prior in priors:
        bar = error([y / max(p, 1e-9) for y, p in zip(ms, left_out(prior, x, ms, groups), strict=True)])
        tried.append((bar.high / bar.low, bar, prior))
    width, bar, prior = min(tried, key=lambda one: one[0])
    parts = tuple(exp(value) for value in posterior(prior, x, ms))
    fitted = FitResult(coefficients(parts), parts, bar, prior.name, unseen_parts(parts, x))
    if width > CERTAIN:
        alone, own = fit_few(rows, ms, groups=groups)
        if PLAINLY * own.high / own.low < width and grows(rows, alone):
            return FitResult(alone, (), own, "")
    return fitted


def grows(rows: Sequence[FeatureRow], model: Mapping[str, float]) -> bool:
    """Whether networks take longer on larger images: work and maps times 4, the weights and calls the same."""
    larger = [{n: v if n.endswith((".weights", ".calls")) else 4 * v for n, v in row.items()} for row in rows]
    return all(total(more, model) >= GROWTH * total(row, model) for more, row in zip(larger, rows, strict=True))
