"""Which pretrained networks keep the budget, each at the finest resolution that its measured latency allows.

A forecast says where to begin; what is measured decides, and says by its ratio of time to MACs which resolution is
measured next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from netlathe.choose.budget import CHEAP, Budget, Candidate
from netlathe.choose.run import MeasurementCache
from netlathe.fit.config import FitConfig
from netlathe.fit.local_weights import asked_weights, find_weights, standard_caches
from netlathe.fit.shortlist import candidate_row, resolve_weights
from netlathe.fit.space import RESOLUTIONS, ImageSpec, build_candidate
from netlathe.target.target import Target
from netlathe.train.images import Splits

Say = Callable[[str], None]
SHOWN = 5  # names in a line
WIDEST = 2.0  # of the long to the short side of images that are squeezed into a square
MOST_MEASURED = 3  # resolutions of a network
MEASURED_S = 0.5
COARSEST = 3.5  # a network is not tried below its own resolution by this: what it knows of images is lost


class PretrainedNetwork(NamedTuple):
    """Weights as people type them, the source that they are read from, the network at each resolution, finest first."""

    asked: str
    source: str
    sizes: tuple[Candidate, ...]


def pretrained_candidates(
    config: FitConfig, splits: Splits, targets: Sequence[Target], limits: Budget, say: Say
) -> dict[str, Any]:
    """The pretrained networks that a fit probes, as rows of a step. Raises NetlatheError as `open_pretrained` does."""
    height, width, channels = splits.train.pixels.shape[1:]
    images = ImageSpec(len(splits.train.classes), channels, min(height, width))
    local, others = find_weights([*map(Path, config.weights_dir), *standard_caches()])
    if others:
        say(f"left out, for their names are of no known network: {', '.join(file.name for file in others[:SHOWN])}"
            + (f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""))  # fmt: skip
    weights = asked_weights(config.weights, local)
    step = find_pretrained(weights, limits, targets, images, config.resolution, count_probed(config.seconds), say)
    # All images share a shape that is no square: the edges that a crop would lose show something too.
    stretch = 1 < max(height, width) / min(height, width) <= WIDEST
    return step | {kind: [row | {"stretch": stretch} for row in step[kind]] for kind in ("candidates", "teachers")}


def count_probed(seconds: float | None) -> int:
    """How many networks are probed: no more than the time can tell apart."""
    return 4 if seconds is None else max(1, min(6, int(seconds // 90)))


def find_pretrained(
    weights: Sequence[str],
    limits: Budget,
    targets: Sequence[Target],
    images: ImageSpec,
    finest: int | None,
    count: int,
    say: Say,
) -> dict[str, Any]:
    """The first `count` of the networks of `weights` that keep the limits, as rows of a step; and one that does not.

    `finest` bounds their resolutions, px.
    Raises NetlatheError for weights of an unknown network.
    """
    bench = MeasurementCache(targets, MEASURED_S) if targets[0].measures else None
    rows, over = list[dict[str, Any]](), list[dict[str, Any]]()
    for asked in weights:
        pretrained = open_pretrained(asked, targets, images, finest)
        fits = find_finest(pretrained.sizes, limits, bench, say)
        if fits is None:
            over.append(candidate_row(pretrained.sizes[0]) | {"given": asked, "weights": pretrained.source})
            continue
        rows.append(candidate_row(fits) | {"given": asked, "weights": pretrained.source})
        if len(rows) == count:
            break
    return {"candidates": rows, "considered": len(weights), "teachers": over[:1]}


def open_pretrained(asked: str, targets: Sequence[Target], images: ImageSpec, finest: int | None) -> PretrainedNetwork:
    """A network of given weights at the resolutions worth trying, from its own down. Raises NetlatheError."""
    network, source = resolve_weights(asked)
    own = network.input[-1]
    most = min(own, finest or own)
    sides = sorted({most, *(r for r in RESOLUTIONS if own / COARSEST <= r < most)}, reverse=True)
    sizes = (build_candidate(target, images, network, side) for side in sides for target in targets)
    return PretrainedNetwork(asked, source, tuple(c for c in sizes if c is not None))


def find_finest(
    sizes: Sequence[Candidate], limits: Budget, bench: MeasurementCache | None, say: Say
) -> Candidate | None:
    """The candidate of most MACs that keeps the limits; without a bench by its forecast alone. None where none does."""
    fitting = sorted((c for c in sizes if limits.possible(c)), key=lambda c: -c.macs)
    if bench is None:
        return next((c for c in fitting if not limits.broken(c)), None) or next(iter(fitting), None)
    cheap = [c for c in sizes if not limits.broken(c, CHEAP)]
    best: Candidate | None = None
    lowest = inf  # MACs of what was measured and is too slow
    todo = fitting or cheap[-1:]
    for _ in range(MOST_MEASURED):
        if not todo:
            break
        say(f"measuring {todo[0].name}")
        [measured] = bench.measure([todo[0]])
        if limits.broken(measured):
            lowest = min(lowest, measured.macs)
        elif best is None or measured.macs > best.macs:
            best = measured
        if limits.latency is None:
            break
        affordable = measured.macs * limits.latency / measured.deciding_ms
        floor = best.macs if best else 0
        todo = sorted((c for c in cheap if floor < c.macs < lowest and c.macs <= affordable), key=lambda c: -c.macs)
    return best
