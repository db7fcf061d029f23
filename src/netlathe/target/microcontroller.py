"""A microcontroller: one image at a time in int8, where flash and SRAM are the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from netlathe.arch.graph import Graph
from netlathe.arch.net import Net, rewritable
from netlathe.arch.network import Network
from netlathe.device.card import DeviceCard
from netlathe.device.evidence import evidence
from netlathe.device.latency import GroupTime, LatencyPrediction, predict
from netlathe.device.microcontroller import ENGINE, INT8, MicrocontrollerFit, Spread, fit_microcontroller
from netlathe.device.workload import Workload, cost_of
from netlathe.errors import NetlatheError, unknown
from netlathe.runtimes.registry import forecast_name
from netlathe.target.target import CostEstimate, Target, Ways, forecast_from, operators_of, work_of


@dataclass(frozen=True)
class MicrocontrollerTarget(Target):
    """A microcontroller by its card."""

    only_precision: ClassVar[Literal["int8"] | None] = "int8"
    instant: ClassVar[bool] = False  # whether a network fits in patches takes half a second to say

    def predict(self, net: Net) -> LatencyPrediction:
        """The latency of one image in int8; in patches where the whole network does not fit.

        Raises NetlatheError for another precision or batch, and without a rate of the runtime.
        """
        ways(self.device, [self.runtime], self.precision, self.threads, self.batch)
        return timed(operators_of(net), self, fitted(net, self))

    def estimate(self, net: Net, work: Graph | Workload | None = None) -> CostEstimate:
        """Flash is the size, SRAM the memory, both at the upper end of what is expected.

        What a table knows is not enough here: patches follow the windows of the operators.
        """
        fit = fitted(net, self)
        return CostEstimate(
            macs=fit.patched.macs if fit.patched else cost_of(work_of(net)).macs,
            size_bytes=int(fit.flash.high),
            memory_bytes=int(fit.patched.peak if fit.patched else fit.sram.high),
            forecast=forecast_from(timed(work_of(net), self, fit)) if fit.ms else None,
            fit=fit,
        )

    def command(self, net: str, device: str) -> str:
        """`device micro`, which says what fits."""
        return f"netlathe device micro {net} --device {device} --runtime {self.runtime}"

    @property
    def limits(self) -> dict[str, int]:
        """Flash, where the device has its own, and SRAM."""
        flash = {"size": self.device.bytes("flash")} if self.device.find("flash") else {}
        return {**flash, "memory": self.device.bytes("sram")}


CMSIS = "cmsis-nn"
ARENAS = ("tflm", CMSIS)  # runtimes that plan as TensorFlow Lite Micro does; the scratch of CMSIS-NN is not known
LAST: dict[str, tuple[Net, MicrocontrollerTarget, MicrocontrollerFit]] = {}


def fitted(net: Net, target: MicrocontrollerTarget) -> MicrocontrollerFit:
    """How a network fits. The last answer is kept: the latency and the memory are asked for one after the other, and
    patches take half a second."""
    last = LAST.get("fit")
    if last is None or last[0] is not net or last[1] != target:
        last = LAST["fit"] = net, target, fit_net(net, target.device, target.runtime)
    return last[2]


def fit_net(net: Net, card: DeviceCard, runtime: str) -> MicrocontrollerFit:
    """How a network fits under a runtime; under TensorFlow Lite Micro with the arena that it plans.

    Raises NetlatheError as `fit_microcontroller` does.
    """
    arena, notes = None, list[str]()
    network = rewritable(net) if forecast_name(runtime) in ARENAS else None
    if network is not None and may_hold(card, net):
        arena, notes = plan_sram(network, forecast_name(runtime))
    return fit_microcontroller(net, card, runtime=runtime, arena=arena, notes=notes)


def may_hold(card: DeviceCard, net: Net) -> bool:
    """Whether the flash could hold the weights: what it cannot needs no plan."""
    return not card.find("flash") or cost_of(work_of(net)).params <= card.bytes("flash")


def plan_sram(network: Network, runtime: str) -> tuple[Spread | None, list[str]]:
    """The arena of a network in bytes, and what is to be said of it; None where LiteRT cannot hold it."""
    from netlathe.lower.tflite.arena import plan_arena  # numpy, only for who asks

    try:
        arena = plan_arena(network)
    except NetlatheError as error:
        return None, [f"{network.name} has no .tflite file, so its SRAM is estimated: {error.message} ({error.path})"]
    notes = [f"TensorFlow Lite Micro has no {kind}, which {network.name} needs" for kind in arena.missing]
    least, most = arena.head + arena.least_tail, arena.head + arena.tail
    if runtime == CMSIS:
        return Spread(least, most, most + arena.scratch), notes
    return Spread(least, most, most), notes


def timed(work: Graph | Workload, target: MicrocontrollerTarget, fit: MicrocontrollerFit) -> LatencyPrediction:
    """The time of a network as it fits: operator by operator, and what patches compute again."""
    whole = predict(work, target.device, runtime=target.runtime, precision=target.precision)
    if fit.ms is None or fit.patched is None:
        return whole
    again = GroupTime(fit.patched.path, "patches", fit.ms.mid - whole.total_ms, "compute")
    return replace(
        whole,
        total_ms=fit.ms.mid,
        low_ms=fit.ms.low,
        high_ms=fit.ms.high,
        rows=(*whole.rows, again),
        warnings=tuple(dict.fromkeys((*whole.warnings, *fit.warnings))),
    )


def ways(card: DeviceCard, runtimes: Sequence[str], precision: str | None, threads: int, batch: int) -> Ways:
    """int8, one image and one thread at a time, under the runtimes that are asked for, else one that the card knows.

    Raises NetlatheError for another precision, number of threads or batch.
    """
    if threads != 1:
        raise NetlatheError(
            f"{card.id} runs one thread, not {threads}", code="device.threads", hint="leave --threads out"
        )
    if batch != 1:
        raise NetlatheError(f"{card.id} runs one image at a time, not {batch}", code="device.batch")
    if precision not in (None, INT8):
        raise unknown(f"precision of {card.id}", str(precision), [INT8], code="device.precision")
    timed = [name for name, _, _ in evidence(card)]
    return [(name, INT8) for name in runtimes or [ENGINE if ENGINE in timed or not timed else timed[0]]]


def options(card: DeviceCard, batch: int = 1) -> list[Target]:
    """int8 under every runtime that the card has a model or a rate of, the one of patches first. Never empty."""
    names = sorted(dict.fromkeys(name for name, _, _ in evidence(card)), key=lambda name: name != ENGINE)
    return [MicrocontrollerTarget(card, name, INT8, batch=batch) for name in names or [ENGINE]]
