"""What a source of images is, before anything is decoded: files that are listed, or pixels in arrays.

`folders` finds class folders, `table` reads CSV files, `arrays` idx files, npz files and scikit-learn's digits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netlathe.errors import NetlatheError

FREE, TRAIN, VALIDATION, TEST = range(4)  # FREE: the source does not say
SPLITS = {"train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION}
SPLITS |= {"test": TEST, "testing": TEST}
LAYOUTS = """images are read from
    a folder with a folder of images for each class:  shoes/boot/1.jpg  shoes/sandal/2.jpg
    a folder with train/, val/ and test/ (or train/ and one of them), each with class folders
    a CSV file with the columns path and label, and perhaps split
    a folder of idx files, as MNIST and Fashion-MNIST come
    an npz file with x and y, x_train and y_train, images and labels, or train_images and train_labels
    digits (the word): scikit-learn's 1,797 digits of 8 x 8 px"""


class SkippedFile(NamedTuple):
    """An image that is left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images in files. `labels` are places in `classes`; `splits` are FREE, TRAIN, VALIDATION or TEST.

    `groups` are equal for images that the source says belong together, -1 for those of which it says nothing.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    splits: NDArray[np.int8]
    groups: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ImageStack:
    """Images in one array (N, H, W, C) of uint8, C 1, 3 or 4; the rest as in `ImageFiles`."""

    pixels: NDArray[np.uint8]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    splits: NDArray[np.int8]
    groups: NDArray[np.int64]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ImageSource:
    """A place with images: `files` are all that it is made of, so that a change of one is seen; `open` reads it.

    `reading` is all else that decides what is read from the files.
    """

    place: str
    layout: str
    files: tuple[Path, ...]
    open: Callable[[], ImageFiles | ImageStack]
    folder: Path | None  # where a licence would lie
    skipped: tuple[SkippedFile, ...] = ()
    notes: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()


def no_groups(count: int) -> NDArray[np.int64]:
    """Of images of which nothing is said."""
    return np.full(count, -1, np.int64)


def make_printable(name: str) -> str:
    """A name as it can be written anywhere: bytes that are no UTF-8 become \\xff."""
    return os.fsencode(name).decode(errors="backslashreplace")


def list_folder(root: Path) -> list[Path]:
    """What lies in a folder, sorted. Raises NetlatheError where it cannot be listed."""
    try:
        return sorted(root.iterdir())
    except OSError as error:
        raise unreadable_error(root, error) from error


def unreadable_error(root: Path, error: OSError) -> NetlatheError:
    """An error for a folder that cannot be listed."""
    return NetlatheError(f"cannot be read: {error.strerror}", code="images.read", path=str(error.filename or root))


def sorted_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Every name once, by number where all are whole numbers (2 before 10), else as texts, as ImageFolder does."""
    unique = set(names)
    numbers = all(name.isascii() and name.isdecimal() and len(name) < 1000 for name in unique)
    return tuple(sorted(unique, key=lambda name: (int(name), name) if numbers else (0, name)))
