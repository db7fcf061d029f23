"""The shortlist: the networks that are raced, each with what it starts from, as plain values of a step's file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.arch.trainable import Trainable
from netlathe.choose.budget import Budget, Candidate
from netlathe.choose.run import MeasurementCache
from netlathe.cost.totals import totals
from netlathe.errors import Infeasible, NetlatheError
from netlathe.fit.config import FINEST
from netlathe.fit.rungs import RACE_SHARE
from netlathe.fit.space import (
    FAMILIES,
    CandidateFamily,
    ImageSpec,
    build_candidate,
    find_fitting,
    interleave_families,
    nearest_budgets,
    smallest_members,
)
from netlathe.load import load_any
from netlathe.lower.pretrained import split_source
from netlathe.lower.torch import to_torch
from netlathe.lower.twins import twin_named
from netlathe.sources.registry import open_source
from netlathe.sources.source import expressions, name_some
from netlathe.target.target import Target
from netlathe.train import precision
from netlathe.train.images import Splits

FEWEST_EPOCHS = 15  # that the final training must be able to afford
MOST_MEASURED = 4  # times as many are measured, at most, as are raced
FINETUNE = "finetune"  # the recipe of candidates that start from given weights
Say = Callable[[str], None]


def shortlist(
    splits: Splits,
    targets: Sequence[Target],
    limits: Budget,
    say: Say,
    *,
    seconds: float | None,
    epochs: float | None,
    weights: Sequence[str] = (),
    first: Sequence[Network] = (),
    source: str | None = None,
    finest: int = FINEST,
) -> dict[str, Any]:
    """The candidates that are raced, measured where the device is this machine; `first` are raced where they fit.

    `limits` are those that were asked for and those of the device; `seconds` or `epochs` say how long the fit is;
    each of `weights`, which are sources of pretrained weights, gives a candidate. Raises Infeasible where no network
    keeps the limits. `source` names where the candidates come from, instead of the families of the zoo.
    """
    height, width, channels = splits.train.pixels.shape[1:]
    images = ImageSpec(len(splits.train.classes), channels, min(height, width, finest))
    most = most_macs(seconds, len(splits.train), channels)
    families: Sequence[CandidateFamily] = FAMILIES if source is None else source_families(source, say)
    fitting = find_fitting(targets, limits, images, most, families)
    pretrained = find_pretrained(weights, limits, targets, images)
    own = [build_candidate(targets[0], images, network, network.input[-1]) for network in first]
    order = [*(c for c in own if c), *(c for c, *_ in pretrained), *interleave_families(fitting, len(fitting))]
    if not order:
        raise infeasible_error(limits, targets, images, families)
    sources = {c.key: {"given": asked, "weights": source} for c, asked, source in pretrained}
    none = {"given": None, "weights": None}
    count = count_racers(seconds, epochs)
    chosen = measure_shortlist(order, limits, targets, count, say) if targets[0].measures else order[:count]
    if not chosen:
        raise infeasible_error(limits, targets, images, families)
    rows = [candidate_row(c) | sources.get(c.key, none) for c in chosen]
    return {"candidates": rows, "considered": len(fitting) + len(pretrained), "most_macs": most}


def source_families(source: str, say: Say) -> list[CandidateFamily]:
    """The networks of a source that can be trained, a family each; the others are named. Raises NetlatheError."""
    networks, others = expressions(open_source(source))
    if others:
        say(f"left out, for they have no expression to train: {name_some(others)}")
    return [CandidateFamily(network.name, network=network) for network in networks]


def measure_shortlist(
    order: list[Candidate], limits: Budget, targets: Sequence[Target], count: int, say: Say
) -> list[Candidate]:
    """The first `count` that keep the limits when they are measured; what does not is replaced by the next in order."""
    bench, kept, start = MeasurementCache(targets, 0.5), list[Candidate](), 0
    while len(kept) < count and start < min(len(order), MOST_MEASURED * count):
        batch = order[start : start + count - len(kept)]
        say(f"measuring {', '.join(c.name for c in batch)}")
        kept += [c for c in bench.measure(batch) if not limits.broken(c)]
        start += len(batch)
    return kept


def count_racers(seconds: float | None, epochs: float | None) -> int:
    """How many networks are raced: no more than the time can tell apart."""
    if seconds is None:
        return 4 if (epochs or 0) >= 3 else 2
    return 2 if seconds < 180 else 4 if seconds < 600 else 6


def most_macs(seconds: float | None, count: int, channels: int) -> float:
    """MACs of an image with which the final training affords its fewest epochs, at the speed measured here."""
    if seconds is None:
        return float("inf")
    network = replace(zoo.get("resnet18", width=24), input=(channels, 64, 64))
    speed = max(precision.measure_policies(to_torch(network), (32, *network.input)).images_per_s.values())
    rate = speed * totals(network.body, *network.inputs).macs
    return rate * (1 - RACE_SHARE) * seconds / (FEWEST_EPOCHS * count)


def find_pretrained(
    weights: Sequence[str], limits: Budget, targets: Sequence[Target], images: ImageSpec
) -> list[tuple[Candidate, str, str]]:
    """For each of `weights`: its network at the finest resolution that keeps the budget, what was asked, the source.

    Raises NetlatheError for weights of an unknown network, and where no resolution of it keeps the budget.
    """
    candidates = []
    for asked in weights:
        network, source = resolve_weights(asked)
        tries = (
            build_candidate(target, images, network, resolution)
            for resolution in reversed(images.resolutions)
            for target in targets
        )
        fits = next((c for c in tries if c is not None and limits.possible(c)), None)
        if fits is None:
            raise NetlatheError(
                f"the network of these weights, {network.name}, keeps the budget at no resolution",
                code="fit.weights",
                path=asked,
                hint="weights of a smaller network, or a wider budget",
            )
        candidates.append((fits, asked, source))
    return candidates


def resolve_weights(asked: str) -> tuple[Trainable, str]:
    """The network of timm:NAME, torchvision:NAME or NET=FILE, and the source as `train.start` takes it."""
    net, sign, file = asked.rpartition("=")
    library, name = split_source(asked) if not sign else ("", "")
    if library:
        twin = twin_named(library, name.partition(".")[0], required=False)
        return twin.build_network() if twin else load_any(asked)[0].trainable(), asked
    if not sign or not Path(file).is_file():
        raise NetlatheError(
            f"{asked!r} is no source of weights for a network",
            code="fit.weights",
            hint="legal: timm:NAME, torchvision:NAME, NET=FILE such as resnet18=weights.safetensors",
        )
    # A file under a library's names is that of its module, which says how images are prepared for it.
    return load_any(net)[0].trainable(), file


def infeasible_error(
    limits: Budget, targets: Sequence[Target], images: ImageSpec, families: Sequence[CandidateFamily]
) -> Infeasible:
    """Which limit binds, what the smallest networks need, and budgets that would work."""
    least = smallest_members(targets, images, families)
    budgets = nearest_budgets(limits, least)
    small = min(least, key=lambda c: c.macs)
    need = ", ".join(f"--{name} {value}" for name, value in budgets.items())
    return Infeasible(
        f"no network keeps this budget: {' and '.join(budgets) or 'its limits together'} cannot be met; the smallest "
        f"is {small.name} with {small.macs:,} MACs, {small.size_bytes:,} bytes, {small.latency_ms:.3g} ms",
        code="budget.infeasible",
        hint=f"nearest that works: {need}" if need else "each limit alone can be met: raise one of them",
    )


def candidate_row(c: Candidate) -> dict[str, Any]:
    """A candidate as JSON."""
    low, middle, high = c.interval
    return {
        "name": c.name,
        "arch": c.net.trainable().document(),
        "key": c.net.key,
        "macs": c.macs,
        "size_bytes": c.size_bytes,
        "memory_bytes": c.memory_bytes,
        "runtime": c.runtime,
        "precision": c.precision,
        "forecast": c.forecast._asdict() if c.forecast else None,
        "latency_ms": [low, middle, high],
        "measured": c.is_measured,
    }
