"""The folder of a training: what makes a training this one, and the files that say what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netlathe.arch.trainable import Trainable
from netlathe.files import write_json, write_text
from netlathe.lower.weights import Array
from netlathe.runfolder.folder import RunKind
from netlathe.runfolder.identity import content, content_hash
from netlathe.runfolder.result import RESULT
from netlathe.train.checkpoint import SLOTS
from netlathe.train.images import Splits
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import resolve

WEIGHTS, MODEL = "weights.safetensors", "model.onnx"
FILES = (RESULT, *SLOTS, WEIGHTS, MODEL, "arch.json", "recipe.json", "metrics.jsonl")
TRAINING = RunKind("training", FILES)
PRETRAINING = RunKind("pretraining", FILES)


def images_content(splits: Splits, name: str = "") -> dict[str, str]:
    """The images by what is in them (pixels, classes, splits), wherever they lie."""
    sets = (splits.train, splits.validation, splits.test)
    place = name or (splits.report.place if splits.report is not None else "images")
    return content(place, content_hash(*(images.key for images in sets if images is not None)))


def weights_content(weights: Mapping[str, Array]) -> dict[str, str]:
    """Weights that were given, by their tensors."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {tensor.dtype} {tensor.shape} ".encode() + tensor.tobytes())
    return content("given weights", f"sha256 {digest.hexdigest()}")


def prepare_folder(folder: Path, network: Trainable, recipe: Recipe) -> None:
    """Write what the run is. Raises NetlatheError where that cannot be done."""
    write_text(folder / "arch.json", network.document())
    write_json(folder / "recipe.json", resolve(recipe))
