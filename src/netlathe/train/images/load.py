"""The door: a source of images becomes train, validation and test sets, and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import NetlatheError, nearest
from netlathe.files import cache_dir
from netlathe.train.images.arrays import digits_source, idx_files, idx_source, npz_source
from netlathe.train.images.build import Progress, store_images
from netlathe.train.images.cache import CacheEntry, hash_parts, size_limit
from netlathe.train.images.decode import DECODER
from netlathe.train.images.folders import folder_source
from netlathe.train.images.folds import fold_rows
from netlathe.train.images.inspect import inspect_images, shorten_list
from netlathe.train.images.options import PLAIN, SHARE, ImageOptions, read_amount
from netlathe.train.images.parts import add_part
from netlathe.train.images.sets import FoldedSplits, ImageSet, PixelRows, Splits
from netlathe.train.images.sources import LAYOUTS, TEST, TRAIN, VALIDATION, ImageSource, list_folder
from netlathe.train.images.split import (
    LabelledGroups,
    SplitRows,
    check_amounts,
    number_groups,
    split_rows,
)
from netlathe.train.images.table import csv_source, metadata_files, metadata_source


def load(
    source: str | Path,
    *,
    size: int,
    channels: int | None = None,
    options: ImageOptions = PLAIN,
    cache: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Splits:
    """The images of a source, decoded once into a cache, and split.

    `source` is a folder, a CSV file, a folder of idx files, an npz file, or the word digits (`sources.LAYOUTS`). `size`
    is the short side in pixels; images that are all smaller stay as they are. `channels` is 1 for grey, 3 for colour,
    None for 3 if any image has colours. `options` say how it is read and split where the source does not.
    `cache` is the folder of the cache, else images/ in Netlathe's; `limit` its size in bytes, else
    $NETLATHE_IMAGES_LIMIT, else 20GB. `progress` is called with what is being done, how far, and of how many images.

    Raises NetlatheError for sources of no known layout, of one class, with a class or a split left empty, with labels
    that disagree, and where the cache cannot be written. Single images that cannot be read are skipped and reported.
    """
    validation, test = find_amounts(options)
    stored = open_images(source, size, channels, options, cache, limit, progress)
    rows = split_rows(stored.entry.splits, stored.entry.labels, stored.groups, validation, test)
    check_rows(stored.entry, rows, stored.source)
    return make_splits(stored, rows)


def load_folds(
    source: str | Path,
    folds: int,
    *,
    size: int,
    channels: int | None = None,
    options: ImageOptions = PLAIN,
    cache: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> FoldedSplits:
    """The images of a source for cross-validation: `folds` ways to hold out a part, and all of it to learn from.

    The parts are disjoint, stratified by class, and keep copies and groups together (`folds.fold_rows`); the test
    images are the same in all, those of `load`. What the source calls validation is learned from as well. Arguments
    and errors are those of `load`; too many folds are an error too.
    """
    _, test = find_amounts(options)
    stored = open_images(source, size, channels, options, cache, limit, progress)
    entry, groups = stored.entry, stored.groups
    learned = np.where(entry.splits == VALIDATION, TRAIN, entry.splits)
    tested = split_rows(learned, entry.labels, groups, SHARE, test)
    pool = np.sort(np.concatenate([tested.train, tested.validation]))
    held = fold_rows(LabelledGroups(pool, entry.labels[pool], groups[pool]), folds)
    parts = [
        SplitRows(np.setdiff1d(pool, rows), rows, tested.test, f"fold {i + 1} of {folds}, copies and groups together")
        for i, rows in enumerate(held)
    ]
    whole = SplitRows(pool, pool[:0], tested.test, f"all that the {folds} folds share")
    for rows in (*parts, whole):
        check_classes(entry, rows, stored.source)
    return FoldedSplits(tuple(make_splits(stored, rows) for rows in parts), make_splits(stored, whole))


class StoredImages(NamedTuple):
    """A source whose images are in the cache; `groups` as `split.number_groups` gives them."""

    source: ImageSource
    entry: CacheEntry
    built: bool  # decoded now, not found in the cache
    groups: NDArray[np.int64]


def find_amounts(options: ImageOptions) -> tuple[float, float]:
    """The shares or numbers for validation and test, as `split_rows` takes them. Raises NetlatheError."""
    asked = (read_amount(options.validation, "validation"), read_amount(options.test, "test"))
    validation, test = (SHARE if isinstance(amount, Path) else amount for amount in asked)
    check_amounts(validation, test)
    return validation, test


def open_images(
    source: str | Path,
    size: int,
    channels: int | None,
    options: ImageOptions,
    cache: Path | None,
    limit: int | None,
    progress: Progress | None,
) -> StoredImages:
    """The images of a source, from the cache or decoded now."""
    if size < 1:
        raise NetlatheError(f"a size of {size} px cannot be", code="images.size", hint="for example 128")
    if channels not in (None, 1, 3):
        raise NetlatheError(f"{channels} channels cannot be", code="images.channels", hint="1 for grey, 3 for colour")
    image_source = find_all(source, options)
    entry, built = store_images(
        image_source, size, channels, cache or cache_dir() / "images", size_limit(limit), progress
    )
    refuse_second_split(entry.splits, image_source, options)
    return StoredImages(
        image_source, entry, built, number_groups(entry.alike, [entry.groups, entry.bursts], entry.digests)
    )


def make_splits(stored: StoredImages, rows: SplitRows) -> Splits:
    """The sets of a split, and the report."""
    entry = stored.entry
    return Splits(
        select_images(entry, rows.train),
        select_images(entry, rows.validation),
        select_images(entry, rows.test) if len(rows.test) else None,
        inspect_images(stored.source, entry, rows, stored.built),
    )


def find_all(source: str | Path, options: ImageOptions) -> ImageSource:
    """The source, with those that --validation and --test name."""
    whole = find_source(source, options)
    for name, code in (("validation", VALIDATION), ("test", TEST)):
        place = read_amount(getattr(options, name), name)
        if isinstance(place, Path):
            whole = add_part(whole, find_source(place, options), code, name)
    return whole


def refuse_second_split(splits: NDArray[np.int8], source: ImageSource, options: ImageOptions) -> None:
    """Raise NetlatheError where a part is asked for that the source has already."""
    for name, code in (("validation", VALIDATION), ("test", TEST)):
        asked = getattr(options, name)
        if asked is not None and not isinstance(read_amount(asked, name), Path) and (count := (splits == code).sum()):
            message = f"has {count:,} {name} images of its own, and --{name} {asked} would choose others"
            raise NetlatheError(message, code="images.split", path=source.place, hint=f"leave --{name} out")


def find_source(source: str | Path, options: ImageOptions = PLAIN) -> ImageSource:
    """The source that a word or a path names. Raises NetlatheError where there is none or it is of no known layout."""
    if source == "digits":
        return digits_source()
    path = Path(source).expanduser()
    if not path.exists():
        beside = (
            [other.name for other in list_folder(path.parent) if other.name[0] != "."] if path.parent.is_dir() else []
        )
        close = nearest(path.name, [*beside, "digits"])
        hint = f"did you mean {' or '.join(close)}?" if close else LAYOUTS
        raise NetlatheError("there is no such file or folder", code="images.missing", path=str(source), hint=hint)
    if path.is_dir():
        if idx_files(path):
            return idx_source(path)
        tables = metadata_files(path, options)
        return metadata_source(path, tables, options) if tables else folder_source(path, options)
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl"):
        return csv_source(path, options)
    if path.suffix.lower() == ".npz":
        return npz_source(path)
    raise NetlatheError("this file is no source of images", code="images.layout", path=str(path), hint=LAYOUTS)


def check_rows(entry: CacheEntry, rows: SplitRows, source: ImageSource) -> None:
    """Raises NetlatheError for classes or splits that have no image left."""
    check_classes(entry, rows, source)
    if not len(rows.validation):
        hint = "each class has one image, or copies of one: more images, or folders train/ and val/ help"
        message = f"none of the {len(entry.labels):,} images can be held out for validation ({rows.how})"
        raise NetlatheError(message, code="images.split", path=source.place, hint=hint)


def check_classes(entry: CacheEntry, rows: SplitRows, source: ImageSource) -> None:
    """Raises NetlatheError for classes that have no image, or none to learn from."""
    count = np.bincount(entry.labels, minlength=len(entry.classes))
    learned = np.bincount(entry.labels[rows.train], minlength=len(entry.classes))
    if not count.all():
        message = f"no image can be read of {class_names(entry, count)}"
        why = shorten_list([f"{skipped[0]}: {skipped[1]}" for skipped in entry.facts["skipped"]])
        raise NetlatheError(message, code="images.empty_class", path=source.place, hint=why)
    if not learned.all():
        hint = "each class needs images to learn from: move some there, or remove the class"
        message = f"no training image is left of {class_names(entry, learned)} (the split: {rows.how})"
        raise NetlatheError(message, code="images.empty_class", path=source.place, hint=hint)


def class_names(entry: CacheEntry, count: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    """The classes that count nothing."""
    return shorten_list([entry.classes[i] for i, n in enumerate(count) if n == 0])


def select_images(entry: CacheEntry, rows: NDArray[np.int64]) -> ImageSet:
    """Rows of an entry, mapped from the file."""
    content = (entry.digests[rows].tobytes(), entry.labels[rows].tobytes())
    key = hash_parts(DECODER, str(entry.pixels.shape[1:]), "\0".join(entry.classes), *content)
    pixels: Any = PixelRows(entry.pixels, rows)  # an array for all who read it
    return ImageSet(pixels, entry.labels[rows], tuple(entry.names[i] for i in rows.tolist()), entry.classes, key)
