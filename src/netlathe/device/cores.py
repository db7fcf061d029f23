"""The latency of a CPU that nobody measured, from measured devices with the same cores.

A card lists its cores as two figures each: `cores` (how many) and `clock`, of a name such as "cortex-a72". The hidden
vector (`device.population`) of a device is expected at slopes x description + effect of its core, both estimated from
the devices of a public table; the interval is that of devices left out in turn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log, log2
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from netlathe.device.card import ErrorBar, Model
from netlathe.device.population import coefficients
from netlathe.errors import NetlatheError

if TYPE_CHECKING:
    from netlathe.device.card import DeviceCard


class CoreGroup(NamedTuple):
    """Equal cores of a device."""

    core: str
    clock_ghz: float
    number: int


class Core(NamedTuple):
    """A sort of core: FLOPs a cycle in fp32, times as many in fp16; its effect, the devices that had it, their spread.

    `spread` is how far, times and each way, a device left out was from what the others made expect.
    """

    flops: float
    half: float
    effect: Sequence[float] = ()
    devices: int = 0
    spread: float = 1.0


@dataclass(frozen=True, slots=True)
class KnownCores:
    """What a table of measured devices says of cores under one runtime."""

    runtime: str
    date: str
    cover: float  # share of the networks of devices left out that lay inside the intervals
    mape: float  # of the same
    carried: float  # how far, times, a device is from its own measurements at another number of threads
    slopes: Sequence[Sequence[float]]
    cores: Mapping[str, Core]
    source: str


@cache
def known_cores() -> KnownCores:
    """That of cores.json."""
    document = json.loads(Path(__file__).with_name("cores.json").read_text(encoding="utf-8"))
    return KnownCores(**document | {"cores": {name: Core(**row) for name, row in document["cores"].items()}})


def describe(cores: Sequence[CoreGroup], facts: Mapping[str, Core]) -> tuple[float, ...]:
    """What is known of cores that work together, the fastest first: 1, then logarithms.

    Of FLOPs a second and core; of the number of cores, and of it beyond 8; of the gain of fp16; of how far the slowest
    core is below the mean, because work is divided evenly.
    """
    if not cores:
        return (1.0,)
    count = sum(group.number for group in cores)
    rates = [group.clock_ghz * facts[group.core].flops for group in cores]
    mean = sum(rate * group.number for rate, group in zip(rates, cores, strict=True)) / count
    half = facts[cores[0].core].half
    return (1.0, log(mean), log(count), max(log(count / 8), 0.0), log2(half), log(mean / min(rates)))


def groups_of(card: DeviceCard) -> list[CoreGroup]:
    """The cores of a card that it gives clock and number of, the fastest first."""
    table, clocks = known_cores().cores, {figure.of: figure.value for figure in card.find("clock")}
    groups = [
        CoreGroup(figure.of, clocks[figure.of], int(figure.value))
        for figure in card.find("cores")
        if figure.of in clocks and figure.of in table
    ]
    return sorted(groups, key=lambda group: -group.clock_ghz * table[group.core].flops)


def taken(groups: Sequence[CoreGroup], threads: int) -> list[CoreGroup]:
    """The cores that so many threads use, the fastest first; all where there are fewer."""
    used: list[CoreGroup] = []
    for group in groups:
        number = min(group.number, threads - sum(other.number for other in used))
        if number > 0:
            used.append(group._replace(number=number))
    return used


def precision_of(groups: Sequence[CoreGroup]) -> str:
    """What ncnn computes in on these cores: fp16 where all of them do."""
    return "fp16" if all(known_cores().cores[group.core].half > 1 for group in groups) else "fp32"


def expected_ways(card: DeviceCard) -> list[tuple[str, str, int]]:
    """(runtime, precision, threads) that the cores of a card allow to be expected."""
    table, groups = known_cores(), groups_of(card)
    ways = []
    for threads in range(1, sum(group.number for group in groups) + 1):
        used = taken(groups, threads)
        if table.cores[used[0].core].devices:
            ways.append((table.runtime, precision_of(used), threads))
    return ways


def expected_model(card: DeviceCard, runtime: str, precision: str, threads: int) -> Model | None:
    """A model of the cores of a card; None where no measured device has them, or not in this runtime and precision.

    A card that was measured with another number of threads keeps its distance from what its cores make expect.
    Raises NetlatheError for more threads than cores.
    """
    table, groups = known_cores(), groups_of(card)
    if runtime != table.runtime or not groups:
        return None
    have = sum(group.number for group in groups)
    if threads > have:
        raise NetlatheError(
            f"{card.id} has {have} cores, so {threads} threads would take turns",
            code="device.threads",
            hint=f"give --threads from 1 to {have}",
        )
    used = taken(groups, threads)
    core = table.cores[used[0].core]
    if not core.devices or precision != precision_of(used):
        return None
    parts, spread = expected_parts(used), core.spread
    others = f"{core.devices} measured devices" if core.devices > 1 else "the one measured device"
    basis = f"expected of {others} with {used[0].core} cores under {runtime}, not measured itself"
    own = nearest_threads(card, runtime, precision, threads)
    if own:
        apart = zip(parts, own.parts, expected_parts(taken(groups, own.threads)), strict=True)
        parts, spread = tuple(part * mine / likely for part, mine, likely in apart), min(spread, table.carried)
        basis = f"model of {runtime} with {own.threads} threads, carried to {threads} as {others} make likely"
    return Model(
        runtime=runtime,
        date=table.date,
        networks=own.networks if own else 0,
        coefficients=coefficients(parts),
        parts=parts,
        error=ErrorBar(table.mape, 1.0, 1 / spread, spread),
        threads=threads,
        precision=precision,
        held_out=f"each device left out in turn: {100 * table.cover:.0f} % of its networks inside",
        source=table.source,
        basis=basis,
    )


def expected_parts(used: Sequence[CoreGroup]) -> tuple[float, ...]:
    """The coefficients by part that cores make expect."""
    table = known_cores()
    x = describe(used, table.cores)
    return tuple(
        exp(sum(value * row[i] for value, row in zip(x, table.slopes, strict=True)) + effect)
        for i, effect in enumerate(table.cores[used[0].core].effect)
    )


def nearest_threads(card: DeviceCard, runtime: str, precision: str, threads: int) -> Model | None:
    """The model of a card with the nearest number of threads, by their ratio."""
    fitted = [m for m in card.models if m.parts and (m.runtime, m.precision, m.batch) == (runtime, precision, 1)]
    return min(fitted, key=lambda m: abs(log(m.threads / threads)), default=None)
