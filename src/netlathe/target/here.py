"""This machine, which measures; forecasts of its own card say what is worth measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from netlathe.bench.calibrate import calibrate, is_hindered, watch_load
from netlathe.bench.own_card import calibrating, own_card_path, read_calibrated_card, read_own_card
from netlathe.bench.raw import save_calibrations
from netlathe.device.card import DeviceCard, Model
from netlathe.errors import NetlatheError
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
    card = read_calibrated_card()
    ways = [(name, registry.precision_of(name, precision)) for name in runtimes]
    if not ways:
        ways = [way for way in calibrated(card, threads) if precision in (None, way[1])] or [
            (registry.DEFAULT, registry.precision_of(registry.DEFAULT, precision))
        ]
    complete(card, ways, threads, progress)
    card = read_own_card()
    assert card is not None
    return [MachineTarget(card, runtime, kind, threads, batch) for runtime, kind in ways]


def complete(card: DeviceCard | None, ways: Ways, threads: int, progress: Progress | None) -> None:
    """Calibrate this machine, and save its card, for the ways that it has no valid model of."""
    timed = calibrated(card, threads)
    if all(way in timed for way in ways):
        return
    for name, kind in ways:
        if (name, kind) not in timed:
            registry.runtime_version(name)  # MissingExtra before half a minute of measuring
    with calibrating(wait=True):
        card, done = read_calibrated_card(), {}  # of whoever calibrated meanwhile
        timed = calibrated(card, threads)
        for name, kind in ways:
            if (name, kind) not in timed:
                done[name, kind] = calibrate(name, precision=kind, threads=threads, force=True, progress=progress)
        if done:
            save_calibrations(own_card_path(), [(name, one) for (name, _), one in done.items()], card)


def calibrated(card: DeviceCard | None, threads: int) -> Ways:
    """What a card has valid models of, by the names of the runtimes here."""
    pairs = {(m.runtime, m.precision): m for m in card.models if m.threads == threads} if card else {}
    names = [(registry.cpu_runner(runtime), kind, m) for (runtime, kind), m in sorted(pairs.items())]
    return [(name, kind) for name, kind, m in names if name is not None and is_valid(m, name)]


def is_valid(model: Model, runtime: str) -> bool:
    """Whether a model says what this machine does: of the version that is installed, and not made on a machine so busy
    that a calmer one now can do better."""
    checked = model.runtime_version and runtime in registry.installed()
    if checked and model.runtime_version != registry.runtime_version(runtime):
        return False
    return not model.note or is_hindered(watch_load(), 1.0, model.threads)
