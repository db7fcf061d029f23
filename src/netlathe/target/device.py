"""The targets of a device by its card. What kind a device is, is asked here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netlathe.device import card as cards
from netlathe.device.card import DeviceCard
from netlathe.device.microcontroller import is_microcontroller
from netlathe.errors import NetlatheError
from netlathe.runtimes.registry import forecast_name
from netlathe.target import card, microcontroller
from netlathe.target.card import CardTarget
from netlathe.target.microcontroller import MicrocontrollerTarget
from netlathe.target.target import Target

THIS = "this"  # the card of this machine, by this name


def other_device(name: str | None) -> str | None:
    """The device that an option names; None for this machine, which measures."""
    return None if name == THIS else name


def load_device(name: str | Path) -> DeviceCard:
    """A card by name or file; `this` is that of this machine.

    Raises NetlatheError for an unknown name, a broken file, and where this machine was never calibrated.
    """
    if name != THIS:
        return cards.load(name)
    from netlathe.bench.own_card import own_card_path, read_own_card  # only who asks for it waits for its imports

    own = read_own_card()
    if own is None:
        hint = "netlathe device calibrate measures it in half a minute a runtime"
        raise NetlatheError("this machine has no card yet", code="device.none", path=str(own_card_path()), hint=hint)
    return own


def target_on(
    device: DeviceCard, runtime: str, precision: str = "fp32", threads: int = 1, batch: int = 1
) -> CardTarget | MicrocontrollerTarget:
    """One way to run networks on a device."""
    kind = MicrocontrollerTarget if is_microcontroller(device) else CardTarget
    return kind(device, runtime, precision, threads, batch)


def targets_on(
    name: str | Path | DeviceCard,
    runtimes: Sequence[str] = (),
    precision: str | None = None,
    threads: int | None = None,
    batch: int = 1,
) -> list[Target]:
    """The ways to run networks on a device, the usual one first; nothing is measured. Never empty.

    The device is a card, or its name or file. Without `runtimes` those that the card has models of; without `threads`
    the fewest that it knows something of. Raises NetlatheError for an unknown device, and for a precision, batch or
    number of threads that its card knows nothing of.
    """
    device = name if isinstance(name, DeviceCard) else load_device(name)
    count = threads or fewest_threads(device, runtimes, precision)
    if is_microcontroller(device):
        ways = microcontroller.ways(device, runtimes, precision, count, batch)
    else:
        ways = card.ways(device, runtimes, precision, count)
    targets: list[Target] = [target_on(device, runtime, kind, count, batch) for runtime, kind in ways]
    return targets if runtimes else sorted(targets, key=lambda target: target.precision != "fp32")


def fewest_threads(device: DeviceCard, runtimes: Sequence[str], precision: str | None) -> int:
    """The fewest threads that a card knows something of, in these runtimes and this precision."""
    names = {forecast_name(runtime) for runtime in runtimes}
    counts = [
        target.threads
        for target in all_targets(device)
        if (not names or forecast_name(target.runtime) in names) and precision in (None, target.precision)
    ]
    return min(counts, default=1)


def default_target(
    device: str | Path | DeviceCard,
    runtime: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    batch: int = 1,
) -> Target:
    """The way to run networks on a device that every verb takes where no other is asked for: the first of `targets_on`,
    whose errors are raised."""
    return targets_on(device, (runtime,) if runtime else (), precision, threads, batch)[0]


def all_targets(device: DeviceCard, batch: int = 1) -> list[Target]:
    """Every way to run networks that a card knows something of, the usual one first. Never empty."""
    return microcontroller.options(device, batch) if is_microcontroller(device) else card.options(device, batch)
