"""How unlike the networks that a model was fitted to another network is, and how much wider its interval is for it.

A network is described by the shares of its predicted time that classes of operators take. Its strangeness is the total
variation distance, 0 to 1, to the most similar network of the fit. The interval is conformal with a normalised score
(Papadopoulos et al. 2002, https://doi.org/10.1007/3-540-36755-1_29): of every network, predicted without its family,

    score = |log(measured / predicted)| / (SMOOTH + strangeness to the other families)

and the interval of another network is exp(+-(quantile of scores) * (SMOOTH + strangeness)). Networks that share no
author's style with those of the fit are `STRANGERS` times as far off as its families are from each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import ceil, exp, fsum, log

from netlathe.device.card import ErrorBar
from netlathe.device.features import FeatureRow, coefficient
from netlathe.device.fit import COVER, RIDGE_PROBED, Probes, fit, held_out
from netlathe.stats.quantiles import quantile

SMOOTH = 0.1
STRANGERS = 1.25  # chosen on 62 timm networks of 37 families (benchmarks/bench_latency_outside.py), tested on others
TYPICAL = 0.2  # the strangeness that the error bar of a model speaks of
SMALL = 0.005  # shares below it are left out of what is kept
Shares = Mapping[str, float]


def shares(row: FeatureRow, coefficients: Mapping[str, float]) -> dict[str, float]:
    """The share of predicted time that each class of operators takes."""
    parts: dict[str, list[float]] = {}
    for name, value in row.items():
        parts.setdefault(name.rpartition(".")[0], []).append(value * coefficient(name, coefficients))
    times = {class_: fsum(some) for class_, some in parts.items()}  # the same in whatever order they come
    whole = fsum(times.values()) or 1.0
    return {class_: ms / whole for class_, ms in times.items()}


def distance(a: Shares, b: Shares) -> float:
    """Total variation: 0 for the same shares, 1 for no class in common."""
    return fsum(abs(a.get(class_, 0.0) - b.get(class_, 0.0)) for class_ in {*a, *b}) / 2


def strangeness(row: FeatureRow, coefficients: Mapping[str, float], listed: Mapping[str, float]) -> float:
    """The distance of a network to the most similar of `listed`, the shares as a card keeps them: `network/class`."""
    styles: dict[str, dict[str, float]] = {}
    for name, share in listed.items():
        network, _, class_ = name.rpartition("/")
        styles.setdefault(network, {})[class_] = share
    own = shares(row, coefficients)
    return min((distance(own, style) for style in styles.values()), default=TYPICAL)


def widened(bar: ErrorBar, strange: float) -> tuple[float, float]:
    """(low, high) of the interval at a strangeness."""
    power = (SMOOTH + strange) / (SMOOTH + TYPICAL)
    return bar.low**power, bar.high**power


def fit_families(
    rows: Mapping[str, FeatureRow], ms: Sequence[float], families: Sequence[Hashable], probes: Probes
) -> tuple[dict[str, float], ErrorBar, dict[str, float]]:
    """A model of networks by name, its error bar, each family left out in turn, and the shares that a card keeps.

    With fewer than three families each network is its own.
    """
    names, table = list(rows), list(rows.values())
    families = families if len(set(families)) > 2 else range(len(names))
    model = fit(table, ms, RIDGE_PROBED, probes)
    predicted = held_out(table, ms, families, RIDGE_PROBED, probes)
    ratios = [y / max(p, 1e-9) for y, p in zip(ms, predicted, strict=True)]
    styles = [shares(row, model) for row in table]
    scores = []
    for i, (ratio, style) in enumerate(zip(ratios, styles, strict=True)):
        others = [other for j, other in enumerate(styles) if families[j] != families[i]]
        nearest = min((distance(style, other) for other in others), default=TYPICAL)
        scores.append(abs(log(max(ratio, 1e-9))) / (SMOOTH + nearest))
    rank = min(ceil((len(scores) + 1) * COVER), len(scores))
    half = STRANGERS * sorted(scores)[rank - 1] * (SMOOTH + TYPICAL)
    middle = exp(quantile(sorted(map(log, ratios)), 0.5))
    mape = sum(abs(1 / ratio - 1) for ratio in ratios) / len(ratios)
    bar = ErrorBar(mape, middle, min(exp(-half), middle), max(exp(half), middle))
    kept = {
        f"{name}/{class_}": round(share, 3)
        for name, style in zip(names, styles, strict=True)
        for class_, share in style.items()
        if share >= SMALL
    }
    return model, bar, kept
