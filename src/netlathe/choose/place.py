"""Where a network is to run: this machine, which measures, or a device that only a card describes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.bench.calibrate import calibrate, card_of
from netlathe.bench.machine import this_machine
from netlathe.bench.own_card import own_card_path, read_own_card
from netlathe.choose.budget import Budget, Candidate, Forecast
from netlathe.cost.count import BYTES, Cost, count
from netlathe.cost.memory import timeline
from netlathe.device import micro
from netlathe.device.card import DeviceCard, load, save
from netlathe.device.latency import model_for as fitted
from netlathe.device.latency import predict
from netlathe.errors import NetlatheError, unknown
from netlathe.files import make_folder
from netlathe.runtimes import registry
from netlathe.zoo.published import Figure, figures

FILE_BYTES = 4  # an element of an ONNX file, whatever precision the runtime computes in
MCU = "microcontroller"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """A device with the runtimes and precisions to choose from; `here` where it is this machine.

    `batch` images at a time: latency and memory are of all of them.
    """

    card: DeviceCard
    settings: tuple[tuple[str, str], ...]
    threads: int
    here: bool
    notes: tuple[str, ...] = ()
    batch: int = 1


def this_place(
    runtimes: Sequence[str],
    precision: str | None,
    threads: int,
    *,
    batch: int = 1,
    progress: Progress | None = None,
) -> Place:
    """This machine, calibrated now for what it has no model of (half a minute a runtime).

    Without `runtimes` it is those that the card of this machine has models of, else ONNX Runtime. Calibration is at
    batch 1; forecasts of another batch are extrapolated, with a wider interval and a note.
    """
    if set(runtimes) & registry.on_gpu():
        hint = "netlathe device calibrate --runtime torch-cuda -o my-gpu.toml, then choose --device my-gpu.toml"
        raise NetlatheError("a GPU is a device with a card of its own", code="device.cuda", hint=hint)
    card = read_own_card()
    settings = [(name, registry.precision_of(name, precision)) for name in runtimes]
    if not settings:
        settings = [s for s in models(card, threads) if precision in (None, s[1])] or [
            (registry.DEFAULT, registry.precision_of(registry.DEFAULT, precision))
        ]
    missing = [s for s in settings if s not in models(card, threads)]
    done = []
    for name, kind in missing:
        registry.runtime_version(name)  # MissingExtra before half a minute of measuring
        done.append(calibrate(name, precision=kind, threads=threads, force=True, progress=progress))
    if done:
        card = card_of(this_machine(), done, card)
        path = own_card_path()
        make_folder(path.parent)
        save(card, path)
    assert card is not None
    used = {(registry.forecast_name(name), kind, threads) for name, kind in settings}
    said = [m for m in card.models if m.note and (m.runtime, m.precision, m.threads) in used]
    notes = [f"{m.runtime} {m.precision} was {m.note}" for m in said]
    return Place(card, tuple(settings), threads, True, (*notes, *extrapolated(card, settings, threads, batch)), batch)


def extrapolated(card: DeviceCard, settings: Iterable[tuple[str, str]], threads: int, batch: int) -> list[str]:
    """What to say of settings whose models were fitted at another batch."""
    found = [(name, kind, fitted(card, registry.forecast_name(name), threads, kind, batch)) for name, kind in settings]
    return [f"{name} {kind}: {far}" for name, kind, (_, warnings) in found for far in warnings]


def models(card: DeviceCard | None, threads: int) -> list[tuple[str, str]]:
    """(runtime, precision) of the models of a card, by the names of the runtimes here."""
    found = {(m.runtime, m.precision) for m in card.models if m.threads == threads} if card else set()
    return [(name, p) for r, p in sorted(found) if (name := registry.cpu_runner(r)) is not None]


def card_place(name: str, runtimes: Iterable[str], precision: str | None, threads: int, batch: int = 1) -> Place:
    """A device by its card: nothing is measured."""
    card, asked = load(name), list(runtimes)
    if card.class_ == MCU:
        if batch != 1:
            raise NetlatheError(f"{card.id} runs one image at a time, not {batch}", code="device.batch")
        if precision not in (None, "int8"):
            raise unknown(f"precision of {card.id}", str(precision), ["int8"], code="device.precision")
        rates = [f.of for f in card.find("rate")]
        settings = [(r, "int8") for r in asked or [micro.ENGINE if micro.ENGINE in rates or not rates else rates[0]]]
        return Place(card, tuple(settings), threads, False)
    have = sorted({(m.runtime, m.precision) for m in card.models})
    legal = [p for _, p in have] if have and not asked else [p for p in card.precisions if p in BYTES]
    if precision is not None and legal and precision not in legal:
        raise unknown(f"precision of {card.id}", precision, legal, code="device.precision")
    if have and not asked:
        settings = [s for s in have if precision in (None, s[1])]
    else:
        kind = precision or ("fp32" if "fp32" in legal or not legal else legal[0])
        settings = [(r, kind) for r in asked or [registry.DEFAULT]]
    return Place(card, tuple(settings), threads, False, tuple(extrapolated(card, settings, threads, batch)), batch)


def qualifying(pattern: str = "*", *, recipe: str = "", extra_data: bool = False) -> dict[tuple[str, int], Figure]:
    """By (network, resolution): the best figure that counts, see `candidates`. Raises NetlatheError where none does."""
    best: dict[tuple[str, int], Figure] = {}
    for name in zoo.names(pattern):
        for figure in sorted(figures(name), key=lambda f: f.top1 or 0.0):
            qualifies = figure.top1 and figure.crops == 1 and (extra_data or not figure.extra_data)
            if qualifies and recipe.lower() in figure.recipe.lower():
                best[name, figure.resolution] = figure
    if not best:
        message = f"no network matches {pattern!r} with a published accuracy" + f" by a recipe {recipe!r}" * bool(
            recipe
        )
        raise NetlatheError(message, code="choose.no_candidates", hint="`netlathe zoo` lists names and recipes")
    return best


def candidates(place: Place, pattern: str = "*", *, recipe: str = "", extra_data: bool = False) -> list[Candidate]:
    """Every network with a published top-1 at a resolution, under every setting of a place, with costs and forecast.

    The best figure that qualifies counts: single crop, ImageNet-1k alone unless `extra_data`, a recipe with the word.
    Raises NetlatheError where nothing qualifies.
    """
    best = qualifying(pattern, recipe=recipe, extra_data=extra_data)
    networks = {(name, resolution): zoo.get(name, resolution=resolution) for name, resolution in best}
    make = micro_candidate if place.card.class_ == MCU else candidate
    return [
        make(place, networks[at], figure, runtime, precision)
        for at, figure in best.items()
        for runtime, precision in place.settings
    ]


class Costs(NamedTuple):
    """The fields of a `Candidate` that are counted: MACs of an image, bytes of the file, bytes in memory."""

    macs: int
    size_bytes: int
    memory_bytes: int


def costs(cost: Cost, arena: int, precision: str) -> Costs:
    """Of a counted network whose activations need `arena` bytes."""
    elements = cost.params + cost.buffers
    return Costs(cost.macs, elements * FILE_BYTES, elements * BYTES[precision] + arena)


def candidate(place: Place, network: Network, figure: Figure, runtime: str, precision: str) -> Candidate:
    """A network with its exact costs and its forecast on the card; MACs are of one image, the rest of the batch."""
    rule, graph = registry.forecast_name(runtime), network.graph()
    p = predict(graph, place.card, runtime=rule, threads=place.threads, precision=precision, batch=place.batch)
    forecast = Forecast(p.total_ms, p.low_ms, p.high_ms, p.basis)
    return counted(network, figure, runtime, precision, batch=place.batch, forecast=forecast)


def counted(
    network: Network, figure: Figure, runtime: str, precision: str, *, batch: int = 1, forecast: Forecast | None = None
) -> Candidate:
    """A network with the costs that no device decides."""
    graph = network.graph()
    arena = max(held for _, held in timeline(graph, "arena", BYTES[precision], batch))
    return Candidate(
        network=network,
        figure=figure,
        **costs(count(graph), arena, precision)._asdict(),
        runtime=runtime,
        precision=precision,
        forecast=forecast,
    )


def micro_candidate(place: Place, network: Network, figure: Figure, runtime: str, precision: str) -> Candidate:
    """A network in int8 on a microcontroller: flash is its size, SRAM its memory, both at the upper end."""
    fit = micro.fit_micro(network, place.card, runtime=runtime)
    sram = int(fit.patched.peak if fit.patched else fit.sram.high)
    basis = f"MACs over the rate of {runtime}"
    return Candidate(
        network=network,
        figure=figure,
        macs=fit.patched.macs if fit.patched else count(network.graph()).macs,
        size_bytes=int(fit.flash.high),
        memory_bytes=sram,
        runtime=runtime,
        precision=precision,
        forecast=Forecast(fit.ms.mid, fit.ms.low, fit.ms.high, basis) if fit.ms else None,
    )


def within_card(budget: Budget, card: DeviceCard) -> Budget:
    """The budget with the limits of a microcontroller where it names none."""
    if card.class_ != MCU:
        return budget
    flash = card.bytes("flash") if card.find("flash") else None
    return replace(budget, size=budget.size or flash, memory=budget.memory or card.bytes("sram"))
