"""Budget: the limits a network has to keep, and what each candidate uses of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor
from typing import NamedTuple

from netlathe.arch.network import Network
from netlathe.bench.measurement import Measurement
from netlathe.units import COUNTS, DECIMAL_BYTES, TIMES, ask, show_bytes, show_count, show_ms
from netlathe.zoo.published import Figure


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network at a resolution with its published accuracy, its exact costs in fp32, and its latency once measured.

    `size_bytes` are the tensors of the ONNX file; `memory_bytes` the same plus the peak of live activations as an
    inference runtime allocates them (norm and activation folded, one arena).
    """

    network: Network
    figure: Figure
    macs: int
    size_bytes: int
    memory_bytes: int
    latency: Measurement | None = None

    @property
    def name(self) -> str:
        """The network, and the resolution where it is not the usual one."""
        return self.network.name if self.resolution == 224 else f"{self.network.name}@{self.resolution}"

    @property
    def resolution(self) -> int:
        return self.network.input[1]

    @property
    def top1(self) -> float:
        """Published top-1 accuracy on ImageNet, %."""
        assert self.figure.top1 is not None
        return self.figure.top1

    @property
    def latency_ms(self) -> float:
        """Median latency; infinite while unmeasured or failed."""
        return self.latency.median_ms if self.latency and not self.latency.failure else float("inf")

    @property
    def latency_high_ms(self) -> float:
        """The upper end of the 95 % interval of the median: what has to fit a latency budget."""
        return self.latency.high_ms if self.latency and not self.latency.failure else float("inf")


class Limit(NamedTuple):
    """One kind of limit: its name (a field of Budget and an option), what a candidate uses, how it is printed.

    `ask` writes a value as the option takes it, rounded so that the value itself keeps it.
    """

    name: str
    used: Callable[[Candidate], float]
    show: Callable[[float], str]
    ask: Callable[[float], str]
    at_least: bool = False  # the only limit from below is accuracy


def percent(value: float) -> str:
    """76.13 -> 76.1 %"""
    return f"{value:.1f} %"


LIMITS = (
    Limit("macs", lambda c: c.macs, show_count, lambda n: ask(n, COUNTS)),
    Limit("size", lambda c: c.size_bytes, show_bytes, lambda n: ask(n, DECIMAL_BYTES)),
    Limit("memory", lambda c: c.memory_bytes, show_bytes, lambda n: ask(n, DECIMAL_BYTES)),
    Limit("top1", lambda c: c.top1, percent, lambda n: f"{floor(n * 10) / 10:g}", at_least=True),
    Limit("latency", lambda c: c.latency_high_ms, show_ms, lambda n: ask(n, TIMES)),
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
        return [limit for limit in limits if not keeps(limit, limit.used(candidate), self.limit(limit))]


def keeps(limit: Limit, used: float, bound: float | None) -> bool:
    """Whether a use keeps a bound."""
    if bound is None:
        return True
    return used >= bound if limit.at_least else used <= bound
