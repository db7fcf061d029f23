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
    SkippedFile,
    list_folder,
    make_printable,
    sorted_classes,
    unreadable_error,
)

DEEPEST = 32  # folders within the folder of a class
BACK = "a link back to a folder that is read already"
TOO_DEEP = f"more than {DEEPEST} folders deep"


def folder_source(root: Path) -> ImageSource:
    """Class folders, or split folders of class folders."""
    skipped: list[SkippedFile] = []
    below = list_folders(root, skipped)
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
            files = find_images(root / part / name, others, skipped)
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
    return ImageSource(str(root), layout, images.paths, lambda: images, root, tuple(skipped), tuple(notes))


def list_folders(root: Path, skipped: list[SkippedFile] | None = None) -> list[str]:
    """Names of the folders in a folder, sorted; not hidden ones, nor what archives of macOS leave behind.

    A link that leads back to a folder around it is none: it is added to `skipped`.
    """
    around = folders_around(root)
    names = []
    for path in list_folder(root):
        if not path.is_dir() or path.name[0] == "." or path.name == "__MACOSX":
            continue
        if identity(path) not in around:
            names.append(path.name)
        elif skipped is not None:
            skipped.append(SkippedFile(make_printable(path.name), BACK))
    return names


def folders_around(root: Path) -> set[tuple[int, int]]:
    """A folder and those that it lies in."""
    real = root.resolve()
    return {identity(folder) for folder in (real, *real.parents)}


def identity(folder: Path) -> tuple[int, int]:
    """What a folder is, by whatever path. Raises NetlatheError where it cannot be asked."""
    try:
        status = folder.stat()
    except OSError as error:
        raise unreadable_error(folder, error) from error
    return status.st_dev, status.st_ino


def find_images(root: Path, others: Counter[str], skipped: list[SkippedFile]) -> list[str]:
    """Paths of the image files in a folder and its folders, sorted; the suffixes of other files are counted.

    What has an image's name and is no regular file is skipped, as are links back up and folders without end.
    """
    images: list[str] = []
    seen = folders_around(root)
    left = [Path()]  # relative to the root
    while left:
        folder = left.pop()
        for entry in scan_folder(root / folder):
            name, suffix = folder / entry.name, Path(entry.name).suffix.lower()
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                here = identity(root / name)
                reason = BACK if here in seen else TOO_DEEP if len(name.parts) > DEEPEST else ""
                if reason:
                    skipped.append(SkippedFile(make_printable(f"{root.name}/{name.as_posix()}"), reason))
                else:
                    seen.add(here)
                    left.append(name)
            elif suffix[1:] in SUFFIXES:
                images.append(name.as_posix())
            else:
                others[suffix or entry.name] += 1
    return sorted(images)


def scan_folder(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name; an entry knows without a further question whether it is a folder itself."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable_error(folder, error) from error


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
