"""fit(): inspect the images, find what fits the budget, train with elimination, deploy, verify. Each step resumes.

The folder holds run.toml (what was asked for, resolved), steps/ (a file a step), rungs/ and final/ (training runs), and
what is deployed: model.onnx, package.json, card.json, card.html.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from netlathe.arch.document import from_json, to_json
from netlathe.arch.network import Network
from netlathe.bench import ledger
from netlathe.choose.budget import Budget, Candidate
from netlathe.choose.place import MCU, Place
from netlathe.choose.run import Bench
from netlathe.deploy.bake import arch_document, shown, trained
from netlathe.deploy.card import Forecast, Training, describe, write_card
from netlathe.deploy.check import Checked, check
from netlathe.deploy.limits import limits
from netlathe.deploy.package import Package, write_package
from netlathe.deploy.parity import parity, require_exact
from netlathe.deploy.score import held_out, images_for
from netlathe.errors import Infeasible, NetlatheError
from netlathe.fit.rungs import SEARCH, Entry, right_of, rung_seconds, survivors, tied
from netlathe.fit.space import Images, fitting, nearest_budgets, smallest, spread
from netlathe.fit.steps import done, refuse_other
from netlathe.train import precision
from netlathe.train.evaluate import normal_of
from netlathe.train.export import read_weights
from netlathe.train.images import Splits
from netlathe.train.loop import Tick
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import resolved, set_fields
from netlathe.train.run import train
from netlathe.zoo import get

FEWEST_EPOCHS = 15  # that the final training must be able to afford
RESERVE_S = 30.0  # for deploying and verifying, beside a share of the time
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for. One of `seconds` and `epochs`: a wall for everything, or epochs of the final training."""

    data: str
    budget: Mapping[str, str]  # as written: latency = "10ms"
    limits: Budget
    seconds: float | None
    epochs: float | None
    seed: int
    recipe: Recipe
    threads: int | None
    precision: str = "auto"  # of training


def fit(
    wish: Wish,
    splits: Splits,
    place: Place,
    out: Path,
    *,
    started: float | None = None,
    say: Say = lambda line: None,
    progress: Callable[[str], Callable[[Tick], None] | None] = lambda title: None,
) -> tuple[Package, Checked | None]:
    """A trained network in a verified file that keeps the budget; the same call on the folder goes on where it stopped.

    Raises Infeasible, before any training, where no network keeps the budget; and NetlatheError for a folder of another
    fit and whatever training and deploying raise. On a device that is not this machine nothing is measured.
    """
    begin = clock.monotonic() if started is None else started
    if wish.threads is not None:
        torch.set_num_threads(wish.threads)
    refuse_other(out, {
        "data": wish.data, "images": splits.train.key, "budget": dict(wish.budget), "device": place.card.id,
        "seconds": wish.seconds, "epochs": wish.epochs, "seed": wish.seed, "recipe": resolved(wish.recipe),
    })  # fmt: skip
    found = done(out, "candidates", lambda: shortlist(wish, splits, place, say))
    say(f"{len(found['candidates'])} candidates that keep the budget: "
        + ", ".join(c["name"] for c in found["candidates"]))  # fmt: skip
    times = done(out, "times", lambda: shares(wish, clock.monotonic() - begin))
    pool = {c["name"]: c for c in found["candidates"]}
    names, rung = list(pool), 0
    while len(names) > 1:
        names = raced(wish, splits, out, pool, names, rung, times, say, progress)["kept"]
        rung += 1
    winner = pool[names[0]]
    start = out / "rungs" / f"{rung - 1}" / place_of(winner["name"]) if rung else None
    final = finalist(wish, splits, out, winner, start, begin, say, progress)
    package = deployed(wish, splits, place, out, winner, say)
    checked = verified(wish, splits, place, package, found, winner, final, out, say) if place.here else None
    return package, checked


def shares(wish: Wish, spent: float) -> dict[str, Any]:
    """How the time is shared: to search, and for each epoch-limited rung."""
    if wish.seconds is None:
        assert wish.epochs is not None
        return {"search_s": None, "rung_epochs": max(1.0, wish.epochs / 5)}
    left = wish.seconds - spent - reserve(wish.seconds)
    if left < 10:
        raise NetlatheError(
            f"{wish.seconds:.0f} s are too little: {spent:.0f} s went before training, deploying needs "
            f"{reserve(wish.seconds):.0f} s",
            code="fit.time",
            hint=f"give at least --time {spent + reserve(wish.seconds) + 60:.0f}s",
        )
    return {"search_s": SEARCH * left, "rung_epochs": None}


