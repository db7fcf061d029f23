"""The folder of a fit, and what makes a fit this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netlathe.bench.machine import this_machine
from netlathe.fit.config import FitConfig
from netlathe.fit.local_weights import weight_files
from netlathe.fit.shortlist import resolve_weights
from netlathe.runfolder.folder import RunKind
from netlathe.runfolder.identity import content, content_hash, file_content
from netlathe.search.identity import device_content, space_content
from netlathe.search.store import FILE as SEARCH_FILE
from netlathe.search.store import TrialStore
from netlathe.train.folder import images_content
from netlathe.train.images import Splits
from netlathe.train.recipefile import recipe_key

FIT = RunKind(
    "fit",
    (
        "steps",
        "features",
        "probed",
        "unfrozen",
        "rungs",
        "final",
        "clock.json",
        "model.onnx",
        "package.json",
        "card.json",
        "card.html",
    ),
)


def fit_identity(config: FitConfig, splits: Splits) -> dict[str, Any]:
    """All that decides what a fit gives. What is measured here belongs to this machine."""
    values = {name: value for name, value in config.document().items() if name != "data"}
    return values | {
        "images": images_content(splits),
        "recipe": content(config.recipe.name, recipe_key(config.recipe)),
        "weights": [weights_file_content(asked) for asked in config.weights],
        "weights_dir": [weights_folder_content(folder) for folder in config.weights_dir],
        "search": space_content(config.search) if config.search else None,
        "source": source_content(config.source) if config.source else None,
        "device": device_content(config.device) if config.device else content("this machine", this_machine().id),
    }


def weights_file_content(asked: str) -> dict[str, str]:
    """A candidate from given weights: its network, and the file, which a library keeps under its name."""
    network, source = resolve_weights(asked)
    key = file_content(source)["key"] if Path(source).is_file() else source
    return content(asked, content_hash(network.key, key))


def weights_folder_content(folder: str) -> dict[str, str]:
    """A folder of weights by the names and sizes of its files: their contents may be many gigabytes."""
    files = sorted(weight_files(Path(folder)))
    return content(folder, content_hash([(str(file.relative_to(folder)), file.stat().st_size) for file in files]))


def source_content(source: str) -> dict[str, str]:
    """Where candidates come from: the networks of a search with their scores, or the files of a folder."""
    folder = Path(source)
    if (folder / SEARCH_FILE).exists():
        with TrialStore(folder, write=False) as store:
            return content(source, content_hash([(t.key, t.state, t.costs, str(t.score)) for t in store.trials()]))
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    return content(source, content_hash([(str(f.relative_to(folder)), file_content(f)["key"]) for f in files]))
