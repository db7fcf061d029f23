"""What an experiment found: scores, decomposition, comparisons, flips, and what has to be said beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.stats.power import ALPHA, POWER
from netlathe.train.experiment.compare import (
    ConditionComparison,
    DetectableDifference,
    RankFlip,
    compare,
    detectable_difference,
    find_flips,
)
from netlathe.train.experiment.grid import Experiment, ExperimentRun, RunResult
from netlathe.train.experiment.scores import FACTORS, Array, ScoreTable, collect_scores
from netlathe.train.experiment.variance import VarianceSource, decompose

MORE_SEEDS = (10, 20)  # for which the smallest difference is foretold
UNEQUAL_NOISE = 3.0  # times the median: a cell with that much more noise than the others is named
EQUAL = 1.01  # largest ratio of images or MACs that counts as equal


@dataclass(frozen=True, slots=True, eq=False)
class ExperimentFindings:
    """An experiment, what its finished runs reached, and what follows; `scored_on` is test or validation."""

    experiment: Experiment
    outcomes: Mapping[ExperimentRun, RunResult]
    scored_on: str
    scores: ScoreTable
    sources: Mapping[
        float | None, tuple[VarianceSource, ...]
    ]  # of all runs (None), and with each fraction of the images
    comparisons: Mapping[str, tuple[ConditionComparison, ...]]  # by factor, for those that vary
    flips: tuple[RankFlip, ...]
    detectable: tuple[DetectableDifference, ...]  # for the seeds of the experiment, then for more
    notes: tuple[str, ...]


def analyse(experiment: Experiment, outcomes: Mapping[ExperimentRun, RunResult]) -> ExperimentFindings:
    """The findings from the runs that have finished. Raises NetlatheError where none has."""
    if not outcomes:
        hint = "the command that made the study trains them"
        raise NetlatheError("no run of this study has finished", code="study.empty", hint=hint)
    on_test = all(reached.test is not None for reached in outcomes.values())
    scores = tabulate(
        experiment, {run: (o.test if on_test else o.validation) for run, o in outcomes.items()}, scale=100
    )
    factors = [FACTORS[axis] for axis in scores.factors]
    comparisons = {factor: compare(scores, factor) for factor in factors}
    everything = tuple(c for ones in comparisons.values() for c in ones)
    seeds = [len(scores.seeds), *(n for n in MORE_SEEDS if n > len(scores.seeds))]
    could = tuple(d for n in seeds if everything and (d := detectable_difference(everything, n)) is not None)
    scored_on = "test" if on_test else "validation"
    return ExperimentFindings(
        experiment,
        outcomes,
        scored_on,
        scores,
        decompose_by_fraction(scores),
        comparisons,
        tuple(
            flip
            for factor in ("network", "recipe")
            if factor in comparisons
            for flip in find_flips(comparisons[factor])
        ),
        could,
        tuple(write_notes(experiment, outcomes, scored_on, scores, could)),
    )


def decompose_by_fraction(scores: ScoreTable) -> dict[float | None, tuple[VarianceSource, ...]]:
    """The decomposition of all runs, and where the fraction varies with other factors, of those with each fraction."""
    parts: dict[float | None, ScoreTable] = {None: scores}
    if len(scores.fractions) > 1 and len(scores.factors) > 1:
        for i, fraction in enumerate(scores.fractions):
            parts[fraction] = replace(scores, fractions=(fraction,), values=scores.values[:, :, i : i + 1])
    return {fraction: sources for fraction, part in parts.items() if (sources := decompose(part))}


def tabulate(experiment: Experiment, values: Mapping[ExperimentRun, float | None], scale: float = 1) -> ScoreTable:
    """A value of every run, in the shape of the experiment."""
    rows = ((*run[:4], scale * value) for run, value in values.items() if value is not None)
    return collect_scores(experiment.networks, experiment.recipes, experiment.fractions, experiment.seeds, rows)


def write_notes(
    experiment: Experiment,
    outcomes: Mapping[ExperimentRun, RunResult],
    scored_on: str,
    scores: ScoreTable,
    could: tuple[DetectableDifference, ...],
) -> list[str]:
    """What a reader has to know to read the tables rightly."""
    lines = []
    if scores.missing:
        lines.append(
            f"Unfinished: {scores.missing} of {len(experiment.runs)} runs are missing; comparisons use common seeds."
        )
    n = len(experiment.seeds)
    if n == 1:
        lines.append(
            "One seed: nothing is known of the noise between trainings, so there are no intervals, no tests and no "
            "verdicts, and any difference may be chance. Add seeds: --seeds 5."
        )
    else:
        drawn = "initial weights, data order, augmentation"
        drawn += " and its own part of the training images" if min(experiment.fractions) < 1 else ""
        lines.append(
            f"Intervals are 95 % t intervals over {n} seeds; a seed draws {drawn}. Comparisons are paired by seed, and "
            f"p is corrected by Holm's method for the comparisons of its question; better means p < {ALPHA:g}."
        )
    if could:
        sizes = "; ".join(f"{d.seeds} seeds {d.single:.2f} ({d.strict:.2f})" for d in could)
        lines.append(
            f"The true difference in points that is found with a chance of {100 * POWER:.0f} % by a single comparison, "
            f"and by the first one that the correction judges: {sizes}."
        )
    images = int(experiment.facts.get(f"{scored_on}_images", 0))
    if images:
        share = float(np.nanmean(scores.values)) / 100
        half = 196 * sqrt(share * (1 - share) / images)
        lines.append(
            f"All runs are scored on the same {images:,} {scored_on} images; other images of the same kind would move "
            f"an accuracy of {100 * share:.1f} % by about {half:.2f} points (95 %), which the intervals do not hold."
        )
    if scored_on == "validation":
        lines.append("There are no test images; the validation images also chose the weights, which flatters a little.")
    return lines + note_unequal_noise(scores) + note_fairness(experiment, outcomes, scores)


def note_unequal_noise(scores: ScoreTable) -> list[str]:
    """A warning where one cell is much noisier than the others: the F tests pool the noise of all."""
    named = {at: e.sd for at in np.ndindex(*scores.values.shape[:-1]) if (e := scores.cell(*at)) and e.sd is not None}
    loudest = max(named, key=lambda at: named[at], default=None)
    if len(named) < 2 or loudest is None or named[loudest] <= UNEQUAL_NOISE * float(np.median(list(named.values()))):
        return []
    levels = [str(scores.levels[axis][loudest[axis]]) for axis in scores.factors]
    line = (
        f"The noise of {', '.join(levels)} ({named[loudest]:.2f} points a run) is far above that of the other cells: "
        "the F tests pool it and are approximate, the paired comparisons do not."
    )
    return [line]


def note_fairness(experiment: Experiment, outcomes: Mapping[ExperimentRun, RunResult], scores: ScoreTable) -> list[str]:
    """What the levels of each factor were given alike: images seen, and MACs."""
    lines = []
    for axis in scores.factors:
        words = []
        for what in ("images", "macs"):
            spent = tabulate(experiment, {run: float(getattr(reached, what)) for run, reached in outcomes.items()})
            ratio = widest_ratio(spent.values, axis)
            name = "images seen" if what == "images" else "training MACs"
            words.append(f"equal {name}" if ratio < EQUAL else f"{name} that differ by up to x{ratio:.3g}")
        lines.append(f"Between levels of {FACTORS[axis]}: {' and '.join(words)}.")
    return lines


def widest_ratio(values: Array, axis: int) -> float:
    """The largest ratio of the means of two levels of an axis, within one condition of the others."""
    present = np.isfinite(values).any(-1)
    means = np.where(present, np.nansum(values, -1) / np.maximum(np.isfinite(values).sum(-1), 1), np.nan)
    high = np.where(present, means, -np.inf).max(axis)
    low = np.where(present, means, np.inf).min(axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(low > 0, high / low, 1.0)
    return float(ratios[np.isfinite(ratios)].max(initial=1.0))


def to_document(findings: ExperimentFindings) -> dict[str, Any]:
    """The findings as JSON values, with every run."""
    experiment = findings.experiment
    cells = []
    for at in np.ndindex(*findings.scores.values.shape[:-1]):
        mean = findings.scores.cell(*at)
        names = dict(
            zip(FACTORS, (levels[i] for levels, i in zip(findings.scores.levels, at, strict=True)), strict=True)
        )
        cells.append(names | {"top1": mean._asdict() | {"p": None} if mean else None})
    return {
        "settings": dict(experiment.settings),
        "facts": dict(experiment.facts),
        "networks": list(experiment.networks),
        "recipes": list(experiment.recipes),
        "fractions": list(experiment.fractions),
        "seeds": list(experiment.seeds),
        "planned": len(experiment.runs),
        "finished": len(findings.outcomes),
        "scored_on": findings.scored_on,
        "cells": cells,
        "decomposition": [
            {"fraction": fraction} | source._asdict()
            for fraction, sources in findings.sources.items()
            for source in sources
        ],
        "comparisons": [
            c._asdict() | {"where": list(c.where), "difference": c.difference._asdict()}
            for ones in findings.comparisons.values()
            for c in ones
        ],
        "flips": [
            f._asdict()
            | {"first": list(f.first), "second": list(f.second)}
            | {"ahead": f.ahead._asdict(), "behind": f.behind._asdict()}
            for f in findings.flips
        ],
        "detectable": [d._asdict() for d in findings.detectable],
        "notes": list(findings.notes),
        "runs": [run._asdict() | reached._asdict() for run, reached in findings.outcomes.items()],
    }
