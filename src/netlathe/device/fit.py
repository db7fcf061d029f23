"""Latency models from measured networks: time = sum of coefficient * quantity, every coefficient >= 0.

    minimise  sum_i w_i (1 - t_i / y_i)^2 + ridge^2 * sum_k (c_k / s_q - g_q)^2,   t_i = sum_k c_k x_ik

in relative error, because a network of 5 ms matters as much as one of 500. The second sum is a prior that holds for any
machine: classes of operators differ in how fast a GMAC or a megabyte passes, but around a common speed g_q of their
quantity q, which is fitted with them (s_q is a first fit of the quantities alone). It carries what few networks cannot
tell, such as classes that occur in one family only. The weights w_i fall with the residual, towards least absolute
error (Huber 1964, https://doi.org/10.1214/aoms/1177703732). Non-negative least squares: Lawson and Hanson 1974, chapter
23. The error bar is that of networks that the fit has not seen, never of those it has.

Probes, small networks of almost one class of operator each, make the prior sharper: s_q becomes s_k, the coefficient of
that class in a fit of the probes alone, and they stay in the fit as rows of weight `ASIDE`. A class that is alone in
some probes starts from its speed there, however far that is from the common one (a local response norm is 200 times as
slow as a sum). Probes are not networks: what happens at the edges of a graph is most of a probe, little of a network.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import exp, log, pi
from typing import TYPE_CHECKING, TypeAlias

from netlathe.device.card import ErrorBar
from netlathe.device.features import EDGE, FeatureRow, total
from netlathe.stats.quantiles import quantile
from netlathe.stats.student import t_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

Probes: TypeAlias = tuple[Sequence[FeatureRow], Sequence[float]]  # rows and ms

RIDGE = 0.1  # of hundreds of networks: chosen once on the timm tables, the same for every device
RIDGES = (0.1, 0.3, 1.0, 3.0)  # tried where networks are few
FEW = 60  # networks below which the ridge is chosen by leaving one out and the interval is Student's
ROUNDS = 5  # of re-weighting
TRUST, TRUST_FEW = 0.75, 4.5  # residuals up to this times the median keep their weight: few networks contradict nobody
COVER = 0.9  # of held-out networks inside the interval
RIDGE_PROBED, ASIDE = 0.05, 0.03  # with probes: the ridge, and the weight of a probe beside a network
REACH = (0.25, 50.0)  # how far, times, a fit of the probes may move a coefficient from where it started
FACTOR = (0.25, 1000.0)  # how far a class that is alone in a probe may be from the common speed
LEAST = 1e-3  # the share of time that every quantity takes at least, before classes are told apart


def nnls(gram: Array, moment: Array, start: Array | None = None) -> Array:
    """The x >= 0 with the least x'Gx/2 - m'x, by active sets; `start` says which were positive last time."""
    import numpy as np

    n = len(moment)
    x = np.zeros(n)
    free = np.zeros(n, bool) if start is None else start > 0
    tolerance = 1e-10 * max(float(abs(moment).max(initial=0)), 1e-300)
    fresh = start is None or not free.any()
    for _ in range(10 * n + 10):
        if fresh:
            slope = moment - gram @ x
            slope[free] = -np.inf
            best = int(slope.argmax())
            if slope[best] <= tolerance:
                break
            free[best] = True
        while free.any():
            at = np.flatnonzero(free)
            inner = gram[np.ix_(at, at)]
            trial = np.zeros(n)
            trial[at] = np.linalg.solve(inner + 1e-12 * np.trace(inner) / len(at) * np.eye(len(at)), moment[at])
            bad = free & (trial <= 0)
            if not bad.any():
                x = trial
                break
            step = (x[bad] / (x[bad] - trial[bad] + 1e-300)).min()
            x = x + step * (trial - x)
            free &= x > 1e-15 * max(float(x.max()), 1e-300)
            x[~free] = 0.0
        fresh = True
    return x


def robust(a: Array, extra: Array, prior: Array, aside: Array | None = None) -> Array:
    """c >= 0 with a c close to 1 in every row, those far off weigh less; columns only of `extra` come last.

    Rows of `aside` weigh `ASIDE`.
    """
    import numpy as np

    def wide(rows: Array) -> Array:
        return np.hstack([rows, np.zeros((len(rows), extra.shape[1] - a.shape[1]))])

    blocks = [(wide(a), 1.0)] + ([] if aside is None else [(wide(aside), ASIDE)])
    fixed = extra.T @ extra + prior
    weights, x = [np.ones(len(rows)) for rows, _ in blocks], None
    for _ in range(ROUNDS):
        weighted = [rows * (share * w)[:, None] for (rows, share), w in zip(blocks, weights, strict=True)]
        gram = sum((left.T @ rows for left, (rows, _) in zip(weighted, blocks, strict=True)), fixed)
        x = nnls(gram, np.vstack(weighted).sum(0), x)
        weights = [trusted(abs(rows @ x - 1)) for rows, _ in blocks]
    assert x is not None
    return x[: a.shape[1]]


def trusted(off: Array) -> Array:
    """The weights of rows by how far off they are: 1 up to some times the median, then falling."""
    import numpy as np

    trust = TRUST if len(off) >= FEW else TRUST_FEW
    return 1 / np.maximum(off / max(trust * float(np.median(off)), 1e-3), 1)


def fit(
    rows: Sequence[FeatureRow], ms: Sequence[float], ridge: float = RIDGE, probes: Probes | None = None
) -> dict[str, float]:
    """Coefficients by feature, in ms a unit; `*.quantity` is the common one, for classes that no network had.

    A ridge of 0 fits every feature alone. `probes` are rows and ms of their own.
    """
    import numpy as np

    names = sorted({name for row in (*rows, *(probes[0] if probes else ())) for name in row})
    quantities = sorted({name.rpartition(".")[2] for name in names})
    of = np.array([quantities.index(name.rpartition(".")[2]) for name in names])
    x = table(rows, names) / np.array(ms, float)[:, None]
    common = speeds(x, ms, of)
    if ridge == 0:
        a = x * common[of]
        unit = a.mean(0)
        c = robust(a / unit, np.zeros((1, len(names))), 1e-9 * np.eye(len(names))) / unit
        return {name: float(value) for name, value in zip(names, c * common[of], strict=True) if value > 0}
    aside, scale = None, common[of]
    if probes:
        aside = table(probes[0], names) / np.array(probes[1], float)[:, None]
        scale = sharper(names, of, common, aside, probes[1], ridge)
    c = near(x * scale, of, ridge, None if aside is None else aside * scale)
    coefficients = {name: float(value) for name, value in zip(names, c * scale, strict=True)}
    other = {f"*.{q}": float(np.mean(c[of == i]) * common[i]) for i, q in enumerate(quantities)}
    # zeros say that a class was there
    timed = {name.rpartition(".")[0] for name, value in coefficients.items() if value > 0}
    return {n: v for n, v in (coefficients | other).items() if v > 0 or n.rpartition(".")[0] not in timed}


def speeds(x: Array, ms: Sequence[float], of: Array) -> Array:
    """The common coefficients of quantities (`of` the columns of x, which are features / ms) by a fit of them alone."""
    import numpy as np

    pooled = np.stack([x[:, of == q].sum(1) for q in range(int(of.max()) + 1)], 1)
    amounts = pooled * np.array(ms, float)[:, None]
    tiny = np.median(ms) / np.maximum(np.maximum(np.median(amounts, 0), amounts.max(0) * 1e-6), 1e-300)
    mean = np.maximum(pooled.mean(0), 1e-300)
    slopes = robust(pooled / mean, np.zeros((1, len(mean))), 1e-6 * np.eye(len(mean))) / mean
    least: Array = np.maximum(slopes, LEAST * tiny)
    return least


def near(a: Array, of: Array, ridge: float, aside: Array | None = None) -> Array:
    """Scaled coefficients near those of their quantities, which are fitted with them."""
    import numpy as np

    n, k = a.shape[1], int(of.max()) + 1
    pull = np.zeros((n, n + k))
    pull[np.arange(n), np.arange(n)], pull[np.arange(n), n + of] = ridge, -ridge
    return robust(a, pull, 1e-8 * np.eye(n + k), aside)


def sharper(names: Sequence[str], of: Array, common: Array, x: Array, ms: Sequence[float], ridge: float) -> Array:
    """The scale of every feature by a fit of the probes alone; the common one where no probe has it."""
    import numpy as np

    own = speeds(x, ms, of)
    classes = np.array([name.rpartition(".")[0] for name in names])
    counted = np.array([not name.endswith(".calls") for name in names])
    factor = np.ones(len(names))
    for class_ in sorted(set(classes) - {EDGE}):
        others = x[:, (classes != class_) & (classes != EDGE)].any(1)
        mine = (classes == class_) & counted
        alone = ~others & x[:, mine].any(1)
        if alone.any():
            times = 1 / (x[alone] * own[of])[:, classes == class_].sum(1)
            factor[mine] = np.clip(np.median(times), *FACTOR)
    scales = near(x * own[of] * factor, of, ridge) * own[of] * factor
    start = common[of] * factor
    scale: Array = np.where(x.any(0), np.clip(scales, REACH[0] * start, REACH[1] * start), common[of])
    return scale


def table(rows: Sequence[FeatureRow], names: Sequence[str]) -> Array:
    """Rows as an array with these columns."""
    import numpy as np

    return np.array([[row.get(name, 0.0) for name in names] for row in rows])


def held_out(
    rows: Sequence[FeatureRow],
    ms: Sequence[float],
    groups: Sequence[Hashable],
    ridge: float = RIDGE,
    probes: Probes | None = None,
) -> list[float]:
    """The prediction of every network from the networks of other groups, in ms."""
    predictions = [0.0] * len(rows)
    for group in dict.fromkeys(groups):
        train = [i for i, other in enumerate(groups) if other != group]
        model = fit([rows[i] for i in train], [ms[i] for i in train], ridge, probes)
        for i, other in enumerate(groups):
            if other == group:
                predictions[i] = total(rows[i], model)
    return predictions


def fit_few(
    rows: Sequence[FeatureRow],
    ms: Sequence[float],
    probes: Probes | None = None,
    groups: Sequence[Hashable] | None = None,
) -> tuple[dict[str, float], ErrorBar]:
    """A model with its error bar: leave one out, or one of `groups`, such as a network at several resolutions; with few
    networks the ridge is the one that then predicts best."""
    n, tried = len(rows), {}
    groups = groups or (range(n) if n < FEW else [i % 10 for i in range(n)])
    for ridge in (RIDGE_PROBED,) if probes else RIDGES if n < FEW else (RIDGE,):
        predicted = held_out(rows, ms, groups, ridge, probes)
        tried[ridge] = error([y / max(p, 1e-9) for y, p in zip(ms, predicted, strict=True)])
    best = min(tried, key=lambda ridge: tried[ridge].high / tried[ridge].low)
    return fit(rows, ms, best, probes), tried[best]


def error(ratios: Sequence[float]) -> ErrorBar:
    """The error bar of measured / predicted: MAPE, median and the interval that covers 90 % of further networks.

    Many: quantiles. Few: Student's t on logarithms, the spread from absolute deviations, which one odd network moves
    less. Half the freedom and twice the variance of the centre are for the ridge, which the same networks chose.
    """
    logs = sorted(log(max(ratio, 1e-9)) for ratio in ratios)
    n = len(logs)
    mape = sum(abs(1 / max(ratio, 1e-9) - 1) for ratio in ratios) / n
    middle = quantile(logs, 0.5)
    if n >= FEW:
        low, high = quantile(logs, (1 - COVER) / 2), quantile(logs, (1 + COVER) / 2)
    else:
        mean = sum(logs) / n
        spread = (pi / 2) ** 0.5 * sum(abs(value - mean) for value in logs) / max(n - 1, 1) or 0.05
        half = t_quantile((1 + COVER) / 2, max(n // 2, 1)) * spread * (1 + 2 / n) ** 0.5
        low, high = mean - half, mean + half
    return ErrorBar(mape, exp(middle), exp(min(low, middle)), exp(max(high, middle)))
