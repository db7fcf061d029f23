"""This machine, which measures; forecasts of its own card say what is worth measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from netlathe.bench.calibrate import calibrate, card_of
from netlathe.bench.machine import this_machine
from netlathe.bench.own_card import own_card_path, read_own_card
from netlathe.device.card import DeviceCard, save
from netlathe.errors import NetlatheError
from netlathe.files import make_folder
from netlathe.runtimes import registry
from netlathe.target.card import CardTarget
from netlathe.target.target import Target, Ways

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class MachineTarget(CardTarget):
    """This machine."""

    measures: ClassVar[bool] = True

    @property
    def notes(self) -> list[str]:
        """What was noted when the model was fitted, and that it was fitted at another batch."""
        way = (self.rule, self.precision, self.threads)
        noted = [m for m in self.device.models if m.note and (m.runtime, m.precision, m.threads) == way]
        return [*(f"{m.runtime} {m.precision} was {m.note}" for m in noted), *super().notes]


def targets_here(
    runtimes: Sequence[str],
    precision: str | None = None,
    threads: int = 1,
    *,
    batch: int = 1,
    progress: Progress | None = None,
) -> list[Target]:
    """This machine, calibrated now for what it has no model of (half a minute a runtime); never empty.

    Without `runtimes` it is those that the card of this machine has models of, else ONNX Runtime. Calibration is at
    batch 1; forecasts of another batch are extrapolated, with a wider interval and a note. Raises NetlatheError for a
    runtime of a GPU, and MissingExtra for one that is not installed.
    """
    if set(runtimes) & registry.on_gpu():
        hint = "netlathe device calibrate --runtime torch-cuda -o my-gpu.toml, then choose --device my-gpu.toml"
        raise NetlatheError("a GPU is a device with a card of its own", code="device.cuda", hint=hint)
    card = read_own_card()
    ways = [(name, registry.precision_of(name, precision)) for name in runtimes]
    if not ways:
        ways = [way for way in calibrated(card, threads) if precision in (None, way[1])] or [
            (registry.DEFAULT, registry.precision_of(registry.DEFAULT, precision))
        ]
    card = complete(card, ways, threads, progress)
    return [MachineTarget(card, runtime, kind, threads, batch) for runtime, kind in ways]


def complete(card: DeviceCard | None, ways: Ways, threads: int, progress: Progress | None) -> DeviceCard:
    """The card of this machine with models of all ways, calibrated and saved where they are missing."""
    timed, done = calibrated(card, threads), []
    for name, kind in ways:
        if (name, kind) not in timed:
            registry.runtime_version(name)  # MissingExtra before half a minute of measuring
            done.append(calibrate(name, precision=kind, threads=threads, force=True, progress=progress))
    if done:
        card = card_of(this_machine(), done, card)
        path = own_card_path()
        make_folder(path.parent)
        save(card, path)
    assert card is not None
    return card


def calibrated(card: DeviceCard | None, threads: int) -> Ways:
    """What a card has models of, by the names of the runtimes here."""
    pairs = {(m.runtime, m.precision) for m in card.models if m.threads == threads} if card else set()
    return [(name, p) for r, p in sorted(pairs) if (name := registry.cpu_runner(r)) is not None]
