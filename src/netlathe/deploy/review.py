"""What one looks at after a training: mistakes, likely label errors, where the network looks, how sure it may sound.

`review` makes plain JSON values for a card; small pictures are in it, as data URIs. Every figure is of images that the
network had not learned from, of the deployed file in its runtime.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.deploy.calibration import (
    calibration_error,
    coverage_curve,
    fit_temperature,
    probabilities,
    reliability,
)
from netlathe.deploy.export import model_pixels
from netlathe.deploy.heatmaps import make_heatmaps
from netlathe.deploy.label_errors import find_label_errors
from netlathe.deploy.package import FLOAT_FILE, Package
from netlathe.deploy.score import class_indices, compute_logits

if TYPE_CHECKING:
    from netlathe.train.images import ImageSet, Splits

GALLERY, MAPS = 12, 6  # images that are shown
PICTURE_PX = 112  # long side of a small picture
QUALITY = 80  # of JPEG
MOST = 5_000  # images of a split that are looked at: in the order of their contents, so a fair sample


class Answers(NamedTuple):
    """Outputs (N, classes) for the images of a split, and the places of their labels (N,) among the classes."""

    split: str
    images: ImageSet
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]


def review(package: Package, splits: Splits, curves: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Everything that a card shows beside accuracy and latency. `curves` are events of a training (`train.metrics`).

    Raises NetlatheError and CallFailed as `score.compute_logits` does.
    """
    parts = [answer(package, name, images) for name, images in held_out(splits)]
    if not parts:
        return {}
    last = parts[-1]
    return {
        "calibration": calibrate(parts),
        "mistakes": mistakes(package, last),
        "label_errors": label_errors(package, parts),
        "maps": maps(package, last),
        "curves": learning_curves(curves),
    }


def held_out(splits: Splits) -> list[tuple[str, ImageSet]]:
    """Validation and test images, where there are any."""
    both = (("validation", splits.validation), ("test", splits.test))
    return [(name, images) for name, images in both if images is not None and len(images)]


def answer(package: Package, split: str, images: ImageSet) -> Answers:
    """What the deployed file says of a set."""
    places = np.array(class_indices(images.classes, package.classes))
    if len(images) > MOST:
        rows = slice(0, MOST)
        images = replace(images, pixels=images.pixels[rows], labels=images.labels[rows], names=images.names[rows])
    return Answers(split, images, compute_logits(package, images), places[images.labels])


def calibrate(parts: Sequence[Answers]) -> dict[str, Any]:
    """Temperature, calibration error before and after, and accuracy by coverage.

    The temperature and the thresholds come from the validation images, the figures from the test images. Where there
    are none, each half of the validation images is judged with what the other half gave.
    """
    first, last = parts[0], parts[-1]
    temperature = fit_temperature(first.logits, first.labels)
    if first is not last:
        after = probabilities(last.logits, temperature)
        chosen = probabilities(first.logits, temperature).max(1)
    else:
        after = np.empty(last.logits.shape)
        for half in (slice(0, None, 2), slice(1, None, 2)):
            other = slice(1 - (half.start or 0), None, 2)
            after[half] = probabilities(last.logits[half], fit_temperature(last.logits[other], last.labels[other]))
        chosen = after.max(1)
    before = probabilities(last.logits)
    return {
        "temperature": temperature,
        "fitted_on": {"split": first.split, "images": len(first.labels)},
        "judged_on": {"split": last.split, "images": len(last.labels), "halves": first is last},
        "before": calibration_error(before, last.labels)._asdict(),
        "after": calibration_error(after, last.labels)._asdict(),
        "bins_before": [row._asdict() for row in reliability(before, last.labels)],
        "bins_after": [row._asdict() for row in reliability(after, last.labels)],
        "coverage": [point._asdict() for point in coverage_curve(chosen, after, last.labels)],
    }


def mistakes(package: Package, part: Answers) -> dict[str, Any]:
    """The wrong answers with the highest probabilities."""
    shares = probabilities(part.logits)
    wrong = np.flatnonzero(shares.argmax(1) != part.labels)
    ranked = wrong[np.argsort(-shares[wrong].max(1), kind="stable")]
    rows = [
        picture_row(package, part, int(row), int(shares[row].argmax()), float(shares[row].max()))
        for row in ranked[:GALLERY]
    ]
    return {"split": part.split, "count": len(wrong), "rows": rows}


