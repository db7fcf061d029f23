"""Which pretrained networks keep the budget, each at the finest resolution that its measured latency allows.

A forecast says where to begin; what is measured decides, and says by its ratio of time to MACs which resolution is
measured next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, sqrt
from pathlib import Path
from typing import Any

from netlathe.arch.trainable import Trainable
from netlathe.choose.budget import LIMITS, Budget, Candidate
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
SCALED = ("latency", "macs")  # limits that a coarser image helps to keep, with its area
SLACK = 1.1  # latency falls a little faster or slower than the area
MOST_MEASURED = 3  # resolutions of a network
MEASURED_S = 0.5
COARSEST = 3.5  # a network is not tried below its own resolution by this: what it knows of images is lost


def pretrained_candidates(
    config: FitConfig, splits: Splits, targets: Sequence[Target], limits: Budget, say: Say
) -> dict[str, Any]:
    """The pretrained networks that a fit probes, as rows of a step. Raises NetlatheError as `resolve_weights` does."""
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

    `finest` bounds their resolutions, px. Raises NetlatheError for weights of an unknown network.
    """
    bench = MeasurementCache(targets, MEASURED_S) if targets[0].measures else None
    rows, over = list[dict[str, Any]](), list[dict[str, Any]]()
    for asked in weights:
        network, source = resolve_weights(asked)
        build = partial(build_on_targets, network, targets, images)
        origin = {"given": asked, "weights": source}
        own = network.input[-1]
        sides = worth_trying(own, min(own, finest or own))
        if (fits := find_finest(build, sides, limits, bench, say)) is not None:
            rows.append(candidate_row(fits) | origin)
        elif too_large := build(sides[0]):
            over.append(candidate_row(too_large[0]) | origin)
        if len(rows) == count:
            break
    return {"candidates": rows, "considered": len(weights), "teachers": over[:1]}


def worth_trying(own: int, most: int) -> list[int]:
    """Resolutions of a network whose own is `own`, from `most` down to where what it knows of images is lost."""
    return [most, *(r for r in reversed(RESOLUTIONS) if own / COARSEST <= r < most)]


def build_on_targets(
    network: Trainable, targets: Sequence[Target], images: ImageSpec, resolution: int
) -> list[Candidate]:
    """The network for the images at a resolution, on each target."""
    candidates = (build_candidate(target, images, network, resolution) for target in targets)
    return [c for c in candidates if c is not None]


def find_finest(
    build: Callable[[int], list[Candidate]],
    sides: Sequence[int],
    limits: Budget,
    bench: MeasurementCache | None,
    say: Say,
) -> Candidate | None:
    """The candidate at the finest of `sides` (from fine to coarse) that keeps the limits; None where none does.

    What is over the budget says by how much, so that not every side is built. Without a bench forecasts decide alone;
    with one, a side that was passed over for its forecast is measured if the time of a coarser one makes it likely.
    """
    ceiling, measured, passed = inf, 0, list[int]()
    for side in sides:
        if measured == MOST_MEASURED:
            break
        if side > ceiling:
            passed += [side] * (not measured)
            continue
        candidates = build(side)
        options = [c for c in candidates if limits.possible(c)]
        if options and bench is not None:
            say(f"measuring {options[0].net.name} at {side} px")
            candidates, measured = bench.measure(options), measured + 1
        elif not options:
            passed.append(side)
        if options and (best := fastest(candidates, limits)) is not None:
            likely = [finer for finer in passed if finer <= side / sqrt(excess(best, limits))]
            if bench is None or not likely:
                return best
            say(f"measuring {best.net.name} at {max(likely)} px")
            return fastest(bench.measure(build(max(likely))), limits) or best
        ceiling = side * SLACK / sqrt(max(1.0, min((excess(c, limits) for c in candidates), default=1.0)))
    return None


def fastest(candidates: Sequence[Candidate], limits: Budget) -> Candidate | None:
    """The fastest of those that keep the limits."""
    return min((c for c in candidates if not limits.broken(c)), key=lambda c: c.latency_ms, default=None)


def excess(candidate: Candidate, limits: Budget) -> float:
    """The largest ratio of what a candidate uses to a limit that its resolution moves."""
    scaled = [(limit, bound) for limit in LIMITS if limit.name in SCALED and (bound := limits.limit(limit))]
    return max((limit.used(candidate) / bound for limit, bound in scaled), default=1.0)
