"""This machine, which measures; forecasts of its own card say what is worth measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from netlathe.bench.calibrate import calibrate, is_hindered, watch_load
from netlathe.bench.machine import this_machine
from netlathe.bench.own_card import calibrating, own_card_path, read_calibrated_card, read_own_card
from netlathe.bench.raw import save_calibrations
from netlathe.device.card import DeviceCard, Model
from netlathe.errors import NetlatheError
from netlathe.runtimes import registry
from netlathe.target.card import CardTarget
from netlathe.target.target import Target, Ways

Progress = Callable[[int, int, str], None]
ALL = "all"  # every installed runtime, as the name of one


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
    """This machine, calibrated now for what it has no model of (half a minute a way); never empty.

    Without `runtimes` it is those that the card of this machine has models of; on first use ONNX Runtime, LiteRT where
    it is installed, and what the processor has fast instructions for (`promising_ways`). `ALL` is every installed one
    in every precision. Calibration is at batch 1; forecasts of another batch are extrapolated, with a wider interval
    and a note. Raises NetlatheError for a runtime of a GPU, and MissingExtra for one that is not installed, before
    anything is measured.
    """
    required, optional = ways_here(runtimes, precision, threads)
    complete(required, optional, threads, progress)
    card = read_own_card()
    assert card is not None
    valid = calibrated(read_calibrated_card(), threads)
    ways = [way for way in (*required, *optional) if way in required or way in valid]
    return [MachineTarget(card, runtime, kind, threads, batch) for runtime, kind in ways]


def ways_here(runtimes: Sequence[str], precision: str | None, threads: int) -> tuple[Ways, Ways]:
    """The ways to run networks here that are asked for, and those that take part where they can be calibrated.

    Raises NetlatheError for a runtime of a GPU, an unknown one, or a precision that it has not; MissingExtra for one
    that is not installed.
    """
    if set(runtimes) & registry.on_gpu():
        hint = "netlathe device calibrate --runtime torch-cuda -o my-gpu.toml, then choose --device my-gpu.toml"
        raise NetlatheError("a GPU is a device with a card of its own", code="device.cuda", hint=hint)
    default = (registry.DEFAULT, registry.precision_of(registry.DEFAULT, precision if precision == "fp32" else None))
    if ALL in runtimes:
        return [], [way for way in installed_ways() if precision in (None, way[1])] or [default]
    if runtimes:
        for name in runtimes:
            registry.runtime_version(name)
        return [(name, registry.precision_of(name, precision)) for name in runtimes], []
    if valid := [way for way in calibrated(read_calibrated_card(), threads) if precision in (None, way[1])]:
        return valid, []
    if precision is not None:
        fitting = [way for way in installed_ways() if way[1] == precision]
        return fitting[:1] or [(registry.DEFAULT, registry.precision_of(registry.DEFAULT, precision))], []
    return [default], [way for way in promising_ways() if way != default]


def installed_ways() -> Ways:
    """Every installed runtime of the processor in every precision that it computes floats in."""
    names = [name for name in registry.installed() if registry.runtime(name).processor == "cpu"]
    return [(name, kind) for name in names for kind in registry.runtime(name).precisions]


def promising_ways() -> Ways:
    """The installed ways that this processor has instructions for, which make them several times as fast as fp32, and
    those that are worth a look on any."""
    return [
        (name, kind)
        for name, kind in installed_ways()
        if instructions_for(name, kind) or kind in registry.runtime(name).first_look
    ]


def instructions_for(runtime: str, precision: str) -> tuple[str, ...]:
    """The instruction sets of this processor that make a precision several times as fast as fp32."""
    sets = registry.runtime(runtime).accelerated.get(precision, ())
    return tuple(name for name in sets if name in this_machine().flags)


def overlooked(targets: Sequence[Target], *, int8: bool = False) -> list[str]:
    """What is installed and took no part, in sentences that say how to look at it; `int8` was looked at."""
    seen = {(target.runtime, target.precision) for target in targets}
    others = [describe_way(name, kind) for name, kind in installed_ways() if (name, kind) not in seen]
    lines = [f"not looked at: {', '.join(others)}; --runtime {ALL} calibrates what is missing, half a minute each"]
    quick = {t.runtime: sets for t in targets if (sets := instructions_for(t.runtime, "int8"))}
    if quick and not int8:
        name, sets = next(iter(quick.items()))
        lines.append(
            f"not looked at: int8 under {name}, for which this processor has {sets[0]}; --int8 measures the quantised "
            "file of the pick"
        )
    return lines if others else lines[1:]


def describe_way(runtime: str, precision: str) -> str:
    """A way to run networks, and the instructions that the processor has for it."""
    sets = instructions_for(runtime, precision)
    return f"{runtime} {precision}" + (f" (this processor has {sets[0]})" if sets else "")


def complete(required: Ways, optional: Ways, threads: int, progress: Progress | None) -> None:
    """Calibrate this machine, and save its card, for the ways that it has no valid model of.

    An optional way that cannot be calibrated is left out, unless nothing else is left.
    """
    ways = list(dict.fromkeys((*required, *optional)))
    timed = calibrated(read_calibrated_card(), threads)
    if all(way in timed for way in ways):
        return
    with calibrating(wait=True):
        timed = calibrated(read_calibrated_card(), threads)  # of whoever calibrated meanwhile
        for name, kind in (way for way in ways if way not in timed):
            try:
                one = calibrate(
                    name, precision=kind, threads=threads, force=True, progress=titled(progress, f"{name} {kind}")
                )
            except NetlatheError:
                if (name, kind) in required or ((name, kind) == ways[-1] and not timed):
                    raise
                continue
            timed.append((name, kind))
            save_calibrations(own_card_path(), [(name, one)], read_calibrated_card())


def titled(progress: Progress | None, way: str) -> Progress | None:
    """Progress that says under what the machine is calibrated."""
    return progress and (lambda done, total, name: progress(done, total, f"{way}: {name}"))


def calibrated(card: DeviceCard | None, threads: int) -> Ways:
    """What a card has valid models of, by the names of the runtimes here."""
    pairs = {(m.runtime, m.precision): m for m in card.models if m.threads == threads} if card else {}
    names = [(registry.cpu_runner(runtime), kind, m) for (runtime, kind), m in sorted(pairs.items())]
    return [(name, kind) for name, kind, m in names if name is not None and is_valid(m, name)]


# How a calibration said what its error bar is of, before files were forecast by what they execute.
BEFORE = "each network in turn, all others kept"


def is_valid(model: Model, runtime: str) -> bool:
    """Whether a model says what this machine does: of the version that is installed, not made on a machine so busy that
    a calmer one now can do better, and of quantities as they are counted today."""
    if model.held_out == BEFORE:
        return False
    checked = model.runtime_version and runtime in registry.installed()
    if checked and model.runtime_version != registry.runtime_version(runtime):
        return False
    return not model.note or is_hindered(watch_load(), 1.0, model.threads)
