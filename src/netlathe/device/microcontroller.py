"""Does a network fit a microcontroller: flash, SRAM and time in int8, for a named runtime.

The counted part is exact: parameters, the best order, the arena, and MCUNetV2's measure (largest input + output, the
depthwise ones in place: 1372.0 KiB for MobileNetV2 at 224). What a runtime adds is data, mcu_measurements.csv: ten
networks of MCUNet's zoo under four runtimes on an STM32H743 (mit-han-lab/tinyengine README @022fc116; MACs and
parameters from mit-han-lab/mcunet README @0dedab54; both MIT).

flash  parameters at 1 byte, and what the image holds besides (code, biases, scales): published flash - parameters
sram   TensorFlow Lite Micro's arena by its own rule, where it is given; TinyEngine works in MCUNetV2's measure; another
       runtime needs so many times TinyEngine's on the same network
ms     the card's model of the runtime (`device fit`), else MACs / the runtime's rate on the card
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from netlathe.arch.graph import Graph
from netlathe.arch.net import Net
from netlathe.cost.memory import Memory
from netlathe.cost.plan import plan
from netlathe.device.card import DeviceCard
from netlathe.device.evidence import evidence
from netlathe.device.latency import predict
from netlathe.device.patches import Patches, cuts, patches
from netlathe.device.workload import cost_of, memory_of
from netlathe.errors import NetlatheError, unknown
from netlathe.runtimes.registry import forecast_name

INT8 = "int8"
ENGINE = "tinyengine"  # the runtime of the measure, and of inference in patches
# Measured SRAM over the counted measure: MobileNetV2 0.35 at 144, 295 kB (or KiB: nobody says) by 283.5 KiB.
MARGIN = (1.0, 1.02, 1.05)
Verdict = Literal["fits", "may fit", "in patches", "too big"]


class Spread(NamedTuple):
    """What is expected, and between which ends."""

    low: float
    mid: float
    high: float

    def scaled(self, by: Spread) -> Spread:
        """Ends with ends."""
        return Spread(self.low * by.low, self.mid * by.mid, self.high * by.high)


@dataclass(frozen=True, slots=True)
class MicrocontrollerFit:
    """A network against a card. Bytes and milliseconds; a limit that the card does not give is None."""

    network: str
    runtime: str
    flash: Spread
    flash_limit: int | None
    sram: Spread
    sram_limit: int
    ms: Spread | None
    basis: str  # what the latency rests on
    memory: Memory  # exact, int8
    patched: Patches | None  # the cheapest split that fits, where the whole network does not
    verdict: Verdict
    binding: str  # what is over its limit
    warnings: tuple[str, ...]


def is_microcontroller(card: DeviceCard) -> bool:
    """Whether a card is of a microcontroller."""
    return card.processor == "microcontroller"


@cache
def read_measurements() -> tuple[dict[str, str], ...]:
    """The rows of mcu_measurements.csv."""
    with Path(__file__).with_name("mcu_measurements.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def measured_runtimes() -> list[str]:
    """Those with measurements."""
    return list(dict.fromkeys(row["runtime"] for row in read_measurements()))


def spread_values(values: Iterable[float]) -> Spread:
    """The lowest, the median, the highest."""
    numbers = list(values)
    return Spread(min(numbers), median(numbers), max(numbers))


@cache
def flash_overhead(runtime: str) -> Spread:
    """Bytes of flash besides one a parameter."""
    rows = [row for row in read_measurements() if row["runtime"] == runtime]
    return spread_values(1e3 * float(row["flash_kb"]) - 1e6 * float(row["params_m"]) for row in rows)


@cache
def sram_factor(runtime: str) -> Spread:
    """SRAM over the counted measure (largest input + output, depthwise in place)."""
    engine = {row["network"]: float(row["sram_kb"]) for row in read_measurements() if row["runtime"] == ENGINE}
    rows = [row for row in read_measurements() if row["runtime"] == runtime]
    return Spread(*MARGIN).scaled(spread_values(float(row["sram_kb"]) / engine[row["network"]] for row in rows))


def is_timed(card: DeviceCard, runtime: str) -> bool:
    """Whether a card has a model or a rate of a runtime."""
    return (forecast_name(runtime), INT8, 1) in evidence(card)


def fit_microcontroller(
    network: Net, card: DeviceCard, *, runtime: str = ENGINE, arena: Spread | None = None, notes: Sequence[str] = ()
) -> MicrocontrollerFit:
    """Whether and how a network fits; `arena` is the SRAM in bytes where the runtime's own rule is known.

    Raises NetlatheError for a card that is no microcontroller, and for a runtime without measurements.
    """
    if not is_microcontroller(card):
        raise NetlatheError(
            f"{card.id} is no microcontroller but a {card.class_}", code="device.not_micro", hint="try stm32f746"
        )
    runtime = forecast_name(runtime)
    if runtime not in measured_runtimes():
        raise unknown("runtime", runtime, measured_runtimes(), code="device.runtime")
    work = network.workload or network.graph()
    cost, peak, warnings = cost_of(work), memory_of(work, 1), list[str]()
    sram_limit = card.bytes("sram")
    flash_limit = card.bytes("flash") if card.find("flash") else None
    if flash_limit is None:
        warnings.append(f"{card.id} has no flash of its own: whether the weights fit depends on the board")
    flash = Spread(*(cost.params + extra for extra in flash_overhead(runtime)))
    sram = arena or Spread(*(peak.max_in_out * times for times in sram_factor(runtime)))
    warnings += notes
    latency = predict(work, card, runtime=runtime, precision=INT8) if is_timed(card, runtime) else None
    if latency is None:
        warnings.append(f"nobody measured {runtime} on {card.id}: no latency")
    else:
        warnings += latency.warnings

    over = [
        name
        for name, need, limit in (("flash", flash, flash_limit), ("sram", sram, sram_limit))
        if limit is not None and need.low > limit
    ]
    patched = None
    if over == ["sram"] and runtime == ENGINE:
        graph = work if isinstance(work, Graph) else None
        options = patches(graph, int(sram_limit / MARGIN[2])) if graph else ()
        patched = min(options, key=lambda option: (option.extra, option.peak), default=None)  # the least computed again
        if graph is None or any(op.leaf is None for op in graph.ops):
            warnings.append(f"{network.name} has no expression, whose windows patches follow: none are tried")
        elif patched is None:
            local = next(cuts(graph, plan(graph)), None) is not None
            reason = "no split into patches fits" if local else "patches do not apply, the first layers look everywhere"
            warnings.append(f"{network.name}: {reason}")
        elif patched.peak_with_image > sram_limit:
            warnings.append(f"{network.name} in patches: the image has to stream in, it does not fit beside them")
    tight = flash_limit is not None and flash.high > flash_limit
    if over and not patched:
        verdict: Verdict = "too big"
    elif tight or (sram.high > sram_limit and not patched):
        verdict = "may fit"
    else:
        verdict = "in patches" if patched else "fits"
    again = patched.macs / cost.macs if patched else 1.0
    ms = None
    if latency is not None:
        ms = Spread(*(again * part for part in (latency.low_ms, latency.total_ms, latency.high_ms)))
    return MicrocontrollerFit(
        network=f"{network.name}@{network.input[-1]}",
        runtime=runtime,
        flash=flash,
        flash_limit=flash_limit,
        sram=sram,
        sram_limit=sram_limit,
        ms=ms,
        basis=latency.basis if latency else "",
        memory=peak,
        patched=patched,
        verdict=verdict,
        binding=" and ".join(over),
        warnings=tuple(warnings),
    )
