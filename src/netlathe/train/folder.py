"""The folder of a run: what makes a run this run, its result, and the refusal of another one's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlathe.arch.document import to_json
from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.files import write_text
from netlathe.lower.weights import Array
from netlathe.train.images import ImageSet
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import key, resolved


def identity(
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
        "recipe": key(recipe),
        "seed": seed,
        "epochs": epochs,
        "start": "given weights" if weights is not None else recipe.regularise.init,
        "timed": timed,
    }


def refuse_other(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
    """Raise NetlatheError where a folder belongs to another run, saying what differs."""
    differing = [f"{name} ({old.get(name)} there, {new[name]} now)" for name in new if old.get(name) != new[name]]
    if differing:
        raise NetlatheError(
            f"this folder holds another training: other {', '.join(differing)}",
            code="train.other_run",
            path=str(folder),
            hint="give another folder with -o, or remove this one",
        )


def finished(folder: Path, who: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of the result of a run that ended; None where there is none yet."""
    path = folder / "result.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    refuse_other(document.pop("who"), who, folder)
    document.pop("schema")
    result: dict[str, Any] = document
    return result


def prepare_folder(folder: Path, network: Network, recipe: Recipe) -> None:
    """Make the folder and write what the run is. Raises NetlatheError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NetlatheError(f"cannot make this folder: {error.strerror}", code="file.write", path=str(folder)) from None
    write_text(folder / "arch.json", to_json(network))
    write_text(folder / "recipe.json", json.dumps(resolved(recipe), indent=1))