def reserve(seconds: float) -> float:
    """Seconds kept for what comes after training."""
    return RESERVE_S + 0.03 * seconds


def shortlist(wish: Wish, splits: Splits, place: Place, say: Say) -> dict[str, Any]:
    """The candidates that are raced, measured where the device is this machine."""
    height, width, channels = splits.train.pixels.shape[1:]
    images = Images(len(splits.train.classes), channels, min(height, width))
    most = most_macs(wish, len(splits.train), channels)
    fits = fitting(place, wish.limits, images, most)
    if not fits:
        raise impossible(wish, place, images)
    chosen = spread(fits, racers(wish))
    if place.here and place.card.class_ != MCU:
        say(f"measuring {len(chosen)} networks")
        measured = Bench(place, 0.5, False, None).measure(chosen)
        chosen = [c for c in measured if not wish.limits.broken(c)]
        if not chosen:
            raise impossible(wish, place, images)
    return {"candidates": [described(c) for c in chosen], "considered": len(fits), "most_macs": most}


def racers(wish: Wish) -> int:
    """How many networks are raced: no more than the time can tell apart."""
    if wish.seconds is None:
        return 4 if (wish.epochs or 0) >= 3 else 2
    return 2 if wish.seconds < 180 else 4 if wish.seconds < 600 else 6


def most_macs(wish: Wish, count: int, channels: int) -> float:
    """MACs of an image with which the final training affords its fewest epochs, at the speed measured here."""
    if wish.seconds is None:
        return float("inf")
    network = replace(get("resnet18", width=24), input=(channels, 64, 64))
    from netlathe.cost.totals import totals
    from netlathe.lower.torch import to_torch

    speed = max(precision.probe(to_torch(network), (32, *network.input)).images_per_s.values())
    rate = speed * totals(network.body, *network.inputs).macs
    return rate * (1 - SEARCH) * wish.seconds / (FEWEST_EPOCHS * count)


def impossible(wish: Wish, place: Place, images: Images) -> Infeasible:
    """Which limit binds, what the smallest networks need, and budgets that would work."""
    least = smallest(place, images)
    budgets = nearest_budgets(wish.limits, least)
    small = min(least, key=lambda c: c.macs)
    need = ", ".join(f"--{name} {value}" for name, value in budgets.items())
    return Infeasible(
        f"no network keeps this budget: {' and '.join(budgets) or 'its limits together'} cannot be met; the smallest "
        f"is {small.name} with {small.macs:,} MACs, {small.size_bytes:,} bytes, {small.latency_ms:.3g} ms",
        code="budget.infeasible",
        hint=f"nearest that works: {need}" if need else "each limit alone can be met: raise one of them",
    )


def described(c: Candidate) -> dict[str, Any]:
    """A candidate as JSON."""
    low, middle, high = c.interval
    return {
        "name": c.name,
        "arch": to_json(c.network),
        "key": c.network.key,
        "macs": c.macs,
        "size_bytes": c.size_bytes,
        "memory_bytes": c.memory_bytes,
        "runtime": c.runtime,
        "precision": c.precision,
        "forecast": c.forecast._asdict() if c.forecast else None,
        "latency_ms": [low, middle, high],
        "measured": c.known,
    }


def place_of(name: str) -> str:
    """The folder of a candidate's run."""
    return "".join(letter if letter.isalnum() or letter in "-_.=" else "-" for letter in name)


def recipe_for(wish: Wish, network: Network) -> Recipe:
    """The recipe at the candidate's resolution."""
    px = network.input[-1]
    return set_fields(wish.recipe, [f"resolution={px}", f"evaluate.resolution={px}"])


def raced(
    wish: Wish,
    splits: Splits,
    out: Path,
    pool: Mapping[str, Any],
    names: list[str],
    rung: int,
    times: Mapping[str, Any],
    say: Say,
    progress: Callable[[str], Callable[[Tick], None] | None],
) -> dict[str, Any]:
    """One rung: train each network for its share, and keep the better half, in the end one."""

    def race() -> dict[str, Any]:
        entries = []
        for name in names:
            network = from_json(pool[name]["arch"], source=name)
            recipe, folder = recipe_for(wish, network), out / "rungs" / str(rung) / place_of(name)
            before = out / "rungs" / str(rung - 1) / place_of(name)
            train(
                network,
                splits,
                recipe,
                folder,
                seed=wish.seed + rung,
                epochs=times["rung_epochs"],
                time=None if times["search_s"] is None else rung_seconds(times["search_s"], len(names)),
                weights=read_weights(before) if rung else None,
                precision=wish.precision,
                progress=progress(f"rung {rung + 1}: {name}"),
            )
            right = right_of(folder, splits.validation, recipe, normal_of(splits.train))
            entries.append(Entry(name, right, pool[name]["latency_ms"][1]))
            say(f"rung {rung + 1}: {name} {100 * right.mean():.1f} % of {len(right)} validation images")
        return judged(entries)

    return done(out, f"rung{rung}", race)


