"""Images that a table lists: a path and a label in each row, perhaps a split and a group; paths start at the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netlathe.documents.faults import Fault, faults_error
from netlathe.errors import NetlatheError, nearest
from netlathe.files import is_file
from netlathe.train.images.columns import METADATA, LabelRow, has_labels, read_rows
from netlathe.train.images.labels import settle_labels
from netlathe.train.images.options import ImageOptions
from netlathe.train.images.sources import (
    FREE,
    SPLITS,
    TRAIN,
    ImageFiles,
    ImageSource,
    SkippedFile,
    list_folder,
    sorted_classes,
)

SHOWN = 8  # faults of a file that are printed


def csv_source(path: Path, options: ImageOptions) -> ImageSource:
    """The images that a CSV file lists. Raises one NetlatheError with the lines of every fault."""
    return rows_source(path, (path,), read_rows(path, options), "a CSV file", options)


def metadata_files(root: Path, options: ImageOptions) -> list[tuple[Path, str]]:
    """The tables of metadata with labels, and their split: of a folder, or of its folders train/, val/ and test/."""
    folders = [(root, ""), *((x, x.name) for x in list_folder(root) if x.name.lower() in SPLITS and x.is_dir())]
    tables = [(folder / name, split) for folder, split in folders for name in METADATA]
    return [(table, split) for table, split in tables if is_file(table) and has_labels(table, options)]


def metadata_source(root: Path, tables: Sequence[tuple[Path, str]], options: ImageOptions) -> ImageSource:
    """The images that tables of metadata list. Raises one NetlatheError with every fault."""
    rows = [row for table, split in tables for row in read_rows(table, options, split=split, place=root)]
    names = sorted({table.name for table, _ in tables})
    return rows_source(root, [table for table, _ in tables], rows, " and ".join(names), options)


def rows_source(
    place: Path, tables: Sequence[Path], rows: Sequence[LabelRow], layout: str, options: ImageOptions
) -> ImageSource:
    """The images of rows, which stand in `tables`."""
    unique, repeated = check_rows(place, rows)
    splits = any(row.split for row in unique)
    missing = [row for row in unique if not is_file(row.file)]
    lost = set(missing)
    kept = [row for row in unique if row not in lost]
    if not kept:
        message = f"none of its {len(rows)} images exists" if rows else "has no rows"
        hint = f"the first would be {rows[0].file.absolute()}" if rows else "path,label and a row for each image"
        raise NetlatheError(message, code="images.csv", path=str(place), hint=hint)
    labels = settle_labels([row.label for row in unique], options, str(place), written=True)
    label_of = dict(zip(unique, (label.strip() for label in labels), strict=True))
    classes = sorted_classes(label_of.values())
    if len(classes) == 1:
        raise NetlatheError(f"has one class, {classes[0]}", code="images.one_class", path=str(place))
    index = {name: i for i, name in enumerate(classes)}
    images = ImageFiles(
        tuple(row.file for row in kept),
        tuple(row.file.relative_to(place).as_posix() if place in row.file.parents else row.path for row in kept),
        np.array([index[label_of[row]] for row in kept], np.int64),
        np.array([SPLITS[row.split.lower()] if splits else FREE for row in kept], np.int8),
        number_names([row.group for row in kept]),
        classes,
    )
    notes = (f"rows that say again what others say: {shorten(repeated)}",) if repeated else ()
    return ImageSource(
        str(place),
        layout + " with splits" * splits,
        (*tables, *(row.file for row in unique)),
        lambda: images,
        place if place.is_dir() else place.parent,
        tuple(SkippedFile(f"{row.path} ({row.where})", "there is no such file") for row in missing),
        notes,
        (repr(options),),
    )


def check_rows(place: Path, rows: Sequence[LabelRow]) -> tuple[list[LabelRow], list[str]]:
    """The first row of each image, and where rows repeat one. Raises one NetlatheError for all that disagree."""
    by_file: dict[Path, LabelRow] = {}
    faults: list[Fault] = []
    repeated: list[str] = []
    for row in rows:
        first = by_file.setdefault(row.file, row)
        both = f"{first.where} and {row.where}"
        if not row.label.strip():
            faults.append(Fault(row.where, "no label"))
        elif row.split != first.split:
            faults.append(Fault(both, f"{row.path} is in {first.split} and in {row.split}"))
        elif row.label.strip() != first.label.strip():
            faults.append(Fault(both, f"{row.path} is {first.label.strip()} and {row.label.strip()}"))
        elif row.group != first.group:
            faults.append(Fault(both, f"{row.path} is of group {first.group} and of {row.group}"))
        elif first is not row:
            repeated.append(row.where)
        if row.split and row.split.lower() not in SPLITS:
            close = nearest(row.split, SPLITS)
            hint = f"did you mean {close[0]}?" if close else "legal: train, validation, test"
            faults.append(Fault(row.where, f"unknown split {row.split!r} ({hint})"))
    if any(row.split for row in rows):
        faults += [Fault(row.where, "no split, where other rows have one") for row in rows if not row.split]
        codes = {SPLITS.get(row.split.lower()) for row in rows}
        faults += [Fault("", "no row is in train")] if TRAIN not in codes else []
    if faults:
        hint = (
            "each image has one label, one group, and one split if any has; an image of several classes cannot be used"
        )
        raise faults_error(faults, code="images.csv", path=str(place), hint=hint, shown=SHOWN)
    return list(by_file.values()), repeated


def number_names(names: Sequence[str]) -> NDArray[np.int64]:
    """A number for each name, -1 for none."""
    index = {name: i for i, name in enumerate(sorted(set(filter(None, names))))}
    return np.array([index.get(name, -1) for name in names], np.int64)


def shorten(places: Sequence[str]) -> str:
    """The first of many lines."""
    return ", ".join(places[:SHOWN]) + (f" and {len(places) - SHOWN} more" if len(places) > SHOWN else "")
