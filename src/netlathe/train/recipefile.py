"""Recipe files: TOML in, a checked Recipe out; resolved, compared, keyed.

A file states the fields of `recipe.py`. With `base = "name"` it states only what differs from another recipe, which
must be complete: tables merge by field, what the base says of a field (its note, that it is unconfirmed) goes when the
field is stated anew, and its title and published results are not inherited. "none" takes an optional field back.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, cast

from netlathe.documents import toml
from netlathe.documents.faults import Fault
from netlathe.documents.toml import parse_toml
from netlathe.errors import NetlatheError, unknown
from netlathe.files import read_text
from netlathe.train.recipe import READS, Recipe
from netlathe.train.recipecheck import field_paths, find_unread, flatten, from_dict, recipe_error

FOLDER = Path(__file__).parent / "recipes"
ABOUT = ("name", "title", "source", "base", "published", "notes", "unconfirmed")  # changes nothing in a training


class RecipeDifference(NamedTuple):
    """One step of the way from one recipe to another; None where a recipe does not read the field."""

    field: str
    a: Any
    b: Any


def recipe_names() -> list[str]:
    """The recipes that come with Netlathe."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(recipe: str | Path, settings: Sequence[str] = (), *, complete: bool = False) -> Recipe:
    """The recipe of a name or of a file, with settings such as "optimiser.lr=0.1" on top.

    `complete` refuses one that starts from another: a base has no base itself, so no chain of them has no end.

    Raises NetlatheError for an unknown name, and one that lists every fault of a file with its place.
    """
    text, path = str(recipe), Path(recipe)
    if text in recipe_names():
        path = FOLDER / f"{text}.toml"
    elif path.suffix != ".toml" and "/" not in text:
        error = unknown("recipe", text, recipe_names(), code="recipe.unknown_name")
        error.hint = error.hint or "`netlathe recipe list` names them"
        raise error
    try:
        content = read_text(path)
    except NetlatheError as error:
        hint = f"recipes that come with Netlathe: {', '.join(recipe_names())}"
        raise NetlatheError(error.message, code="recipe.read", path=text, hint=hint) from None
    parsed = from_toml(content, path.stem, text, complete=complete)
    return set_fields(parsed, settings) if settings else parsed


def from_toml(content: str, name: str, source: str, *, complete: bool = False) -> Recipe:
    """The recipe of a file's text; `name` is its name unless the text says one, `source` is what errors call it."""
    document = {"name": name} | parse_toml(content, source=source, code="recipe.syntax", what="a recipe")
    if "base" not in document:
        return from_dict(document, source)
    if not isinstance(document["base"], str):
        raise recipe_error([Fault("base", f"must be the name of a recipe, not {document['base']!r}")], source)
    if complete:
        hint = f'write base = "{document["base"]}" and what differs from that'
        message = f"{document['name']} is not complete itself: it starts from {document['base']}"
        raise NetlatheError(message, code="recipe.base", path=source, hint=hint)
    try:
        base = load(document["base"], complete=True)
    except NetlatheError as error:
        error.path = f"{source}: base"
        raise
    whole = merge(base, document)
    if "title" not in document:
        del whole["title"]
    return from_dict(whole, source)


def set_fields(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with fields set as on the command line; a + joins its name. Raises NetlatheError."""
    document: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", name):
            hint = "write field=value, such as optimiser.lr=0.1"
            raise NetlatheError(f"{setting!r} sets nothing", code="recipe.setting", hint=hint)
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            value = text  # a word without quotes
        table, dot, leaf = name.rpartition(".")
        if dot:
            document.setdefault(table, {})[leaf] = value
        else:
            document[leaf] = value
    name = recipe.name.rstrip("+") + "+"
    return from_dict(merge(recipe, {"name": name, "base": recipe.base or recipe.name} | document), "settings")


def merge(base: Recipe, overlay: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a recipe that starts from another: what the overlay's choices do not read is left out."""
    document, stated = resolve(base), {path for path, _ in flatten(overlay)}
    document["published"] = []
    document["notes"] = {path: note for path, note in base.notes.items() if path not in stated}
    document["unconfirmed"] = [path for path in base.unconfirmed if path not in stated]
    for table, chooser, reads in READS:
        over = overlay.get(table)
        if isinstance(over, Mapping) and isinstance(over.get(chooser), str):
            for name in find_unread(reads, over[chooser]):
                document[table].pop(name, None)
    for name, value in overlay.items():
        old = document.get(name)
        if isinstance(value, Mapping) and isinstance(old, dict):
            document[name] = {**old, **value}
        elif name == "unconfirmed" and isinstance(value, list):
            document[name] = [*document[name], *value]
        else:
            document[name] = value
    return document


def resolve(recipe: Recipe) -> dict[str, Any]:
    """The complete recipe as plain data: every field that is read, with its default; it starts from no base."""
    document = {name: value for name, value in asdict(recipe).items() if name != "base"}
    for table, chooser, reads in READS:
        for name in find_unread(reads, document[table][chooser]):
            del document[table][name]

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(field) for name, field in value.items() if field is not None}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return cast(dict[str, Any], plain(document))


def recipe_key(recipe: Recipe) -> str:
    """Twelve hexadecimal digits that are equal for recipes that train alike."""
    training = {name: value for name, value in resolve(recipe).items() if name not in ABOUT}
    return hashlib.sha256(json.dumps(training, sort_keys=True).encode()).hexdigest()[:12]


def diff(a: Recipe, b: Recipe) -> list[RecipeDifference]:
    """The way from one recipe to another: every field of a training that differs, in the order of the fields."""
    ours, theirs = dict(flatten(resolve(a))), dict(flatten(resolve(b)))
    order = [
        path for path in field_paths() if path in ours.keys() | theirs.keys() and path.partition(".")[0] not in ABOUT
    ]
    pairs = [RecipeDifference(path, ours.get(path), theirs.get(path)) for path in order]
    return [pair for pair in pairs if pair.a != pair.b]


def to_toml(recipe: Recipe) -> str:
    """The complete recipe as a file; empty tables are left out."""
    document = resolve(recipe)
    published = [{name: value for name, value in row.items() if value != ""} for row in document.pop("published", ())]
    tables = {name: value for name, value in document.items() if value != {}}
    return toml.to_toml(tables | ({"published": published} if published else {}))
