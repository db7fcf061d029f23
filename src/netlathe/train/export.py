"""The files that a training leaves: weights by path, and the network that runs anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from netlathe.arch.trainable import Trainable
from netlathe.errors import MissingExtra
from netlathe.files import write_bytes
from netlathe.lower.weights import Array
from netlathe.train.evaluate import Normalisation
from netlathe.train.folder import MODEL, WEIGHTS
from netlathe.train.recipe import Recipe

try:
    from safetensors.numpy import load, save
except ImportError as error:
    raise MissingExtra("safetensors", "train") from error


def write_weights(folder: Path, module: nn.Module) -> None:
    """The weights of a module by path, as float32; whole numbers, such as tables of indices, as they are."""
    state = {name: t.detach().cpu() for name, t in module.state_dict().items()}
    save_weights(folder, {name: (t.float() if t.is_floating_point() else t).numpy() for name, t in state.items()})


def save_weights(folder: Path, tensors: Mapping[str, Array]) -> None:
    """Weights by path, float32, as a training keeps them."""
    kept = {n: np.ascontiguousarray(x) for n, x in tensors.items() if not n.endswith("num_batches_tracked")}
    write_bytes(folder / WEIGHTS, save(kept))


def read_weights(folder: Path) -> dict[str, Array]:
    """The weights that a training kept."""
    weights: dict[str, Array] = load((folder / WEIGHTS).read_bytes())
    return weights


def export(
    folder: Path, network: Trainable, normal: Normalisation, recipe: Recipe, classes: tuple[str, ...], seed: int
) -> None:
    """Write model.onnx with the weights that were kept: (batch, C, r, r) normalised pixels -> (batch, classes).

    What a user needs to feed it is in its metadata: classes, mean, std, resolution, crop, interpolation.
    """
    model = network.onnx_model(read_weights(folder), batch=None)
    about: dict[str, Any] = {
        "netlathe.classes": "\n".join(classes),
        "netlathe.mean": " ".join(map(repr, normal.mean)),
        "netlathe.std": " ".join(map(repr, normal.std)),
        "netlathe.resolution": recipe.evaluate.resolution,
        "netlathe.shape": recipe.evaluate.shape,
        "netlathe.crop": recipe.evaluate.crop,
        "netlathe.interpolation": recipe.evaluate.interpolation,
        "netlathe.recipe": recipe.name,
        "netlathe.seed": seed,
    }
    for name, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, str(value)
    write_bytes(folder / MODEL, model.SerializeToString())
