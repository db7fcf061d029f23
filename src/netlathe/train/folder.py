"""The folder of a training: what makes a training this one, and the files that say what it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlathe.arch.document import to_json
from netlathe.arch.network import Network
from netlathe.files import make_folder, write_json, write_text
from netlathe.lower.weights import Array
from netlathe.runfolder.identity import RunKind
from netlathe.train.images import ImageSet
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import recipe_key, resolve

TRAINING = RunKind("training", "train.other_run")
WEIGHTS, MODEL = "weights.safetensors", "model.onnx"


def training_identity(
    network: Network,
    images: ImageSet,
    recipe: Recipe,
    seed: int,
    epochs: float | None,
    weights: Mapping[str, Array] | None,
    timed: bool,
) -> dict[str, Any]:
    """What makes a run this run: a checkpoint of another one is refused."""
    return {
        "network": network.key,
        "images": images.key,
        "recipe": recipe_key(recipe),
        "seed": seed,
        "epochs": epochs,
        "start": "given weights" if weights is not None else recipe.regularise.init,
        "timed": timed,
    }


def prepare_folder(folder: Path, network: Network, recipe: Recipe) -> None:
    """Make the folder and write what the run is. Raises NetlatheError where that cannot be done."""
    make_folder(folder)
    write_text(folder / "arch.json", to_json(network))
    write_json(folder / "recipe.json", resolve(recipe))
