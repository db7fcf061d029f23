"""A source that is made of two: what is learned from, and another folder or file that is held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.train.images.sources import ImageFiles, ImageSource, sorted_classes


def add_part(source: ImageSource, other: ImageSource, code: int, name: str) -> ImageSource:
    """All images of another source as the validation or test images (`code`, `name`) of this one.

    Raises NetlatheError where this one has such images already, and for images in arrays.
    """
    a, b = source.open(), other.open()
    if not (isinstance(a, ImageFiles) and isinstance(b, ImageFiles)):
        message = f"--{name} {other.place}: only image files can be added, not images in arrays"
        raise NetlatheError(message, code="images.split", path=source.place, hint=f"a share or a number: --{name} 15%")
    if (a.splits == code).any():
        message = f"has {name} images of its own, and --{name} {other.place} names others"
        raise NetlatheError(message, code="images.split", path=source.place, hint=f"leave --{name} out")
    classes = sorted_classes((*a.classes, *b.classes))
    places = [np.array([classes.index(word) for word in part.classes], np.int64) for part in (a, b)]
    own = np.where(b.groups >= 0, b.groups + a.groups.max(initial=-1) + 1, -1)
    folder = Path(other.place).name
    images = ImageFiles(
        a.paths + b.paths,
        a.names + tuple(f"{folder}/{path}" for path in b.names),
        np.concatenate([places[0][a.labels], places[1][b.labels]]),
        np.concatenate([a.splits, np.full(len(b.names), code, np.int8)]),
        np.concatenate([a.groups, own]),
        classes,
    )
    return replace(
        source,
        layout=f"{source.layout}, {name} images in {other.place} ({other.layout})",
        files=source.files + other.files,
        open=lambda: images,
        skipped=source.skipped + other.skipped,
        notes=source.notes + tuple(f"{other.place}: {note}" for note in other.notes),
        reading=(*source.reading, other.place, *other.reading),
    )