def judged(entries: list[Entry]) -> dict[str, Any]:
    """Scores, and who goes on: the better half; of three or fewer, the fastest of those that are tied with the best."""
    ranked = sorted(entries, key=lambda entry: -entry.right.mean())
    ties = tied(entries)
    kept = [ties[0]] if len(entries) <= 3 else ranked[: survivors(len(entries))]
    return {
        "validation": {entry.name: float(entry.right.mean()) for entry in ranked},
        "tied": [entry.name for entry in ties],
        "kept": [entry.name for entry in kept],
    }


def finalist(
    wish: Wish,
    splits: Splits,
    out: Path,
    winner: Mapping[str, Any],
    start: Path | None,
    begin: float,
    say: Say,
    progress: Callable[[str], Callable[[Tick], None] | None],
) -> dict[str, Any]:
    """The winner, trained on with a fresh seed for all the time that is left."""
    network = from_json(winner["arch"], source=winner["name"])
    recipe = recipe_for(wish, network)

    def last() -> dict[str, Any]:
        left = None
        if wish.seconds is not None:
            left = max(10.0, wish.seconds - (clock.monotonic() - begin) - reserve(wish.seconds))
        say(f"training {winner['name']}" + (f" for {left:.0f} s" if left else ""))
        result = train(
            network,
            splits,
            recipe,
            out / "final",
            seed=wish.seed + 1000,
            epochs=wish.epochs,
            time=left,
            weights=read_weights(start) if start else None,
            precision=wish.precision,
            progress=progress(f"final: {winner['name']}"),
        )
        return asdict(result)

    return done(out, "final", last)


def deployed(wish: Wish, splits: Splits, place: Place, out: Path, winner: Mapping[str, Any], say: Say) -> Package:
    """The package: preprocessing baked in, batch norms folded, compared with the torch network on real images."""
    run = trained(out / "final")
    package = write_package(
        Package(
            arch=arch_document(run.network),
            classes=run.classes,
            preprocessing=run.preprocessing,
            runtime=winner["runtime"] if place.here else "onnxruntime",
            precision=winner["precision"] if place.here else "fp32",
            threads=place.threads,
            device=place.card.id.removeprefix("this-") if place.here else place.card.id,
            weights="trained here, on the images of the card",
            budget=dict(wish.budget),
            folder=out,
        ),
        {"model.onnx": run.model().SerializeToString()},
    )
    some = shown(splits.validation.pixels[:64], run.preprocessing)
    same = parity(run.network, run.weights, run.preprocessing, out / "model.onnx", some)
    require_exact(same, out / "model.onnx")
    say(f"model.onnx agrees with the torch network within {same.relative_error:.1e} on {len(some)} images")
    return package


def verified(
    wish: Wish,
    splits: Splits,
    place: Place,
    package: Package,
    found: Mapping[str, Any],
    winner: Mapping[str, Any],
    final: Mapping[str, Any],
    out: Path,
    say: Say,
) -> Checked:
    """Measure the file again, look at the test images once, and write the card."""
    wanted = limits(dict(wish.budget), str(out)) if wish.budget else {}
    split, images = held_out(images_for(package, wish.data))  # as `netlathe check` decodes them
    checked = check(package, wanted, images, split=split, keep=ledger.append)
    forecast = Forecast(**winner["forecast"]) if winner["forecast"] else None
    training = Training(resolved(recipe_for(wish, from_json(winner["arch"], source="arch"))),
                        (wish.seed, wish.seed + 1, wish.seed + 1000), final)  # fmt: skip
    card = describe(
        package, checked, data=splits.report, training=training, forecast=forecast,
        limits=[f"It was picked among {len(found['candidates'])} networks on the validation images."],
        reproduce=[again(wish, place)],
    )  # fmt: skip
    write_card(out, card)
    return checked


def again(wish: Wish, place: Place) -> str:
    """The command that repeats the fit."""
    words = [f"--{name} {value}" for name, value in wish.budget.items()]
    words += [f"--time {wish.seconds:g}s"] if wish.seconds is not None else [f"--epochs {wish.epochs:g}"]
    device = [] if place.here else [f"--device {place.card.id}"]
    return " ".join(["netlathe fit", wish.data, *words, *device, f"--seed {wish.seed}", "-o again/"])
