"""Folders of images: a folder for each class, and perhaps train/, val/ and test/ around them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.train.images.decode import SUFFIXES
from netlathe.train.images.sources import (
    FREE,
    LAYOUTS,
    SPLITS,
    TRAIN,
    ImageFiles,
    ImageSource,
    list_folder,
    make_printable,
    sorted_classes,
    unreadable_error,
)


def folder_source(root: Path) -> ImageSource:
    """Class folders, or split folders of class folders."""
    below = list_folders(root)
    splits = {name: SPLITS[name.lower()] for name in below if name.lower() in SPLITS and list_folders(root / name)}
    if not splits:
        parts = {"": (FREE, below)}
    elif TRAIN in splits.values():
        parts = {name: (code, list_folders(root / name)) for name, code in splits.items()}
    else:
        words = " and ".join(f"{name}/" for name in splits)
        raise NetlatheError(f"has {words} but no train/", code="images.layout", path=str(root), hint=LAYOUTS)
    repeated = [name for name in splits if list(splits.values()).count(splits[name]) > 1]
    if repeated:
        words = " and ".join(sorted(repeated))
        raise NetlatheError(f"{words} mean the same split: keep one", code="images.layout", path=str(root))
    classes = sorted_classes(make_printable(name) for _, names in parts.values() for name in names)
    names: list[str] = []
    labels: list[int] = []
    codes: list[int] = []
    others: Counter[str] = Counter()
    for part, (code, inside) in sorted(parts.items()):
        for name in inside:
            files = find_images(root / part / name, others)
            names += [(Path(part) / name / file).as_posix() for file in files]
            labels += [classes.index(make_printable(name))] * len(files)
            codes += [code] * len(files)
    check_classes(classes, labels, root)
    images = ImageFiles(
        tuple(root / name for name in names),
        tuple(map(make_printable, names)),
        np.array(labels, np.int64),
        np.array(codes, np.int8),
        classes,
    )
    notes = [f"{count} files are no images: {suffix}" for suffix, count in others.most_common()]
    left = [name for name in below if splits and name not in splits]
    notes += [f"folders beside train/ are left out: {', '.join(left)}"] if left else []
    words = ", ".join(f"{name}/" for name in sorted(splits, key=splits.__getitem__))
    layout = f"class folders in {words}" if splits else "class folders"
    return ImageSource(str(root), layout, images.paths, lambda: images, root, notes=tuple(notes))


def list_folders(root: Path) -> list[str]:
    """Names of the folders in a folder, sorted; not hidden ones, nor what archives of macOS leave behind."""
    return [x.name for x in list_folder(root) if x.is_dir() and x.name[0] != "." and x.name != "__MACOSX"]


def find_images(root: Path, others: Counter[str]) -> list[str]:
    """Paths of the image files in a folder and its folders, sorted; the suffixes of other files are counted."""
    images: list[str] = []
    seen: set[tuple[int, int]] = set()  # a link may lead back up

    def stop(error: OSError) -> None:
        raise unreadable_error(root, error)

    for folder, below, files in os.walk(root, followlinks=True, onerror=stop):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = [name for name in below if not name.startswith(".")]
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix[1:] in SUFFIXES:
                images.append((Path(folder) / name).relative_to(root).as_posix())
            else:
                others[suffix or name] += 1
    return sorted(images)


def check_classes(classes: Sequence[str], labels: Sequence[int], root: Path) -> None:
    """Raises NetlatheError for no images, images outside class folders, one class, or classes without images."""
    path = str(root)
    loose = [x.name for x in list_folder(root) if x.is_file() and x.suffix.lower()[1:] in SUFFIXES]
    tables = [x.name for x in list_folder(root) if x.suffix.lower() in (".csv", ".npz")]
    if not labels:
        hint = f"there is {tables[0]}: give that file" if tables else LAYOUTS
        message = f"has {len(loose)} images, but no folder for a class" if loose else "has no images"
        raise NetlatheError(message, code="images.empty", path=path, hint=hint)
    empty = sorted(set(range(len(classes))) - set(labels))
    if len(classes) == 1:
        inside = list_folders(root / classes[0]) if (root / classes[0]).is_dir() else []
        hint = f"did you mean {root / classes[0]}?" if len(inside) > 1 else LAYOUTS
        raise NetlatheError(f"has one class, {classes[0]}", code="images.one_class", path=path, hint=hint)
    if empty:
        message = ", ".join(classes[i] for i in empty)
        hint = "put images there, or remove the folder"
        raise NetlatheError(f"class folders without images: {message}", code="images.empty_class", path=path, hint=hint)
