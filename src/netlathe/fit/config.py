"""Wish: all that a fit was asked for, as run.toml holds it.

`netlathe fit out/run.toml -o again/` repeats it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from netlathe.choose.budget import Budget
from netlathe.deploy.precision import PrecisionChoice
from netlathe.errors import NetlatheError, unknown
from netlathe.files import write_text
from netlathe.train.recipe import Recipe
from netlathe.train.recipefile import key, to_toml
from netlathe.train.recipefile import load as load_recipe
from netlathe.units import byte_count, mac_count, milliseconds

FILE, RECIPE, SCHEMA = "run.toml", "recipe.toml", "netlathe.fit/1"
READ = {"latency": milliseconds, "memory": byte_count, "size": byte_count, "macs": mac_count}


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
    resolution: int = 160  # the finest that is tried, px
    weights: tuple[str, ...] = ()  # pretrained ones that candidates start from
    search: str | None = None  # a space, whose best member is one of the candidates

    @property
    def limits(self) -> Budget:
        """The budget in base units. Raises NetlatheError for a quantity without a unit."""
        read = {name: READ[name](said) for name, said in self.budget.items()}
        return Budget(**read)  # type: ignore[arg-type]

    def document(self) -> dict[str, Any]:
        """Plain values; what is not set is left out, the recipe is a file of its own."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("recipe", "budget")}
        plain = {name: list(x) if isinstance(x, tuple) else x for name, x in said.items() if x not in (None, ())}
        return {"schema": SCHEMA, **plain, "recipe": RECIPE, "budget": dict(self.budget)}

    def write(self, folder: Path) -> None:
        """run.toml and recipe.toml. Raises NetlatheError where they cannot be written."""
        document = self.document()
        budget = document.pop("budget")
        lines = [f"{name} = {json.dumps(value)}" for name, value in document.items()]
        lines += ["", "[budget]", *(f"{name} = {json.dumps(value)}" for name, value in budget.items())]
        write_text(folder / RECIPE, to_toml(self.recipe))
        write_text(folder / FILE, "\n".join(lines) + "\n")

    def identity(self, images: str) -> dict[str, Any]:
        """What must be the same for a folder to go on; `images` is the key of the images, wherever they are."""
        said = {name: value for name, value in self.document().items() if name != "data"}
        return said | {"images": images, "recipe": f"{self.recipe.name} ({key(self.recipe)})"}


def read_config(path: Path) -> FitConfig:
    """The wish of a run.toml. Raises NetlatheError for a file that is none, with the field that is wrong."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"cannot read this file: {error.strerror}"
        raise NetlatheError(message, code="file.unreadable", path=str(path)) from None
    except ValueError as error:
        raise NetlatheError(f"this is not TOML: {error}", code="fit.syntax", path=str(path)) from None
    if given.pop("schema", None) != SCHEMA:
        hint = "`netlathe fit` writes it into the folder of a fit"
        raise NetlatheError(f"this is no run.toml of a fit: its schema is not {SCHEMA!r}", code="fit.schema",
                            path=str(path), hint=hint)  # fmt: skip
    known = {f.name for f in fields(FitConfig)}
    for name in given:
        if name not in known:
            raise unknown("field of run.toml", name, known, code="fit.field", path=str(path))
    recipe = load_recipe(path.parent / str(given.pop("recipe", RECIPE)))
    listed = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    try:
        wish = TypeAdapter(FitConfig).validate_python(listed | {"recipe": recipe})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise NetlatheError("; ".join(faults), code="fit.field", path=str(path)) from None
    for name in wish.budget:
        if name not in READ:
            raise unknown("limit", name, READ, code="fit.field", path=f"{path}: budget")
    return wish
