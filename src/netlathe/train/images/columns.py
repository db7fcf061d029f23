"""The rows of tables of images: CSV, or metadata.csv and metadata.jsonl as Hugging Face's imagefolder has them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from netlathe.documents.json import parse_json
from netlathe.documents.tables import parse_csv
from netlathe.errors import NetlatheError, nearest
from netlathe.files import read_text
from netlathe.train.images.options import ImageOptions

COLUMNS = {  # what a column may be called, the usual first; upper or lower case
    "path": ("path", "file_name", "filename", "filepath", "file_path", "file", "image", "image_path", "img"),
    "label": ("label", "class", "labels", "class_name", "category", "target"),
    "split": ("split", "subset"),
    "group": ("group",),
}
METADATA = ("metadata.csv", "metadata.jsonl")  # https://huggingface.co/docs/datasets/image_dataset


class LabelRow(NamedTuple):
    """A row, where it stands, and the folder that its path starts from. `label` has the space around it."""

    where: str
    folder: Path
    path: str
    label: str
    split: str
    group: str

    @property
    def file(self) -> Path:
        """The image."""
        return self.folder / self.path


def read_rows(file: Path, options: ImageOptions, *, split: str = "", place: Path | None = None) -> list[LabelRow]:
    """The rows of a table, without those that name no image; `split` is that of all of them, where the layout says it.

    `place` is the source that the table is a part of, else itself. Raises NetlatheError for a file that cannot be
    read, and for columns that are not there or could be meant.
    """
    columns, rows = read_jsonl(file) if file.suffix.lower() == ".jsonl" else read_csv(file)
    names = {role: find_column(role, columns, options, file) for role in COLUMNS}
    name = "" if place is None or place == file else f"{file.relative_to(place)} "
    listed = []
    for line, cells in rows:
        row = {role: cells.get(column, "") if column else "" for role, column in names.items()}
        path = row["path"].strip()
        if path:
            part = split or row["split"].strip()
            listed.append(LabelRow(f"{name}line {line}", file.parent, path, row["label"], part, row["group"].strip()))
    return listed


def read_csv(file: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Columns and rows of a CSV file."""
    try:
        columns, rows = parse_csv(read_text(file))
    except csv.Error as error:
        raise NetlatheError(f"is no CSV file: {error}", code="images.csv", path=str(file)) from error
    return columns, [(row.line, row.texts) for row in rows]


def read_jsonl(file: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Columns and rows of a file with a JSON object on each line."""
    columns: dict[str, None] = {}
    rows = []
    for line, text in enumerate(read_text(file).splitlines(), 1):
        if not text.strip():
            continue
        where = f"{file}, line {line}"
        row = parse_json(text, source=where, code="images.csv", what="a row of metadata")
        if not isinstance(row, Mapping):
            raise NetlatheError("is no JSON object", code="images.csv", path=where, hint='{"file_name": "1.jpg", ...}')
        columns |= dict.fromkeys(row)
        rows.append((line, {name: write_value(value) for name, value in row.items()}))
    return list(columns), rows


def write_value(value: object) -> str:
    """A JSON value as a label: a list of several is a|b, as in a table."""
    if isinstance(value, list | tuple):
        return "|".join(map(write_value, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def find_column(role: str, columns: Sequence[str], options: ImageOptions, file: Path) -> str:
    """The column of a role; empty where there is none and none is needed."""
    asked = getattr(options, f"{role}_column", None)
    flag = f"--{role}-column"
    listed = ", ".join(columns) or "nothing"
    if asked is not None:
        if asked in columns:
            return str(asked)
        close = nearest(asked, columns)
        hint = f"did you mean {' or '.join(close)}?" if close else ""
        raise NetlatheError(f"has no column {asked}, but {listed}", code="images.csv", path=str(file), hint=hint)
    there = [column for word in COLUMNS[role] for column in columns if column.lower() == word]
    if len(there) > 1 and there[0].lower() != role:
        message = f"has {len(there)} columns that could be the {role}: {', '.join(there)}"
        raise NetlatheError(message, code="images.csv", path=str(file), hint=f"name one: {flag} {there[0]}")
    if not there and role in ("path", "label"):
        message = f"has no column {role}, but {listed}"
        hint = f"name the column: {flag} NAME; known are {', '.join(COLUMNS[role])}"
        raise NetlatheError(message, code="images.csv", path=str(file), hint=hint)
    return there[0] if there else ""


def has_labels(file: Path, options: ImageOptions) -> bool:
    """Whether a table of metadata says the class of images, or should as the options say."""
    columns, _ = read_jsonl(file) if file.suffix.lower() == ".jsonl" else read_csv(file)
    words = {column.lower() for column in columns}
    return options.label_column is not None or bool(words & set(COLUMNS["label"]))
