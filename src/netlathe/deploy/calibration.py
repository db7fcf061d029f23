"""How far probabilities can be believed: temperature scaling, calibration error, and what may be left unanswered.

Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599:
one temperature, fitted on validation images by their likelihood, changes no answer and only how sure it sounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.stats.intervals import wilson_interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
BINS = 15  # of confidence, as in the paper
COLDEST, HOTTEST = 0.25, 10.0  # temperatures that are tried
RESAMPLES = 300  # of an interval
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)  # shares of images that are answered


class ReliabilityBin(NamedTuple):
    """Images whose confidence is in a stretch: their mean confidence, and the share that is right."""

    confidence: float
    accuracy: float
    images: int


class CalibrationError(NamedTuple):
    """The expected calibration error with its 95 % interval, and the mean negative log likelihood."""

    ece: float
    low: float
    high: float
    nll: float


class CoveragePoint(NamedTuple):
    """What is answered when every answer below a confidence is withheld, and how often it is right."""

    threshold: float
    coverage: float
    hits: int
    images: int
    share: float
    low: float
    high: float


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """The softmax of outputs (N, classes) over a temperature."""
    scaled = logits.astype(np.float64) / temperature
    odds = np.exp(scaled - scaled.max(1, keepdims=True))
    shares: Floats = odds / odds.sum(1, keepdims=True)
    return shares


def log_loss(logits: NDArray[np.floating], labels: Integers, temperature: float = 1.0) -> float:
    """The mean negative log likelihood of the labels."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    return float((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(labels)), labels]).mean())


def fit_temperature(logits: NDArray[np.floating], labels: Integers) -> float:
    """The temperature under which the labels are likeliest; 1 where no image is wrong, which says nothing of it."""
    if len(labels) == 0 or (logits.argmax(1) == labels).all():
        return 1.0
    from scipy.optimize import minimize_scalar

    ends = (np.log(COLDEST), np.log(HOTTEST))
    best = minimize_scalar(lambda t: log_loss(logits, labels, float(np.exp(t))), bounds=ends, method="bounded")
    return float(np.exp(best.x))


def reliability(shares: Floats, labels: Integers) -> list[ReliabilityBin]:
    """Bins of equal width by the confidence of the answer; empty ones are left out."""
    confidence, right = shares.max(1), shares.argmax(1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        ReliabilityBin(float(confidence[place == k].mean()), float(right[place == k].mean()), int((place == k).sum()))
        for k in range(BINS)
        if (place == k).any()
    ]


def calibration_error(shares: Floats, labels: Integers, seed: int = 0) -> CalibrationError:
    """The mean distance of confidence and accuracy by bin, weighted by images; its interval by the bootstrap.

    Of few images it is too large, because chance alone parts the two: compare it with other values of as many images.
    """
    confidence, right = shares.max(1), (shares.argmax(1) == labels).astype(np.float64)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)

    def error(weights: Floats) -> float:
        gaps = np.bincount(place, weights * (right - confidence), minlength=BINS)
        return float(np.abs(gaps).sum() / weights.sum())

    count, rng = len(labels), np.random.default_rng(seed)
    resampled = (np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(RESAMPLES))
    draws = [error(weights.astype(np.float64)) for weights in resampled]
    low, high = np.quantile(draws, [0.025, 0.975])
    picked = np.maximum(shares[np.arange(count), labels], 1e-300)
    return CalibrationError(error(np.ones(count)), float(low), float(high), float(-np.log(picked).mean()))


def coverage_curve(
    chosen: Floats, shares: Floats, labels: Integers, coverages: Sequence[float] = COVERAGES
) -> list[CoveragePoint]:
    """Accuracy on the answered part of images, with thresholds that answer so many of other images.

    `chosen` are the confidences of the images that thresholds are read off, `shares` (N, classes) are of those that
    they are tried on.
    """
    confidence, right = shares.max(1), shares.argmax(1) == labels
    points = []
    for coverage in coverages:
        threshold = 0.0 if coverage == 1 else float(np.quantile(chosen, 1 - coverage))
        answered = confidence >= threshold
        hits, images = int(right[answered].sum()), int(answered.sum())
        low, high = wilson_interval(hits, images)
        share = hits / images if images else 0.0
        points.append(CoveragePoint(threshold, images / len(labels), hits, images, share, low, high))
    return points
