"""Budget: the limits a network has to keep, and what each candidate uses of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import floor, inf
from typing import NamedTuple

from netlathe.arch.net import Net
from netlathe.bench.measurement import Measurement
from netlathe.device.workload import Workload
from netlathe.runtimes.registry import DEFAULT
from netlathe.target.target import CostEstimate, Forecast, Target
from netlathe.units import (
    COUNTS,
    DECIMAL_BYTES,
    TIMES,
    ask,
    byte_count,
    mac_count,
    milliseconds,
    percentage,
    show_bytes,
    show_count,
    show_ms,
)


class Accuracy(NamedTuple):
    """A top-1 accuracy in %, how it was reached and who says so."""

    top1: float
    recipe: str = ""
    source: str = ""
    images: int | None = None  # on which it was measured; None where nobody says
    weights: str = ""  # that reach it, as people type them, where they are published
    licence: str = ""  # of these weights
    data: str = ""  # images beyond ImageNet-1k that they rest on


@dataclass(frozen=True, slots=True)
class Candidate:
    """A net under a runtime in a precision, with its accuracy where one is known, and its costs (see `CostEstimate`).

    Latency is forecast, and measured where it was.
    """

    net: Net
    accuracy: Accuracy | None
    macs: int
    size_bytes: int
    memory_bytes: int
    runtime: str = DEFAULT
    precision: str = "fp32"
    forecast: Forecast | None = None
    latency: Measurement | None = None

    @property
    def name(self) -> str:
        """The network, and the resolution where it is not the usual one."""
        return self.net.name if self.resolution == 224 else f"{self.net.name}@{self.resolution}"

    @property
    def key(self) -> str:
        """What tells candidates apart: network, runtime and precision."""
        return f"{self.name} {self.runtime} {self.precision}"

    @property
    def resolution(self) -> int:
        """Pixels of a side of the image."""
        return self.net.input[-1]

    @property
    def known_accuracy(self) -> Accuracy:
        """The accuracy of a candidate that is asked for its accuracy."""
        assert self.accuracy is not None
        return self.accuracy

    @property
    def top1(self) -> float:
        """The accuracy in %."""
        return self.known_accuracy.top1

    @property
    def is_measured(self) -> bool:
        """Whether the latency was measured, successfully or not."""
        return self.latency is not None

    @property
    def interval(self) -> tuple[float, float, float]:
        """(low, middle, high) of the latency in ms: measured, else forecast, else unknown; infinite after a failure."""
        if self.latency is not None:
            return self.latency.interval
        f = self.forecast
        return (f.low_ms, f.ms, f.high_ms) if f else (0.0, inf, inf)

    @property
    def latency_ms(self) -> float:
        """The middle of the latency."""
        return self.interval[1]

    @property
    def latency_high_ms(self) -> float:
        """The upper end of the latency."""
        return self.interval[2]

    @property
    def deciding_ms(self) -> float:
        """What has to fit a limit of the latency: its upper end; on a busy machine the middle, for the interval is wide
        there by what others did, which is no reason to leave a network out."""
        busy = self.latency is not None and self.latency.contended
        return self.interval[1 if busy else 2]


def candidate_of(
    net: Net, estimate: CostEstimate, runtime: str, precision: str, accuracy: Accuracy | None = None
) -> Candidate:
    """A candidate of what was estimated."""
    e = estimate
    return Candidate(net, accuracy, e.macs, e.size_bytes, e.memory_bytes, runtime, precision, e.forecast)


def candidate_on(target: Target, net: Net, accuracy: Accuracy | None = None, work: Workload | None = None) -> Candidate:
    """A net on a target with its costs and its forecast; `work` is what a table knows of it.

    Raises NetlatheError where the target cannot give them.
    """
    return candidate_of(net, target.estimate(net, work), target.runtime, net.precision or target.precision, accuracy)


class Limit(NamedTuple):
    """One kind of limit: its name (a field of Budget and an option), what a candidate uses, how it is printed.

    `ask` writes a value as the option takes it, rounded so that the value itself keeps it.
    """

    name: str
    used: Callable[[Candidate], float]
    show: Callable[[float], str]
    ask: Callable[[float], str]
    at_least: bool = False  # the only limit from below is accuracy


def format_percent(value: float) -> str:
    """76.13 -> 76.1 %"""
    return f"{value:.1f} %"


LIMITS = (
    Limit("macs", lambda c: c.macs, show_count, lambda n: ask(n, COUNTS)),
    Limit("size", lambda c: c.size_bytes, show_bytes, lambda n: ask(n, DECIMAL_BYTES)),
    Limit("memory", lambda c: c.memory_bytes, show_bytes, lambda n: ask(n, DECIMAL_BYTES)),
    Limit("top1", lambda c: c.top1, format_percent, lambda n: f"{floor(n * 10) / 10:g}", at_least=True),
    Limit("latency", lambda c: c.deciding_ms, show_ms, lambda n: ask(n, TIMES)),
)
CHEAP = tuple(limit for limit in LIMITS if limit.name != "latency")  # known without measuring


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits in base units: ms, bytes, MACs, %; None is no limit."""

    latency: float | None = None
    memory: int | None = None
    size: int | None = None
    macs: int | None = None
    top1: float | None = None

    def limit(self, limit: Limit) -> float | None:
        """The value of one limit."""
        value: float | None = getattr(self, limit.name)
        return value

    def broken(self, candidate: Candidate, limits: tuple[Limit, ...] = LIMITS) -> list[Limit]:
        """The limits that a candidate does not keep."""
        asked = ((limit, bound) for limit in limits if (bound := self.limit(limit)) is not None)
        return [limit for limit, bound in asked if not keeps(limit, limit.used(candidate), bound)]

    def possible(self, candidate: Candidate) -> bool:
        """Whether a candidate may keep everything: the cheap limits surely, the latency at its lower end."""
        fast = self.latency is None or candidate.interval[0] <= self.latency
        return fast and not self.broken(candidate, CHEAP)

    def unsure(self, candidate: Candidate) -> bool:
        """Whether a candidate keeps everything else, and the limit of the latency lies inside its interval."""
        low, _, high = candidate.interval
        open_ = self.latency is not None and low <= self.latency < high < inf
        return open_ and not self.broken(candidate, CHEAP)


READ: dict[str, Callable[[str], float]] = {
    "latency": milliseconds,
    "memory": byte_count,
    "size": byte_count,
    "macs": mac_count,
}  # how each limit is written: always with a unit


def read_budget(limits: Mapping[str, str | float]) -> Budget:
    """latency = "5ms", macs = "20M", top1 = 76.5 and so on in base units.

    Raises NetlatheError for a quantity without a unit and for a percentage that is none.
    """
    readers = READ | {"top1": percentage}
    return Budget(**{name: readers[name](str(x)) for name, x in limits.items()})  # type: ignore[arg-type]


def keeps(limit: Limit, used: float, bound: float) -> bool:
    """Whether a use keeps a bound."""
    return used >= bound if limit.at_least else used <= bound


def within_device(budget: Budget, target: Target) -> Budget:
    """The budget with the limits of the device itself where it names none."""
    return replace(budget, **{name: getattr(budget, name) or value for name, value in target.limits.items()})
