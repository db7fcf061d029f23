"""FitConfig: all that a fit was asked for, as run.toml holds it.

`netlathe fit out/run.toml -o again/` repeats it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import quote
from typing import Any, cast

from netlathe.choose.budget import READ, Budget, read_budget
from netlathe.deploy.precision import PrecisionChoice
from netlathe.documents import toml
from netlathe.documents.faults import faults_error, unknown_field
from netlathe.documents.schema import check_document
from netlathe.documents.toml import read_toml
from netlathe.errors import NetlatheError
from netlathe.files import write_text
from netlathe.train.images.options import PLAIN, ImageOptions
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import diff, to_toml
from netlathe.train.recipefile import load as load_recipe

FINEST, FINEST_PRETRAINED = 160, 256  # px, of networks from scratch and of pretrained ones
USUAL_RECIPE = "small"
OPTIONS = {  # of the command line, and the field that each sets
    "device": "device", "runtime": "runtimes", "run-threads": "run_threads", "form": "form", "weights": "weights",
    "weights-dir": "weights_dir", "scratch": "scratch", "from": "source", "search": "search",
    "resolution": "resolution", "threads": "threads", "precision": "precision",
}  # fmt: skip
FILE, RECIPE, SCHEMA = "run.toml", "recipe.toml", "netlathe.fit/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """What is asked for. One of `seconds` and `epochs`: a wall for everything, or epochs of the final training."""

    data: str
    budget: Mapping[str, str]  # as written: latency = "10ms"
    recipe: Recipe
    seconds: float | None = None
    epochs: float | None = None
    seed: int = 0
    device: str | None = None  # another than this machine
    runtimes: tuple[str, ...] = ()  # of the deployed network; without, ONNX Runtime and what else is installed
    run_threads: int = 1
    threads: int | None = None  # of training
    precision: str = "auto"  # of training
    form: PrecisionChoice = "auto"  # precision of the deployed network
    resolution: int | None = None  # the finest that is tried, px; without, FINEST or that of the pretrained weights
    weights: tuple[str, ...] = ()  # pretrained ones that candidates start from
    weights_dir: tuple[str, ...] = ()  # folders of more of them
    scratch: bool = False  # random weights, also where pretrained ones keep the budget
    search: str | None = None  # a space, whose best member is one of the candidates
    images: ImageOptions = PLAIN  # how they are read and split
    source: str | None = None  # of the candidates, as --from names it; None: families of the zoo

    @property
    def limits(self) -> Budget:
        """The budget in base units. Raises NetlatheError for a quantity without a unit."""
        return read_budget(self.budget)

    @property
    def starts_pretrained(self) -> bool:
        """Whether pretrained networks are the candidates; a search or a source names others."""
        return not self.scratch and self.search is None and self.source is None

    @property
    def pixels(self) -> int:
        """Pixels of the short side of the images that are read: what the finest candidate may look at."""
        return self.resolution or (FINEST_PRETRAINED if self.starts_pretrained else FINEST)

    def document(self) -> dict[str, Any]:
        """Plain values; what is not set is left out, the recipe is a file of its own."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("recipe", "budget", "images")}
        plain = {
            name: list(x) if isinstance(x, tuple) else x
            for name, x in values.items()
            if x not in (None, ()) and x is not False
        }
        tables = {"budget": dict(self.budget)} | ({"images": images} if (images := self.images.document()) else {})
        return {"schema": SCHEMA, **plain, "recipe": RECIPE, **tables}

    def write(self, folder: Path) -> None:
        """run.toml and recipe.toml. Raises NetlatheError where they cannot be written."""
        write_text(folder / RECIPE, to_toml(self.recipe))
        write_text(folder / FILE, toml.to_toml(self.document()))


def read_config(path: Path) -> FitConfig:
    """The configuration of a run.toml. Raises NetlatheError for a file that is none, with every fault."""
    document = read_toml(path, code="fit.syntax", what="a run.toml")
    if document.pop("schema", None) != SCHEMA:
        hint = "`netlathe fit` writes it into the folder of a fit"
        raise NetlatheError(f"this is no run.toml of a fit: its schema is not {SCHEMA!r}", code="fit.schema",
                            path=str(path), hint=hint)  # fmt: skip
    recipe = load_recipe(path.parent / str(document.pop("recipe", RECIPE)))
    config, faults = check_document(FitConfig, document | {"recipe": recipe}, strict=False)
    budget = document.get("budget")
    for name in budget if isinstance(budget, Mapping) else ():
        if name not in READ:
            faults.append(unknown_field("budget", name, READ, "limit"))
    if faults:
        raise faults_error(faults, code="fit.field", path=str(path))
    return cast(FitConfig, config)


def command_line(config: FitConfig) -> str:
    """The command that repeats the fit: everything that was asked for, and no default."""
    usual = FitConfig(data="", budget={}, recipe=config.recipe)
    words = [f"--{name} {value}" for name, value in config.budget.items()]
    words += [f"--time {config.seconds:g}s"] if config.seconds is not None else [f"--epochs {config.epochs:g}"]
    for option, name in OPTIONS.items():
        value = getattr(config, name)
        if value != getattr(usual, name):
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{option}" if x is True else f"--{option} {quote(str(x))}" for x in values]
    words += recipe_words(config.recipe)
    words += config.images.flags()
    return " ".join(["netlathe fit", quote(config.data), *words, f"--seed {config.seed}", "-o again/"])


def recipe_words(recipe: Recipe) -> list[str]:
    """The options that give a recipe; that of the folder, where it is none with other fields."""
    try:
        base = load_recipe(recipe.name.rstrip("+") if recipe.base is None else recipe.base)
    except NetlatheError:
        return [f"--recipe {RECIPE}"]
    steps = diff(base, recipe)
    if any(step.b is None for step in steps):
        return [f"--recipe {RECIPE}"]
    chosen = [] if base.name == USUAL_RECIPE else [f"--recipe {quote(base.name)}"]
    return chosen + [f"--set {quote(f'{step.field}={toml_value(step.b)}')}" for step in steps]


def toml_value(value: Any) -> str:
    """A value as --set takes it."""
    return value if isinstance(value, str) else json.dumps(value)
