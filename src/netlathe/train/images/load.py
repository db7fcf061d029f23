"""The door: a source of images becomes train, validation and test sets, and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netlathe.errors import NetlatheError, nearest
from netlathe.files import cache_dir
from netlathe.train.images.arrays import digits_source, idx_files, idx_source, npz_source
from netlathe.train.images.build import Progress, store_images
from netlathe.train.images.cache import CacheEntry, hash_parts, size_limit
from netlathe.train.images.decode import DECODER
from netlathe.train.images.folders import folder_source
from netlathe.train.images.inspect import inspect_images, shorten_list
from netlathe.train.images.sets import ImageSet, Splits
from netlathe.train.images.sources import LAYOUTS, ImageSource, list_folder
from netlathe.train.images.split import SplitRows, check_shares, split_rows
from netlathe.train.images.table import csv_source


def load(
    source: str | Path,
    *,
    size: int,
    channels: int | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    cache: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Splits:
    """The images of a source, decoded once into a cache, and split.

    `source` is a folder, a CSV file, a folder of idx files, an npz file, or the word digits (`sources.LAYOUTS`). `size`
    is the short side in pixels; images that are all smaller stay as they are. `channels` is 1 for grey, 3 for colour,
    None for 3 if any image has colours. `validation` and `test` are the shares held out where the source does not say.
    `cache` is the folder of the cache, else images/ in Netlathe's; `limit` its size in bytes, else
    $NETLATHE_IMAGES_LIMIT, else 20GB. `progress` is called with what is being done, how far, and of how many images.

    Raises NetlatheError for sources of no known layout, of one class, with a class or a split left empty, with labels
    that disagree, and where the cache cannot be written. Single images that cannot be read are skipped and reported.
    """
    if size < 1:
        raise NetlatheError(f"a size of {size} px cannot be", code="images.size", hint="for example 128")
    if channels not in (None, 1, 3):
        raise NetlatheError(f"{channels} channels cannot be", code="images.channels", hint="1 for grey, 3 for colour")
    check_shares(validation, test)
    image_source = find_source(source)
    entry, built = store_images(
        image_source, size, channels, cache or cache_dir() / "images", size_limit(limit), progress
    )
    rows = split_rows(entry.splits, entry.digests, validation, test)
    check_rows(entry, rows, image_source)
    return Splits(
        select_images(entry, rows.train),
        select_images(entry, rows.validation),
        select_images(entry, rows.test) if rows.test.start < rows.test.stop else None,
        inspect_images(image_source, entry, rows, built),
    )


def find_source(source: str | Path) -> ImageSource:
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
        return idx_source(path) if idx_files(path) else folder_source(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return csv_source(path)
    if path.suffix.lower() == ".npz":
        return npz_source(path)
    raise NetlatheError("this file is no source of images", code="images.layout", path=str(path), hint=LAYOUTS)


def check_rows(entry: CacheEntry, rows: SplitRows, source: ImageSource) -> None:
    """Raises NetlatheError for classes or splits that have no image left."""
    count = np.bincount(entry.labels, minlength=len(entry.classes))
    learned = np.bincount(entry.labels[rows.train], minlength=len(entry.classes))
    if not count.all():
        message = f"no image can be read of {class_names(entry, count)}"
        why = shorten_list([f"{skipped[0]}: {skipped[1]}" for skipped in entry.facts["skipped"]])
        raise NetlatheError(message, code="images.empty_class", path=source.place, hint=why)
    if not learned.all():
        hint = "more images of a class, smaller shares held out, or folders train/, val/ and test/ help"
        message = f"no training image is left of {class_names(entry, learned)} (the split: {rows.how})"
        raise NetlatheError(message, code="images.empty_class", path=source.place, hint=hint)
    if rows.validation.start >= rows.validation.stop:
        hint = "more images, a larger share, or folders train/ and val/ help"
        message = f"none of the {len(entry.labels):,} images falls into the validation split ({rows.how})"
        raise NetlatheError(message, code="images.split", path=source.place, hint=hint)


def class_names(entry: CacheEntry, count: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    """The classes that count nothing."""
    return shorten_list([entry.classes[i] for i, n in enumerate(count) if n == 0])


def select_images(entry: CacheEntry, rows: slice) -> ImageSet:
    """Rows of an entry."""
    content = (entry.digests[rows].tobytes(), entry.labels[rows].tobytes())
    key = hash_parts(DECODER, str(entry.pixels.shape[1:]), "\0".join(entry.classes), *content)
    return ImageSet(entry.pixels[rows], entry.labels[rows], entry.names[rows], entry.classes, key)
