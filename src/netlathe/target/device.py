"""The targets of a device by its card. What kind a device is, is asked here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netlathe.device import card as cards
from netlathe.device.card import DeviceCard
from netlathe.device.microcontroller import is_microcontroller
from netlathe.target import card, microcontroller
from netlathe.target.card import CardTarget
from netlathe.target.microcontroller import MicrocontrollerTarget
from netlathe.target.target import Target


def target_on(
    device: DeviceCard, runtime: str, precision: str = "fp32", threads: int = 1, batch: int = 1
) -> CardTarget | MicrocontrollerTarget:
    """One way to run networks on a device."""
    kind = MicrocontrollerTarget if is_microcontroller(device) else CardTarget
    return kind(device, runtime, precision, threads, batch)


def targets_on(
    name: str | Path, runtimes: Sequence[str] = (), precision: str | None = None, threads: int = 1, batch: int = 1
) -> list[Target]:
    """The ways to run networks on a device, by the name or the file of its card; nothing is measured. Never empty.

    Without `runtimes` those that the card has models of. Raises NetlatheError for an unknown device, and for a
    precision, batch or number of threads that its card knows nothing of.
    """
    device = cards.load(name)
    if is_microcontroller(device):
        ways = microcontroller.ways(device, runtimes, precision, threads, batch)
    else:
        ways = card.ways(device, runtimes, precision, threads)
    return [target_on(device, runtime, kind, threads, batch) for runtime, kind in ways]


def all_targets(device: DeviceCard, batch: int = 1) -> list[Target]:
    """Every way to run networks that a card knows something of, the usual one first. Never empty."""
    return microcontroller.options(device, batch) if is_microcontroller(device) else card.options(device, batch)
