"""Folders of images: a folder for each class, and perhaps train/, val/ and test/ around them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netlathe.errors import NetlatheError
from netlathe.files import is_file
from netlathe.train.images.columns import METADATA
from netlathe.train.images.decode import SUFFIXES
from netlathe.train.images.labels import settle_labels
from netlathe.train.images.options import ImageOptions
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
    no_groups,
    sorted_classes,
    unreadable_error,
)

# What systems and programs leave in folders of images, besides whatever starts with a dot; lower case.
LITTER = {"@eadir", "__macosx", "__pycache__", "#recycle", "#snapshot", "$recycle.bin", "system volume information",
          "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}  # fmt: skip
SHOWN = 8  # names of a list that are printed
DEEPEST = 32  # folders within the folder of a class
BACK = "a link back to a folder that is read already"
TOO_DEEP = f"more than {DEEPEST} folders deep"


def folder_source(root: Path, options: ImageOptions) -> ImageSource:
    """Class folders, or split folders of class folders."""
    skipped: list[SkippedFile] = []
    litter: Counter[str] = Counter()
    below = list_folders(root, skipped, litter)
    splits = {name: SPLITS[name.lower()] for name in below if name.lower() in SPLITS and list_folders(root / name)}
    if below and not splits and all(name.lower() in SPLITS for name in below):
        tables = [table for name in ("", *below) for table in METADATA if (root / name / table).exists()]
        hint = f"name the column with the classes in {tables[0]}: --label-column NAME" if tables else LAYOUTS
        message = f"{', '.join(f'{name}/' for name in below)} have no folders for classes in them"
        raise NetlatheError(message, code="images.layout", path=str(root), hint=hint)
    if not splits:
        parts = {"": (FREE, below)}
    elif TRAIN in splits.values():
        parts = {name: (code, list_folders(root / name, skipped, litter)) for name, code in splits.items()}
    else:
        words = " and ".join(f"{name}/" for name in splits)
        raise NetlatheError(f"has {words} but no train/", code="images.layout", path=str(root), hint=LAYOUTS)
    repeated = [name for name in splits if list(splits.values()).count(splits[name]) > 1]
    if repeated:
        words = " and ".join(sorted(repeated))
        raise NetlatheError(f"{words} mean the same split: keep one", code="images.layout", path=str(root))
    class_of = settle_classes([name for _, names in parts.values() for name in names], options, root)
    classes = sorted_classes(class_of.values())
    names: list[str] = []
    labels: list[int] = []
    codes: list[int] = []
    others: Counter[str] = Counter()
    for part, (code, inside) in sorted(parts.items()):
        for name in inside:
            files = find_images(root / part / name, others, skipped, litter)
            names += [(Path(part) / name / file).as_posix() for file in files]
            labels += [classes.index(class_of[name])] * len(files)
            codes += [code] * len(files)
    check_classes(classes, labels, root)
    images = ImageFiles(
        tuple(root / name for name in names),
        tuple(map(make_printable, names)),
        np.array(labels, np.int64),
        np.array(codes, np.int8),
        no_groups(len(names)),
        classes,
    )
    notes = [f"{count} files are no images: {suffix}" for suffix, count in others.most_common()]
    if litter:
        left_by = [f"{name} ({count:,})" if count > 1 else name for name, count in sorted(litter.items())]
        more = f" and {len(left_by) - SHOWN:,} more" * (len(left_by) > SHOWN)
        notes.append(f"left by systems and programs, not looked at: {', '.join(left_by[:SHOWN])}{more}")
    notes += [
        f"{table} has no column with classes: the folders say them" for table in METADATA if is_file(root / table)
    ]
    left = [name for name in below if splits and name not in splits]
    notes += [f"folders beside train/ are left out: {', '.join(left)}"] if left else []
    words = ", ".join(f"{name}/" for name in sorted(splits, key=splits.__getitem__))
    layout = f"class folders in {words}" if splits else "class folders"
    reading = (repr(options),)
    return ImageSource(str(root), layout, images.paths, lambda: images, root, tuple(skipped), tuple(notes), reading)


def settle_classes(folders: Sequence[str], options: ImageOptions, root: Path) -> dict[str, str]:
    """The class of each folder. Raises NetlatheError for names that have to be asked about."""
    names = sorted(set(folders))
    return dict(
        zip(names, settle_labels([*map(make_printable, names)], options, str(root), written=False), strict=True)
    )


def name_litter(name: str) -> str:
    """What a file or folder that is none of the user's is called in a report; empty for all others."""
    return "._*" if name.startswith("._") else name if name.startswith(".") or name.lower() in LITTER else ""


def list_folders(root: Path, skipped: list[SkippedFile] | None = None, litter: Counter[str] | None = None) -> list[str]:
    """Names of the folders in a folder, sorted; without hidden ones and what systems leave, which `litter` counts.

    A link that leads back to a folder around it is none: it is added to `skipped`.
    """
    around = folders_around(root)
    names = []
    for path in list_folder(root):
        if word := name_litter(path.name):
            if litter is not None:
                litter[make_printable(word)] += 1
            continue
        if not path.is_dir():
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


def find_images(root: Path, others: Counter[str], skipped: list[SkippedFile], litter: Counter[str]) -> list[str]:
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
            if word := name_litter(entry.name):
                litter[make_printable(word)] += 1
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