def label_errors(package: Package, parts: Sequence[Answers]) -> dict[str, Any]:
    """Images of all parts whose label is likely wrong."""
    logits = np.concatenate([part.logits for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    errors = find_label_errors(probabilities(logits), labels)
    rows = []
    for error in errors[:GALLERY]:
        part, row = parts[0], error.row
        if row >= len(part.labels):
            part, row = parts[1], row - len(part.labels)
        share = float(probabilities(part.logits[row : row + 1])[0, error.suggested])
        rows.append(picture_row(package, part, row, error.suggested, share))
    return {"splits": [part.split for part in parts], "images": len(labels), "count": len(errors), "rows": rows}


def picture_row(package: Package, part: Answers, row: int, answer: int, share: float) -> dict[str, Any]:
    """An image with its label and an answer."""
    return {
        "name": part.images.names[row],
        "label": package.classes[part.labels[row]],
        "answer": package.classes[answer],
        "probability": share,
        "split": part.split,
        "picture": encode_picture(np.asarray(part.images.pixels[row])),
    }


def maps(package: Package, part: Answers) -> dict[str, Any]:
    """Where the network looks: of the first image that is right of each class, and of the surest mistakes."""
    if FLOAT_FILE not in package.files:
        return {"method": None, "rows": []}
    shares = probabilities(part.logits)
    answers, sure = shares.argmax(1), shares.max(1)
    right = [rows[0] for label in range(len(package.classes)) if len(rows := np.flatnonzero(
        (part.labels == label) & (answers == label)))]  # fmt: skip
    wrong = np.flatnonzero(answers != part.labels)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
    half = max(MAPS // 2, MAPS - len(wrong))
    chosen = np.array([*right[:half], *wrong[: MAPS - len(right[:half])]], np.int64)
    if not len(chosen):
        return {"method": None, "rows": []}
    pixels = model_pixels(np.asarray(part.images.pixels[chosen]), package.preprocessing)
    heat = make_heatmaps(Path(package.folder) / FLOAT_FILE, pixels, answers[chosen])
    pictures = [
        picture_row(package, part, int(row), int(answers[row]), float(sure[row])) | {"picture": overlay(image, grid)}
        for row, image, grid in zip(chosen, pixels, heat.maps, strict=True)
    ]
    return {"method": heat.method, "rows": pictures}


def overlay(image: NDArray[np.uint8], grid: NDArray[np.float64]) -> str:
    """A picture whose places are tinted by what speaks for the answer: none below zero, full at the largest."""
    from PIL import Image

    side = image.shape[1], image.shape[0]
    positive = np.maximum(grid, 0) / (grid.max() if grid.max() > 0 else 1.0)
    heat = np.asarray(Image.fromarray(positive.astype(np.float32)).resize(side, Image.Resampling.BICUBIC)).clip(0, 1)
    grey = np.repeat(image.mean(-1, keepdims=True), 3, axis=-1) * 0.75 + 40
    colour = np.array([255.0, 90.0, 0.0])
    tinted = grey * (1 - 0.75 * heat[..., None]) + colour * 0.75 * heat[..., None]
    return encode_picture(tinted.clip(0, 255).astype(np.uint8))


def encode_picture(pixels: NDArray[np.uint8]) -> str:
    """A small JPEG of an image (H, W, C) as a data URI."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    scale = PICTURE_PX / max(image.size)
    kind = Image.Resampling.BICUBIC if min(image.size) >= 32 else Image.Resampling.NEAREST
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), kind)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def learning_curves(events: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Loss and validation accuracy by images seen, thinned."""
    curves: dict[str, list[list[float]]] = {"loss": [], "accuracy": []}
    for event in events:
        for name, points in curves.items():
            value = event.get(name)
            if isinstance(value, int | float) and np.isfinite(value):
                points.append([float(event["images"]), float(value)])
    return {name: thin(points) for name, points in curves.items() if len(points) > 1}


def thin(points: list[list[float]], most: int = 200) -> list[list[float]]:
    """At most so many points: means of equal stretches."""
    if len(points) <= most:
        return points
    return [np.mean(part, axis=0).tolist() for part in np.array_split(np.array(points), most)]
