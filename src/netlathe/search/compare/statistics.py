"""What tables of trained and timed networks say of architecture search: each exhibit a pure function of arrays.

Kendall's tau is tau-b, with ties. Intervals are 95 % percentile bootstraps over networks, or over pairs of devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netlathe.stats.correlation import kendall_tau
from netlathe.stats.intervals import bootstrap_interval, percentile_interval

Array: TypeAlias = NDArray[np.float64]
TOP = 100  # networks among which a search ends
NEAR = 0.2  # points


class ValueInterval(NamedTuple):
    """A number with its interval."""

    value: float
    low: float
    high: float


class NoiseFloor(NamedTuple):
    """How far the training seed alone moves accuracies and ranks; `top`: the 100 best."""

    seed_sd: float  # of one training, pooled, in points
    seed_sd_top: float
    tau: ValueInterval  # between two seeds, the whole space
    tau_top: ValueInterval  # between two seeds, among the best by the mean of all seeds
    tau_top_apart: ValueInterval  # between two seeds, among the best by the seed that is left
    near: int  # networks within 0.2 points of the best


class AccuracySpread(NamedTuple):
    """Accuracies of a space in percent: what a random network has, and what there is to be found."""

    networks: int
    mean: float
    quantiles: tuple[float, float, float]  # 50, 95, 99 %
    best: float
    share_near: float  # of the networks that lie within 1 point of the best


class DeviceTransfer(NamedTuple):
    """The most accurate network under a limit of device A, run on device B, over all ordered pairs (A, B)."""

    share: float  # of the networks that the limit admits, on each device
    pairs: int
    breaks: ValueInterval  # share of pairs where it breaks B's limit of the same share
    over: float  # median latency above the limit, where it breaks
    loss: ValueInterval  # points below the best under B's own limit, where it keeps it
    same: float  # share of pairs where it is also B's best


class MacsCap(NamedTuple):
    """A limit of MACs in the place of a limit of latency, on one device."""

    device: str
    tau: float  # between MACs and latency
    breaking: float  # share of the networks within the MACs that break the latency
    over: float  # by how much the most accurate within the MACs is above the limit of latency
    within_macs: float  # its accuracy
    within_latency: float  # and that of the most accurate within the latency


def bootstrap_statistic(
    values: Array, statistic: Callable[[Array], float], *, rng: np.random.Generator, resamples: int = 200
) -> ValueInterval:
    """A statistic of the rows, with the percentile interval of resampled rows (Efron 1979)."""
    low, high = bootstrap_interval(values, statistic, rng, resamples=resamples)
    return ValueInterval(statistic(values), low, high)


def seed_tau(trained: Array) -> float:
    """The mean tau over pairs of seeds (columns)."""
    return float(
        np.mean([kendall_tau(trained[:, a], trained[:, b]) for a, b in combinations(range(trained.shape[1]), 2)])
    )


def noise_floor(trained: Array, *, rng: np.random.Generator, top: int = TOP) -> NoiseFloor:
    """The noise floor of accuracies of the shape (networks, seeds), at least three seeds.

    Choosing the best by the mean of all seeds makes the seeds of the chosen ones disagree (a network is in because one
    or the other was high), so tau among them is also given where a seed chooses that is then left out.
    """
    order = np.argsort(-trained.mean(1), kind="stable")[:top]
    apart = []
    for chooser in range(trained.shape[1]):
        chosen = np.argsort(-trained[:, chooser], kind="stable")[:top]
        apart.append(bootstrap_statistic(np.delete(trained[chosen], chooser, 1), seed_tau, rng=rng))
    mean = trained.mean(1)
    return NoiseFloor(
        float(np.sqrt(trained.var(1, ddof=1).mean())),
        float(np.sqrt(trained[order].var(1, ddof=1).mean())),
        bootstrap_statistic(trained, seed_tau, rng=rng, resamples=40),
        bootstrap_statistic(trained[order], seed_tau, rng=rng),
        ValueInterval(*(float(x) for x in np.mean(apart, axis=0))),
        int((mean > mean.max() - NEAR).sum()),
    )


def accuracy_spread(accuracy: Array) -> AccuracySpread:
    """The quantiles of a space."""
    low, middle, high = map(float, np.quantile(accuracy, (0.5, 0.95, 0.99)))
    best = float(accuracy.max())
    return AccuracySpread(
        len(accuracy), float(accuracy.mean()), (low, middle, high), best, float(np.mean(accuracy > best - 1))
    )


def device_transfer(accuracy: Array, latency: Array, share: float, *, rng: np.random.Generator) -> DeviceTransfer:
    """`latency` has the shape (networks, devices); the limit of each device admits that share of the networks.

    Equally accurate networks: the fastest on A is taken. Intervals resample devices, which is what there could be more
    of; the pairs of one device are not independent.
    """
    limits = np.quantile(latency, share, axis=0)
    bests = []
    for device in range(latency.shape[1]):
        fits = np.flatnonzero(latency[:, device] <= limits[device])
        bests.append(fits[np.lexsort((latency[fits, device], -accuracy[fits]))[0]])
    best = np.array(bests)
    ratio = latency[best] / limits  # (A, B)
    loss = accuracy[best][None, :] - accuracy[best][:, None]  # B's own best minus A's

    def of(devices: Array) -> tuple[float, float, float, float]:
        pairs = [(int(a), int(b)) for a in devices for b in devices if a != b]
        a, b = np.array(pairs).T
        broken = ratio[a, b] > 1
        over = float(np.median(ratio[a, b][broken])) - 1 if broken.any() else 0.0
        kept = float(loss[a, b][~broken].mean()) if (~broken).any() else 0.0
        return float(broken.mean()), over, kept, float(np.mean(best[a] == best[b]))

    everyone = np.arange(latency.shape[1], dtype=np.float64)
    values = of(everyone)
    drawn: list[tuple[float, float, float, float]] = []
    while len(drawn) < 200:
        devices = rng.choice(everyone, len(everyone))
        if len(set(devices)) > 1:
            drawn.append(of(devices))
    low, high = percentile_interval(drawn)
    breaks, kept = (ValueInterval(values[i], float(low[i]), float(high[i])) for i in (0, 2))
    n = latency.shape[1]
    return DeviceTransfer(share, n * (n - 1), breaks, values[1], kept, values[3])


def macs_caps(
    accuracy: Array, macs: Array, latency: Array, devices: Sequence[str], share: float
) -> tuple[MacsCap, ...]:
    """Limits of MACs and of latency that admit the same share of the networks, device by device."""
    most = np.quantile(macs, share)
    light = macs <= most
    choice = np.flatnonzero(light)[accuracy[light].argmax()]
    rows = []
    for i, device in enumerate(devices):
        limit = np.quantile(latency[:, i], share)
        fits = latency[:, i] <= limit
        rows.append(
            MacsCap(
                device,
                kendall_tau(macs, latency[:, i]),
                float(np.mean(latency[light, i] > limit)),
                float(latency[choice, i] / limit - 1),
                float(accuracy[choice]),
                float(accuracy[fits].max()),
            )
        )
    return tuple(rows)


def device_agreement(latency: Array, devices: Sequence[str]) -> tuple[tuple[str, str, float], ...]:
    """Tau between every two devices, the least alike first."""
    pairs = combinations(range(len(devices)), 2)
    rows = [(devices[a], devices[b], kendall_tau(latency[:, a], latency[:, b])) for a, b in pairs]
    return tuple(sorted(rows, key=lambda row: row[2]))
