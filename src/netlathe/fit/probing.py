"""The race of pretrained networks: a linear probe on the features of each, cross-validated on the training images.

Features are computed once for each network and resolution, and kept in the folder of the fit. Where the time does not
allow all images for all networks, each is judged on as many as it allows, the same for all that see as many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlathe.fit.backbone import Backbone, measure_forward, open_backbone
from netlathe.fit.clock import Clock
from netlathe.fit.race import Row, Say, safe_name
from netlathe.fit.rungs import RungEntry, find_ties
from netlathe.lower.weights import Array
from netlathe.runfolder.steps import cached_step
from netlathe.stats.intervals import wilson_interval
from netlathe.train.images import ImageSet, Splits
from netlathe.train.recipe import Recipe
from netlathe.train.rng import shuffled_order
from netlathe.train.transfer.features import CHUNK, compute_features
from netlathe.train.transfer.folds import same_pixels
from netlathe.train.transfer.probe import LinearProbe, ProbeScore, cross_validate, fit_probe

FEATURES = "features"
FEWEST = 256  # images of a probe, where there are so many


@dataclass(frozen=True, kw_only=True)
class Prober:
    """Probes candidates on the same training images, and keeps the clock of the fit."""

    splits: Splits
    recipe: Recipe
    seed: int
    precision: str
    out: Path
    clock: Clock
    say: Say
    last: dict[str, Backbone] = field(default_factory=dict)

    @property
    def images(self) -> ImageSet:
        """What is learned from."""
        return self.splits.train

    def rows(self, count: int) -> NDArray[np.int64]:
        """The first `count` training images of one random order."""
        return shuffled_order(self.seed, 0, len(self.images))[:count]

    def backbone(self, row: Row) -> Backbone:
        """The candidate with its weights, of which the last is kept."""
        if row["name"] not in self.last:
            self.last.clear()
            self.last[row["name"]] = open_backbone(row, self.recipe, self.images, self.seed)
        return self.last[row["name"]]

    def features(self, backbone: Backbone, policy: str, view: str, rows: NDArray[np.int64], name: str) -> Array:
        """Features (len(rows), d) of training images in a view."""
        total, module = len(rows), backbone.module(policy)

        def tick(done: int) -> None:
            self.clock.keep()
            if done % (8 * CHUNK) == 0:
                self.say(f"features of {name}: {done:,} of {total:,} images ({view})")

        return compute_features(
            module, backbone.head, self.images.pixels, rows, backbone.prepare, self.out / FEATURES / safe_name(name),
            identity=[backbone.identity, self.images.key, self.seed], view=view, precision=policy, tick=tick,
        )  # fmt: skip

    def score(self, backbone: Backbone, policy: str, count: int, name: str, until: float | None = None) -> ProbeScore:
        """The probe of the first `count` images in their plain view; `until` (of the clock) hurries it."""
        rows = self.rows(count)
        features = self.features(backbone, policy, "plain", rows, name)
        groups = same_pixels(self.images.pixels[rows])
        return cross_validate(
            features, self.images.labels[rows], len(self.images.classes), groups,
            hurried=lambda: until is not None and self.clock.spent() > until,
        )  # fmt: skip


def measure_speeds(prober: Prober, pool: Mapping[str, Row]) -> dict[str, Any]:
    """By candidate the policy of precision and images a second of a forward pass."""
    return {
        name: dict(
            zip(("policy", "images_per_s"), measure_forward(prober.backbone(row), prober.precision), strict=True)
        )
        for name, row in pool.items()
    }


def probe_candidates(
    prober: Prober, pool: Mapping[str, Row], speeds: Mapping[str, Any], until: float | None
) -> dict[str, Any]:
    """A step by candidate: its probe on as many images as its share of the time to `until` allows; else on all."""
    results = {}
    for done, (name, row) in enumerate(pool.items()):
        share = None if until is None else max(0.0, until - prober.clock.spent()) / (len(pool) - done)
        probe = partial(probe_step, prober, row, speeds[name], share)
        results[name] = cached_step(prober.out, f"probe-{safe_name(name)}", probe)
        result = results[name]
        low, high = result["interval"]
        prober.say(
            f"probe: {name} {100 * result['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f}) of "
            f"{result['images']:,} training images held out in turn, {result['images_per_s']:.0f} images/s"
        )
    return results


def probe_step(prober: Prober, row: Row, forward: Mapping[str, Any], seconds: float | None) -> dict[str, Any]:
    """One candidate: the plain view of its images alone, for that is what ranks."""
    backbone, name = prober.backbone(row), row["name"]
    policy, speed = forward["policy"], forward["images_per_s"]
    count = count_images(len(prober.images), None if seconds is None else seconds * speed)
    until = None if seconds is None else prober.clock.spent() + seconds
    score = prober.score(backbone, policy, count, name, until)
    hits = int(score.correct.sum())
    return {
        "policy": policy,
        "images_per_s": speed,
        "images": count,
        "accuracy": hits / count,
        "interval": wilson_interval(hits, count),
        "correct": np.flatnonzero(score.correct).tolist(),
        "penalty": score.probe.penalty,
        "losses": {f"{penalty:g}": loss for penalty, loss in score.losses.items()},
    }


def count_images(available: int, affordable: float | None) -> int:
    """How many images a probe takes: whole chunks of features that are affordable, but not too few to say anything."""
    if affordable is None or affordable >= available:
        return available
    return min(available, max(FEWEST, int(affordable) // CHUNK * CHUNK))


def rank_probes(pool: Mapping[str, Row], results: Mapping[str, Any]) -> dict[str, Any]:
    """The ranking of the race, on the images that all of them saw: the fastest of those tied with the best is kept."""
    count = min(result["images"] for result in results.values())
    entries = []
    for name, result in results.items():
        correct = np.zeros(result["images"], bool)
        correct[result["correct"]] = True
        entries.append(RungEntry(name, correct[:count], pool[name]["latency_ms"][1]))
    ranked, ties = sorted(entries, key=lambda entry: -entry.right.mean()), find_ties(entries)
    return {
        "validation": {entry.name: float(entry.right.mean()) for entry in ranked},
        "images": count,
        "tied": [entry.name for entry in ties],
        "kept": [ties[0].name],
        "probe": True,
    }


def final_probe(prober: Prober, row: Row, result: Mapping[str, Any], seconds: float | None) -> LinearProbe:
    """The probe of the winner, under its penalty, on all images that `seconds` allow, mirrored too where they do."""
    backbone, policy, name = prober.backbone(row), result["policy"], row["name"]
    affordable = None if seconds is None else seconds * result["images_per_s"] + result["images"]
    count = count_images(len(prober.images), affordable)
    views = tuple(backbone.views) if affordable is None or affordable >= 2 * count else ("plain",)
    rows = prober.rows(count)
    features = np.concatenate([prober.features(backbone, policy, view, rows, name) for view in views])
    labels = np.tile(prober.images.labels[rows], len(views))
    return fit_probe(features, labels, len(prober.images.classes), result["penalty"])
