"""A CSV file of images: the columns path and label, and perhaps split; paths are relative to the folder of the file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netlathe.documents.faults import Fault, faults_error
from netlathe.documents.tables import parse_csv
from netlathe.errors import NetlatheError, nearest
from netlathe.files import is_file, read_text
from netlathe.train.images.sources import FREE, SPLITS, TRAIN, ImageFiles, ImageSource, SkippedFile, sorted_classes

SHOWN = 8  # faults of a file that are printed


class LabelRow(NamedTuple):
    """A row and its line in the file."""

    line: int
    path: str
    label: str
    split: str


def csv_source(path: Path) -> ImageSource:
    """The images that a CSV file lists. Raises one NetlatheError with the lines of every fault."""
    rows = read_rows(path)
    by_path: dict[str, LabelRow] = {}
    faults: list[Fault] = []
    repeated: list[str] = []
    for row in rows:
        first = by_path.setdefault(row.path, row)
        if row.label == "":
            faults.append(Fault(f"line {row.line}", "no label"))
        elif row.split != first.split:
            faults.append(
                Fault(f"lines {first.line} and {row.line}", f"{row.path} is in {first.split} and in {row.split}")
            )
        elif row.label != first.label:
            faults.append(Fault(f"lines {first.line} and {row.line}", f"{row.path} is {first.label} and {row.label}"))
        elif first is not row:
            repeated.append(str(row.line))
        if row.split and row.split.lower() not in SPLITS:
            close = nearest(row.split, SPLITS)
            hint = f"did you mean {close[0]}?" if close else "legal: train, validation, test"
            faults.append(Fault(f"line {row.line}", f"unknown split {row.split!r} ({hint})"))
    splits = any(row.split for row in rows)
    if splits:
        faults += [Fault(f"line {row.line}", "no split, where other rows have one") for row in rows if not row.split]
        codes = {SPLITS.get(row.split.lower()) for row in rows}
        faults += [Fault("", "no row is in train")] if TRAIN not in codes else []
    if faults:
        raise table_error(path, faults)
    there = {row.path: path.parent / row.path for row in by_path.values()}
    missing = {row for row in by_path.values() if not is_file(there[row.path])}
    kept = [row for row in by_path.values() if row not in missing]
    if not kept:
        message = f"none of its {len(rows)} images exists" if rows else "has no rows"
        hint = f"the first would be {there[rows[0].path].absolute()}" if rows else "path,label and a row for each image"
        raise NetlatheError(message, code="images.csv", path=str(path), hint=hint)
    classes = sorted_classes(row.label for row in by_path.values())
    if len(classes) == 1:
        raise NetlatheError(f"has one class, {classes[0]}", code="images.one_class", path=str(path))
    index = {name: i for i, name in enumerate(classes)}
    images = ImageFiles(
        tuple(there[row.path] for row in kept),
        tuple(row.path for row in kept),
        np.array([index[row.label] for row in kept], np.int64),
        np.array([SPLITS[row.split.lower()] if splits else FREE for row in kept], np.int8),
        classes,
    )
    return ImageSource(
        str(path),
        "a CSV file" + (" with splits" if splits else ""),
        (path, *there.values()),
        lambda: images,
        path.parent,
        tuple(SkippedFile(f"{row.path} (line {row.line})", "there is no such file") for row in sorted(missing)),
        (f"rows that say again what others say, on lines {shorten_lines(repeated)}",) if repeated else (),
    )


def read_rows(path: Path) -> list[LabelRow]:
    """The rows of the file, without blank ones."""
    try:
        columns, rows = parse_csv(read_text(path))
    except csv.Error as error:
        raise NetlatheError(f"is no CSV file: {error}", code="images.csv", path=str(path)) from error
    named = {name.lower(): name for name in columns}
    if not {"path", "label"} <= set(named):
        raise NetlatheError(
            f"needs the columns path and label, and has {', '.join(named) or 'nothing'}",
            code="images.csv",
            path=str(path),
            hint="the first line is path,label or path,label,split",
        )
    labels = [
        LabelRow(row.line, *(row.cells.get(named.get(name, ""), "") for name in ("path", "label", "split")))
        for row in rows
    ]
    return [row for row in labels if row.path]


def table_error(path: Path, faults: Sequence[Fault]) -> NetlatheError:
    """One error for the faults of a file."""
    hint = "each image has one label, and one split if any has"
    return faults_error(faults, code="images.csv", path=str(path), hint=hint, shown=SHOWN)


def shorten_lines(lines: Sequence[str]) -> str:
    """The first of many line numbers."""
    return ", ".join(lines[:SHOWN]) + (f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else "")
