"""Target: a device with a runtime, a precision, threads and a batch; it says what a net costs there.

There are three kinds, a file each: this machine, which measures (`here`), a device that only a card describes (`card`),
and a microcontroller (`microcontroller`). What differs between them is asked of the target, never of the class of its
device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeAlias, cast

from netlathe.arch.graph import Graph
from netlathe.arch.net import Net
from netlathe.cost.count import BYTES
from netlathe.device.card import DeviceCard, Model
from netlathe.device.latency import LatencyPrediction
from netlathe.device.microcontroller import MicrocontrollerFit
from netlathe.device.roofline import Roofline, roofline
from netlathe.device.workload import Workload, arena_of, cost_of
from netlathe.errors import MissingExtra, NetlatheError
from netlathe.runtimes.registry import runnable

Ways: TypeAlias = list[tuple[str, str]]  # to run a network: runtime and precision


class Forecast(NamedTuple):
    """A predicted latency; nine of ten networks lie between the ends."""

    ms: float
    low_ms: float
    high_ms: float
    basis: str


class CostEstimate(NamedTuple):
    """What a net costs on a target before anything is measured.

    `macs` are of one image, `size_bytes` of the file; `memory_bytes` is the weights and the peak of live activations as
    an inference runtime allocates them (norm and activation folded, one arena), and the forecast is of the batch.
    """

    macs: int
    size_bytes: int
    memory_bytes: int
    forecast: Forecast | None = None
    fit: MicrocontrollerFit | None = None  # how it fits a microcontroller


@dataclass(frozen=True)
class Target(ABC):
    """A device with a runtime, a precision, threads and a batch: latency and memory are of so many images."""

    device: DeviceCard
    runtime: str
    precision: str = "fp32"
    threads: int = 1
    batch: int = 1

    measures: ClassVar[bool] = False  # latencies are measured here; elsewhere the forecast decides
    only_precision: ClassVar[Literal["int8"] | None] = (
        None  # what everything is deployed in there, where there is no choice
    )
    instant: ClassVar[bool] = True  # an estimate takes milliseconds

    @abstractmethod
    def predict(self, net: Net) -> LatencyPrediction:
        """The latency of a batch with its basis and interval, operator by operator: what every verb and page shows.

        Raises NetlatheError where the card has neither a model nor the figures for a forecast.
        """

    def at(self, precision: str, batch: int) -> Self:
        """The same target in another precision and with another batch."""
        return replace(self, precision=precision, batch=batch)

    def for_net(self, net: Net) -> Target:
        """The same in the precision in which a file runs, whatever was asked; itself for what is lowered here."""
        return self

    @property
    def model(self) -> Model | None:
        """The fitted model that forecasts come from; None where they come from figures."""
        return None

    def bound(self, net: Net) -> Roofline | None:
        """The least times of a net by the roofline, which are no forecast; None where the card has no such figures."""
        try:
            return roofline(net.graph(), self.device, precision=self.precision, batch=self.batch)
        except NetlatheError:
            return None

    @abstractmethod
    def estimate(self, net: Net, work: Graph | Workload | None = None) -> CostEstimate:
        """The costs of a net here, with the forecast of its latency; `work` is what a table knows of it.

        Raises NetlatheError where the card has neither a model nor the figures for a forecast.
        """

    @abstractmethod
    def command(self, net: str, device: str) -> str:
        """The command that explains the latency of a net (as it is typed) on this device (by name or file)."""

    def measure_command(self, net: Net) -> str:
        """The commands that measure a net on the device itself, or give the file to measure there."""
        resolution = f" --resolution {net.input[-1]}" if net.input[-1] != 224 else ""
        if self.runtime not in runnable():
            file = net.name.rpartition(":")[2] + ".onnx"
            return f"netlathe export {net.name}{resolution} -o {file}, and time that file there"
        how = f" --runtime {self.runtime} --precision {self.precision} --threads {self.threads}"
        how += f" --batch {self.batch}" * (self.batch > 1)
        return f"on the device, netlathe bench {net.name}{resolution}{how}"

    @property
    def limits(self) -> dict[str, int]:
        """The limits that the device itself sets, in bytes by the name of a limit of `Budget`."""
        return {}

    @property
    def notes(self) -> list[str]:
        """What to say beside everything that is forecast here."""
        return []


def forecast_from(prediction: LatencyPrediction) -> Forecast:
    """The sum of a prediction, without its operators."""
    return Forecast(prediction.total_ms, prediction.low_ms, prediction.high_ms, prediction.basis)


def latency_data(target: Target, net: Net) -> dict[str, Any]:
    """The latency of a net on a target as JSON values, with the target and the least time by the roofline.

    Raises NetlatheError as `Target.predict` does.
    """
    target = target.for_net(net)
    bound = target.bound(net)
    how = {name: getattr(target, name) for name in ("runtime", "precision", "threads", "batch")}
    latency = forecast_from(target.predict(net))._asdict() | {"least_ms": bound.ms if bound else None}
    return {**latency, "device": target.device.id, **how}


def counted(net: Net, precision: str, batch: int = 1) -> CostEstimate:
    """The costs of a net that no device decides, without a forecast."""
    return counted_work(work_of(net), precision, batch)


def counted_work(work: Graph | Workload, precision: str, batch: int = 1) -> CostEstimate:
    """The costs that no device decides of what has these operators, or these sums."""
    cost, arena = cost_of(work), arena_of(work, BYTES[precision], batch)
    written = work.precision if isinstance(work, Graph) else "fp32"
    size = cost.stored_bytes(BYTES[written])  # of the file, whatever precision the runtime computes in
    return CostEstimate(cost.macs, size, cost.stored_bytes(BYTES[precision]) + arena)


LAST: dict[str, tuple[Net, Graph]] = {}


def work_of(net: Net) -> Graph | Workload:
    """What counts and forecasts of a net rest on: what a table knows of it, else its graph."""
    return cast(Workload, net.workload) if net.workload is not None else graph_of(net)


def operators_of(net: Net) -> Graph | Workload:
    """The graph of a net, with its paths; what a table knows of it, where its graph needs what is not installed."""
    try:
        return graph_of(net)
    except MissingExtra:
        if net.workload is None:
            raise
        return cast(Workload, net.workload)


def graph_of(net: Net) -> Graph:
    """The graph of a net. The last one is kept: one target after the other asks for it, and each more than once."""
    last = LAST.get("graph")
    if last is None or last[0] is not net:
        last = LAST["graph"] = net, net.graph()
    return last[1]
